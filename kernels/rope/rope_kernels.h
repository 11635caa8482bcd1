#pragma once
#include "tensor/philox.h"  // VIGOR_HOST_DEVICE
#include "tensor/view.h"

namespace vigor {

inline constexpr int64_t kRopeMaxPairs = 256;

// The frequencies of the pairs, and the angle that follows from one and a position. Passed to kernels by value.
struct RopeAngles {
  uint64_t turns[kRopeMaxPairs];  // theta^(-2j/P) / (2 pi) modulo 1, in units of 2^-64; or, if `transformers`,
  float radians[kRopeMaxPairs];   // theta^(-2j/P) as that package computes it. The other array is zeros
  bool transformers;

  // The angle modulo one turn, in units of 2^-32 turns.
  VIGOR_HOST_DEVICE uint32_t turn(int64_t position, int64_t pair) const {
    // Modulo 2^64, whole turns fall off at the top. The frequency is off by at most 2^-54 turns, so at position 2^31
    // the angle is by 2^-23, and at 262,143 by 2^-36.
    if (!transformers) return static_cast<uint32_t>((turns[pair] * static_cast<uint64_t>(position)) >> 32);
    const float angle = static_cast<float>(position) * radians[pair];  // rounded here, as there; exact from here on
    const double in_turns = static_cast<double>(angle) * 0.15915494309189535;
    return static_cast<uint32_t>(static_cast<uint64_t>(in_turns * 4294967296.0));
  }
};

RopeAngles rope_angles(double theta, int64_t pairs, bool transformers);

// What both directions do: y = scale times x turned by the angles, or by their negatives.
struct RopeInputs {
  TensorView x;        // [B,T,H,P], last stride 1
  TensorView offsets;  // [B] i32, or undefined: 0
  double theta;
  bool transformers_angles;
  double scale;
  bool negative;  // backward
};

// y [B,T,H,P] contiguous, f32, f64 (CPU only) or bf16 like x.
void rope_cpu(const RopeInputs& in, const TensorView& y);

// The same on a GPU.
void rope_cuda(const RopeInputs& in, const TensorView& y);

}  // namespace vigor
