#include "tensor/device_cuda.h"

#include <dlfcn.h>
#include <fmt/core.h>

#include <cstring>
#include <stdexcept>

#include "tensor/cuda.h"

namespace vigor {
namespace {

constexpr int kOldestMajor = 8;  // sm_80: mma.sync with bf16, ldmatrix, cp.async

cudaDeviceProp properties() {
  cudaDeviceProp p{};
  VIGOR_CUDA_CHECK(cudaGetDeviceProperties(&p, 0));
  return p;
}

// Tells the checker of the emulated device what the allocator does. A GPU's runtime does not have these functions.
class EmulatorHooks {
 public:
  void forbid(void* data, size_t nbytes) const { call(poison_, data, nbytes); }
  void allow(void* data, size_t nbytes) const { call(unpoison_, data, nbytes); }
  bool exist() const { return poison_ != nullptr; }

 private:
  // In the order of the stream: kernels that were launched before a tensor's end may still use it.
  using Hook = void(cudaStream_t, const void*, size_t);
  static Hook* find(const char* name) { return reinterpret_cast<Hook*>(dlsym(RTLD_DEFAULT, name)); }
  static void call(Hook* hook, void* data, size_t nbytes) {
    if (hook != nullptr && nbytes > 0) hook(cuda_stream(), data, nbytes);
  }
  Hook* poison_ = find("vigor_emulator_poison");
  Hook* unpoison_ = find("vigor_emulator_unpoison");
};

class CudaSystem : public Allocator::System {
 public:
  explicit CudaSystem(bool is_watched) : is_watched_(is_watched && hooks_.exist()) {}
  void* reserve(size_t nbytes) override {
    void* data = nullptr;
    const cudaError_t status = cudaMalloc(&data, nbytes);
    if (status == cudaErrorMemoryAllocation) {
      (void)cudaGetLastError();  // otherwise the next launch would report it
      return nullptr;
    }
    VIGOR_CUDA_CHECK(status);
    return data;
  }
  void release(void* data, size_t) override {
    // Runs in destructors. A device that failed before has already been reported; nothing can be added here.
    if (cudaFree(data) != cudaSuccess) (void)cudaGetLastError();
  }
  void forbid(void* data, size_t nbytes) override {
    if (is_watched_) hooks_.forbid(data, nbytes);
  }
  void allow(void* data, size_t nbytes) override {
    if (is_watched_) hooks_.allow(data, nbytes);
  }
  size_t gap() const override { return is_watched_ ? kGap : 0; }

 private:
  static constexpr size_t kGap = 64;
  EmulatorHooks hooks_;
  bool is_watched_;
};

}  // namespace

void check_cuda(cudaError_t status, const char* call, const char* file, int line) {
  if (status == cudaSuccess) [[likely]]
    return;
  throw std::runtime_error(
      fmt::format("{} at {}:{}: {} ({})", call, file, line, cudaGetErrorString(status), cudaGetErrorName(status)));
}

cudaStream_t cuda_stream() {
  static const cudaStream_t stream = [] {
    if (const std::string problem = problem_of_cuda(); !problem.empty()) throw std::runtime_error("cuda: " + problem);
    cudaStream_t made = nullptr;
    VIGOR_CUDA_CHECK(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking));
    return made;
  }();
  return stream;
}

const CudaLimits& cuda_limits() {
  static const CudaLimits limits = [] {
    CudaLimits read{};
    VIGOR_CUDA_CHECK(cudaDeviceGetAttribute(&read.multiprocessors, cudaDevAttrMultiProcessorCount, 0));
    VIGOR_CUDA_CHECK(cudaDeviceGetAttribute(&read.shared_bytes_per_block, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
    return read;
  }();
  return limits;
}

std::string problem_of_cuda() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) {
    (void)cudaGetLastError();
    return fmt::format("{} ({})", cudaGetErrorString(status), cudaGetErrorName(status));
  }
  if (count == 0) return "no GPU was found";
  const cudaDeviceProp p = properties();
  if (p.major < kOldestMajor)
    return fmt::format("{} has compute capability {}.{}; Vigor's kernels need {}.0 or newer", p.name, p.major, p.minor,
                       kOldestMajor);
  return {};
}

std::string description_of_cuda() {
  const cudaDeviceProp p = properties();
  return fmt::format("{}, compute capability {}.{}, {} multiprocessors, {:.1f} GB", p.name, p.major, p.minor,
                     p.multiProcessorCount, static_cast<double>(p.totalGlobalMem) * 1e-9);
}

// The stand-in runtime names its device so (kernels/emulator/runtime).
bool is_cuda_emulated() { return std::strstr(properties().name, "emulated") != nullptr; }

void synchronize_cuda() { VIGOR_CUDA_CHECK(cudaStreamSynchronize(cuda_stream())); }

std::unique_ptr<Allocator::System> cuda_system(bool of_graph) { return std::make_unique<CudaSystem>(!of_graph); }

}  // namespace vigor
