#pragma once
// CPU threads that help a launch with its blocks. They stay from launch to launch; a launch never waits for one that
// has not woken up yet, so small kernels cost nothing.
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>

namespace vigor::emulator {

class HelperThreads {
 public:
  // The process's. Never destroyed: its threads may sleep when the process ends.
  static HelperThreads& instance();

  // work(0) here, and work(1) .. work(workers - 1) on helpers that are free before work(0) has returned. Returns when
  // all that began have ended. `work` must not throw.
  void run(uint32_t workers, const std::function<void(uint32_t)>& work);

 private:
  HelperThreads() = default;
  void help();

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  const std::function<void(uint32_t)>* work_ = nullptr;  // null: nothing to do
  uint32_t next_ = 0, end_ = 0;                          // workers that may still begin
  uint32_t active_ = 0, threads_ = 0;
};

}  // namespace vigor::emulator
