#include "train/profile/gpu_clock.h"

#include <vector>

#include "tensor/cuda.h"

namespace vigor {

struct GpuClock::Events {
  std::vector<cudaEvent_t> all;
};

GpuClock::GpuClock() : events_(std::make_unique<Events>()) {}

GpuClock::~GpuClock() {
  for (const cudaEvent_t event : events_->all) cudaEventDestroy(event);
}

size_t GpuClock::mark() {
  if (used_ == events_->all.size()) {
    cudaEvent_t event;
    VIGOR_CUDA_CHECK(cudaEventCreate(&event));
    events_->all.push_back(event);
  }
  VIGOR_CUDA_CHECK(cudaEventRecord(events_->all[used_], cuda_stream()));
  return used_++;
}

void GpuClock::wait() {
  if (used_ > 0) VIGOR_CUDA_CHECK(cudaEventSynchronize(events_->all[used_ - 1]));
}

double GpuClock::seconds(size_t mark) const {
  float milliseconds = 0;
  VIGOR_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, events_->all[0], events_->all[mark]));
  return 1e-3 * static_cast<double>(milliseconds);
}

}  // namespace vigor
