#pragma once
// Whose kernels attention runs on a GPU:
//
//   own      those of this folder: f32 and bf16, every call
//   cudnn    cuDNN's fused attention for the calls that train: bf16, P a multiple of 8 up to 128, no gradient of lse.
//            Calls with offsets or lengths, such as decoding makes, stay with our own kernels.
//
//   AttentionBackendScope cudnn(AttentionBackend::cudnn);   // until the end of the scope, in this thread
//   VIGOR_ATTENTION=cudnn vigor ...                         (read once; a scope goes before it)
//
// Untested: cuDNN runs on a GPU alone, not on the emulated device, and scripts/gpu-check has not passed on one yet.
#include <string>
#include <string_view>

namespace vigor {

enum class AttentionBackend { own, cudnn };

AttentionBackend attention_backend();
// "own" or "cudnn"; throws std::invalid_argument for anything else.
AttentionBackend attention_backend_of(std::string_view name);

class AttentionBackendScope {
 public:
  explicit AttentionBackendScope(AttentionBackend backend);
  ~AttentionBackendScope();
  AttentionBackendScope(const AttentionBackendScope&) = delete;
  AttentionBackendScope& operator=(const AttentionBackendScope&) = delete;

 private:
  friend AttentionBackend attention_backend();
  AttentionBackend backend_;
  AttentionBackendScope* outer_;
};

// Why `cudnn` cannot be used: left out of this build, no GPU, the emulated device, no libcudnn. Empty when it can.
std::string attention_cudnn_problem();

}  // namespace vigor
