#pragma once
// Normalisation of the last dimension; x [..., C] -> y [..., C]. The parameters stay f32 in a bf16 model.
#include "nn/module.h"

namespace vigor {

inline constexpr double kNormEps = 1e-5;  // of both model families

// (x - mean) / sqrt(variance + eps) * weight + bias. Parameters: `weight [C]` 1, `bias [C]` 0.
class LayerNorm : public Module {
 public:
  explicit LayerNorm(int64_t channels, double eps = kNormEps);

  Tensor forward(const Tensor& x) const;

  Tensor weight;
  Tensor bias;

 private:
  double eps_;
};

// x / sqrt(mean(x^2) + eps) * weight. Parameters: `weight [C]` 1.
class RMSNorm : public Module {
 public:
  explicit RMSNorm(int64_t channels, double eps = kNormEps);

  Tensor forward(const Tensor& x) const;

  Tensor weight;

 private:
  double eps_;
};

}  // namespace vigor
