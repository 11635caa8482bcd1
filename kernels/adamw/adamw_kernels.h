#pragma once
// Launchers of AdamW, and the arithmetic that both devices share.
#include <cmath>

#include "kernels/adamw/adamw.h"
#include "kernels/adamw/adamw_factors.h"
#include "tensor/philox.h"
#include "tensor/view.h"

namespace vigor {

// All views contiguous, of one size; param and grad of one dtype, f32 or f64 (CPU only), m and v of it too, or bf16
// beside f32.
void adamw_cpu(const TensorView& param, const TensorView& grad, const TensorView& m, const TensorView& v,
               const StepState* state, const AdamWOptions& options, const Bf16Rounding& rounding);
void adamw_cuda(const TensorView& param, const TensorView& grad, const TensorView& m, const TensorView& v,
                const StepState* state, const AdamWOptions& options, const Bf16Rounding& rounding);
// param and grad bf16, master f32, m and v both f32 or bf16.
void adamw_mixed_cpu(const TensorView& param, const TensorView& master, const TensorView& grad, const TensorView& m,
                     const TensorView& v, const StepState* state, const AdamWOptions& options,
                     const Bf16Rounding& rounding);
void adamw_mixed_cuda(const TensorView& param, const TensorView& master, const TensorView& grad, const TensorView& m,
                      const TensorView& v, const StepState* state, const AdamWOptions& options,
                      const Bf16Rounding& rounding);

// In double as far as possible: 1 - beta2 = 0.001 would keep five digits only if beta2 were rounded first.
template <class T>
VIGOR_HOST_DEVICE AdamWFactors<T> adamw_factors(const StepState& state, const AdamWOptions& o) {
  const double lr = static_cast<double>(state.learning_rate) * o.learning_rate_scale;
  return {static_cast<T>(state.clip_factor),
          static_cast<T>(1 - lr * o.weight_decay),
          static_cast<T>(o.beta1),
          static_cast<T>(1 - o.beta1),
          static_cast<T>(o.beta2),
          static_cast<T>(1 - o.beta2),
          static_cast<T>(lr / static_cast<double>(state.bias_correction1)),
          static_cast<T>(1 / std::sqrt(static_cast<double>(state.bias_correction2))),
          static_cast<T>(o.eps)};
}

VIGOR_HOST_DEVICE inline RandomKey rounding_key(const Bf16Rounding& rounding, const StepState& state) {
  return {rounding.seed, RandomStream::rounding, rounding.salt, static_cast<uint32_t>(state.step)};
}

// Of bf16 moments: two words that no parameter's rounding takes.
VIGOR_HOST_DEVICE inline MomentsKey moments_key(const Bf16Rounding& rounding, const StepState& state) {
  const PhiloxWords words = random_block(rounding_key(rounding, state), ~uint64_t{0});
  return {{words.word[0], words.word[1]}};
}

// The random word of element i: the finaliser of MurmurHash3 (Appleby), after which each bit of i has changed each bit
// of the word with a probability of about 1/2, with the key of the step before either of its products.
VIGOR_HOST_DEVICE inline uint32_t moments_word(const MomentsKey& key, int64_t i) {
  uint32_t x = static_cast<uint32_t>(i) ^ key.word[0];
  x = ((x ^ (x >> 16)) * 0x85ebca6bu) ^ key.word[1];
  x = (x ^ (x >> 13)) * 0xc2b2ae35u;
  return x ^ (x >> 16);
}

// The bits of x as a bf16: the upper half of its bits, one more when the lower half and the upper 16 random bits
// overflow.
VIGOR_HOST_DEVICE inline uint16_t round_stochastically(float x, uint32_t random_word) {
  const auto bits = __builtin_bit_cast(uint32_t, x);
  if ((bits & 0x7f800000u) == 0x7f800000u)  // infinite or NaN, which stays one
    return static_cast<uint16_t>((bits >> 16) | ((bits & 0x007fffffu) != 0 ? 0x40u : 0u));
  return static_cast<uint16_t>((bits + (random_word >> 16)) >> 16);
}

}  // namespace vigor
