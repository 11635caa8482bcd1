#pragma once
// AdamW (Loshchilov and Hutter 2017, arXiv:1711.05101), one pass over an arena of parameters, in place. Rounded as
// PyTorch does it, with t counted from 1:
//
//   g = clip_factor * grad                   clip_factor from global_norm, 1 without clipping
//   p = p (1 - lr weight_decay)              decay comes first
//   m = beta1 m + (1 - beta1) g
//   v = beta2 v + (1 - beta2) g^2
//   p = p - lr / (1 - beta1^t) m / (sqrt(v / (1 - beta2^t)) + eps)
//
//   param, grad   [n] or any one shape, contiguous; both f32, or both f64 (CPU only)
//   m, v          like them; beside f32 both may be bf16
//   state         in the memory of param's device. lr, bias corrections and clip factor are read from it when the
//                       pass runs (tensor/step_state.h); nothing changes when its failed_step is set
// In f32, moments below 1e-36 become 0: subnormal numbers would slow a CPU's pass down many times.
//
// Mixed precision: param and grad bf16, and a float32 copy of param, the master, which takes the update and keeps what
// is too small for bf16. param becomes the rounded master.
//
// Moments in bf16: the step computes and uses them in f32 and stores them rounded at random (Bf16Rounding), never to
// nearest: at beta2 = 0.999 a step changes v by up to a thousandth of it, bf16 has 8 bits, and v would stop moving as
// soon as g^2 is within a factor of 3 of it. The mean over steps is that of f32; what is added is noise of at most one
// unit in 128 of m and v each, and of half of that of the step, for v is under a root. 4 n bytes in place of 8 n.
//
// No gradient: not differentiable. Memory-bound: reads four arrays and writes three, 28 n bytes in f32; the mixed form
// reads 14 n and writes 14 n; moments in bf16 take 8 n off either. CUDA: one launch; a thread updates four elements at
// a time, with 16-byte accesses to the f32 arrays and 8-byte ones to the bf16 ones; each array is read and written
// once, the minimum.
#include "tensor/step_state.h"
#include "tensor/tensor.h"

namespace vigor {

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.01;
  double learning_rate_scale = 1;  // lr above is the step's learning rate times this, also in the decay
};

// How bf16 values are made: to nearest even, or away from zero with the probability of the part that is cut off, so
// that the mean over many steps is exact. Element i of a parameter then takes the upper half of word i of the Philox
// sequence of RandomKey{seed, RandomStream::rounding, salt, state->step}. bf16 moments take the upper half of a word
// for v and the lower for m; theirs is a hash of element and step (moments_word in adamw_kernels.h), since Philox takes
// longer than the memory traffic that the moments save. The same on every device.
struct Bf16Rounding {
  bool stochastic = false;  // parameters from their masters; bf16 moments always are
  uint64_t seed = 0;
  uint32_t salt = 0;  // another for every tensor
};

// Both throw std::invalid_argument for shapes, dtypes or devices that differ from what is said above, betas outside
// [0, 1), eps that is not above 0, or a negative learning_rate_scale.
void adamw_update(const Tensor& param, const Tensor& grad, const Tensor& m, const Tensor& v, const StepState* state,
                  const AdamWOptions& options = {}, const Bf16Rounding& rounding = {});
void adamw_update_mixed(const Tensor& param, const Tensor& master, const Tensor& grad, const Tensor& m, const Tensor& v,
                        const StepState* state, const AdamWOptions& options = {}, const Bf16Rounding& rounding = {});

// Fills the bias corrections of a step on the host, from state.step and the betas.
void set_bias_corrections(StepState& state, const AdamWOptions& options);

}  // namespace vigor
