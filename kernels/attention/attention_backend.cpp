#include "kernels/attention/attention_backend.h"

#include <cstdlib>

#include "kernels/attention/attention_kernels.h"
#include "tensor/check.h"
#include "tensor/device.h"

namespace vigor {
namespace {

thread_local AttentionBackendScope* innermost = nullptr;

}  // namespace

AttentionBackend attention_backend_of(std::string_view name) {
  if (name == "own") return AttentionBackend::own;
  if (name != "cudnn") fail("attention: kernels are 'own' or 'cudnn'; got '{}'", name);
  return AttentionBackend::cudnn;
}

AttentionBackendScope::AttentionBackendScope(AttentionBackend backend) : backend_(backend), outer_(innermost) {
  innermost = this;
}
AttentionBackendScope::~AttentionBackendScope() { innermost = outer_; }

AttentionBackend attention_backend() {
  static const char* const environment = std::getenv("VIGOR_ATTENTION");
  if (innermost != nullptr) return innermost->backend_;
  return environment == nullptr ? AttentionBackend::own : attention_backend_of(environment);
}

std::string attention_cudnn_problem() {
  if constexpr (!kCudnnBuild) {
    return "this build has no cuDNN: cudnn.h or cudnn-frontend was not found when it was configured (VIGOR_CUDNN)";
  } else {
    if (std::string problem = cuda_problem(); !problem.empty()) return problem;
    if (cuda_is_emulated()) return "cuDNN does not run on the emulated device";
    return problem_of_cudnn();
  }
}

}  // namespace vigor
