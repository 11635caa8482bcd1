#pragma once
// Times on a GPU: marks in the stream of all work, read when the work is done. Defined in the CUDA half only.
#include <cstddef>
#include <memory>

namespace vigor {

class GpuClock {
 public:
  GpuClock();
  ~GpuClock();
  GpuClock(const GpuClock&) = delete;
  GpuClock& operator=(const GpuClock&) = delete;

  void restart() { used_ = 0; }       // forgets all marks
  size_t mark();                      // its number; the device reaches it when all work given to it before is done
  void wait();                        // until the last mark is reached
  double seconds(size_t mark) const;  // from mark 0 to this one; after wait()

 private:
  struct Events;
  std::unique_ptr<Events> events_;  // made once and used again in every step
  size_t used_ = 0;
};

}  // namespace vigor
