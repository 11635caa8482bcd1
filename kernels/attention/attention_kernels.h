#pragma once
#include <string>

#include "tensor/view.h"

namespace vigor {

// Views as in attention.h; the last stride of those of rank 4 is 1.
struct AttentionInputs {
  TensorView q, k, v;
  TensorView offsets, lengths;  // contiguous; may be undefined
  double scale;
  bool causal;
};

// Elements of scratch that a launcher needs for its threads, in the type of lse.
int64_t attention_forward_scratch(const AttentionInputs& in);
int64_t attention_backward_scratch(const AttentionInputs& in);

void attention_forward_cpu(const AttentionInputs& in, const TensorView& y, const TensorView& lse,
                           const TensorView& scratch);

struct AttentionGradients {
  TensorView y, lse;  // as the forward pass left them; contiguous
  TensorView dy;      // like y
  TensorView dlse;    // like lse; may be undefined
  // Written; on a CPU in the type of lse, on a GPU in that of q. Any strides but the last, which is 1.
  TensorView dq, dk, dv;
};
void attention_backward_cpu(const AttentionInputs& in, const AttentionGradients& grads, const TensorView& scratch);

// On a GPU: f32 and bf16, heads of at most 256 channels. Nothing is read back, so values of offsets and lengths outside
// their ranges are cut to them. The strides of dq, dk and dv put their rows on 16 bytes where P is 16, 32, 64 or 128.
int64_t attention_backward_scratch_cuda(const AttentionInputs& in);  // elements in f32
void attention_forward_cuda(const AttentionInputs& in, const TensorView& y, const TensorView& lse);
void attention_backward_cuda(const AttentionInputs& in, const AttentionGradients& grads, const TensorView& scratch);

// cuDNN's fused attention (attention_backend.h), in builds that have it; without offsets, lengths and dlse.
#ifdef VIGOR_HAVE_CUDNN
inline constexpr bool kCudnnBuild = true;
#else
inline constexpr bool kCudnnBuild = false;
#endif
std::string problem_of_cudnn();  // empty when libcudnn could be loaded
int64_t attention_forward_scratch_cudnn(const AttentionInputs& in, const TensorView& y, const TensorView& lse);
void attention_forward_cudnn(const AttentionInputs& in, const TensorView& y, const TensorView& lse,
                             const TensorView& scratch);
int64_t attention_backward_scratch_cudnn(const AttentionInputs& in, const AttentionGradients& grads);
void attention_backward_cudnn(const AttentionInputs& in, const AttentionGradients& grads, const TensorView& scratch);

}  // namespace vigor
