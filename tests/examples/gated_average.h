#pragma once
// The example of docs/add-a-block.md: a mixer written from basic operations only, whose gradients come by themselves.
//
//   v = value(x),  g = sigmoid(gate(x)),  y_t = g_t * mean(v_0 .. v_t)           x, y [B,T,d]
//
// Causal, and a recurrence in disguise: the sum v_0 + .. + v_t is all it remembers of the past.
#include "kernels/cast/cast.h"
#include "kernels/cumsum/cumsum.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/views/views.h"
#include "kernels/where/where.h"
#include "nn/linear.h"
#include "nn/mixer.h"

namespace example {

using vigor::Tensor;

class GatedAverage : public vigor::Mixer {
 public:
  explicit GatedAverage(int64_t channels) : value_(channels, channels), gate_(channels, channels), channels_(channels) {
    add_child("value", value_);
    add_child("gate", gate_);
  }

  Tensor forward(const Tensor& x) const override {
    const Tensor sums = vigor::cumsum(value_.forward(x), 1);  // [B,T,d]
    const std::vector<int32_t> from_zero(static_cast<size_t>(x.size(0)), 0);
    return gated_mean(x, sums, from_zero.data());
  }

  Tensor forward(const Tensor& x, vigor::LayerCache& cache, const vigor::TokenPositions& positions) const override {
    const int64_t B = x.size(0), T = x.size(1);
    // Padding must not enter the sum.
    const Tensor v = vigor::masked_fill(value_.forward(x), padding_mask(positions, T), 0.0);
    const Tensor before = vigor::reshape(cache.tensors[0], {B, 1, channels_});
    const Tensor sums = vigor::add(vigor::cumsum(v, 1), before);  // [B,T,d]
    cache.tensors[0] = vigor::reshape(vigor::slice(sums, 1, T - 1, T), {B, channels_});
    return gated_mean(x, sums, positions.offsets.data<int32_t>());
  }

  vigor::LayerCache make_cache(int64_t batch, int64_t) const override {
    return {{vigor::zeros({batch, channels_}, gate_.weight.dtype())}};  // the sum so far
  }

  double flops_per_token(int64_t) const override { return 2.0 * 2.0 * static_cast<double>(channels_ * channels_); }
  double saved_per_token() const override { return 3.0 * static_cast<double>(channels_); }  // sums, gate, mean

 private:
  // sigmoid(gate(x)) * sums / number of tokens;  row b begins at position offsets[b].
  Tensor gated_mean(const Tensor& x, const Tensor& sums, const int32_t* offsets) const {
    const int64_t B = x.size(0), T = x.size(1);
    const Tensor counts = vigor::empty({B, T, 1}, vigor::Dtype::f64);
    for (int64_t b = 0; b < B; ++b)
      for (int64_t t = 0; t < T; ++t) counts.data<double>()[b * T + t] = static_cast<double>(offsets[b] + t + 1);
    return vigor::sigmoid(gate_.forward(x)) * (sums / vigor::cast(counts, x.dtype()));
  }

  // u8 [B,T,1]: 1 where row b has no token.
  static Tensor padding_mask(const vigor::TokenPositions& positions, int64_t T) {
    const int64_t B = positions.lengths.size(0);
    const Tensor mask = vigor::empty({B, T, 1}, vigor::Dtype::u8);
    for (int64_t b = 0; b < B; ++b)
      for (int64_t t = 0; t < T; ++t)
        mask.data<uint8_t>()[b * T + t] = t >= positions.lengths.data<int32_t>()[b] ? 1 : 0;
    return mask;
  }

  vigor::Linear value_, gate_;
  int64_t channels_;
};

}  // namespace example
