#include "nn/rwkv.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/elementwise/elementwise.h"
#include "kernels/squared_relu/squared_relu.h"
#include "kernels/token_shift/token_shift.h"
#include "kernels/views/views.h"
#include "kernels/wkv/wkv.h"
#include "nn/recurrence_initializers.h"
#include "tensor/check.h"
#include "tensor/primitives.h"

namespace vigor {
namespace {

constexpr ParameterPrecision kFull = ParameterPrecision::full;
constexpr double kWkvChunk = 32;  // steps between the states that wkv keeps for backward

// l and r of rwkv.h: from 0 to 1 over the layers, and from 1 to almost 0.
double rising(const RwkvDepth& depth) {
  return depth.layers > 1 ? static_cast<double>(depth.layer) / static_cast<double>(depth.layers - 1) : 0;
}
double falling(const RwkvDepth& depth) {
  return 1 - static_cast<double>(depth.layer) / static_cast<double>(depth.layers);
}

// (i / channels)^power + shift
Initializer time_mix_init(int64_t channels, double power, double shift = 0) {
  return element_init([=](int64_t i, double) {
    return std::pow(static_cast<double>(i) / static_cast<double>(channels), power) + shift;
  });
}

Initializer time_decay_init(int64_t channels, double power) {
  return element_init([=](int64_t i, double) {
    const double last = static_cast<double>(std::max<int64_t>(1, channels - 1));
    return -5 + 8 * std::pow(static_cast<double>(i) / last, power);
  });
}

// The token shift of x with weights [1,1,d]; *last becomes the last token.
Tensor shift(const Tensor& x, const Tensor& mix, const Tensor& state, const Tensor& lengths, Tensor* last) {
  TokenShiftOptions options;
  options.state = state;
  options.lengths = lengths;
  const TokenShiftResult result = token_shift(x, reshape(mix, {-1}), options);
  *last = result.last_state;
  return result.y;
}

Tensor last_token(int64_t batch, int64_t channels, const Tensor& time_mix) {
  return zeros({batch, channels}, time_mix.dtype(), time_mix.device());
}

int64_t inner_of(const RwkvTimeMixingOptions& o) { return o.inner == 0 ? o.channels : o.inner; }

}  // namespace

RwkvTimeMixing::RwkvTimeMixing(const RwkvTimeMixingOptions& o)
    : key(o.channels, inner_of(o), false, normal_init(o.weight_stddev)),
      value(o.channels, inner_of(o), false, normal_init(o.weight_stddev)),
      receptance(o.channels, inner_of(o), false, normal_init(o.weight_stddev)),
      output(inner_of(o), o.channels, false, normal_init(o.weight_stddev)),
      channels_(o.channels),
      inner_(inner_of(o)) {
  check(channels_ > 0 && inner_ > 0, "rwkv time mixing: sizes must be positive; got channels {}, inner {}", o.channels,
        o.inner);
  const double l = rising(o.depth), r = falling(o.depth);
  const Initializer first =
      element_init([](int64_t i, double) { return std::log(0.3) + 0.5 * static_cast<double>((i + 1) % 3 - 1); });
  add_parameter("time_decay", time_decay, {inner_}, time_decay_init(inner_, 0.7 + 1.3 * l), kFull);
  add_parameter("time_first", time_first, {inner_}, first, kFull);
  add_parameter("time_mix_k", time_mix_k, {1, 1, channels_}, time_mix_init(channels_, r), kFull);
  add_parameter("time_mix_v", time_mix_v, {1, 1, channels_}, time_mix_init(channels_, r, 0.3 * l), kFull);
  add_parameter("time_mix_r", time_mix_r, {1, 1, channels_}, time_mix_init(channels_, 0.5 * r), kFull);
  add_child("key", key);
  add_child("value", value);
  add_child("receptance", receptance);
  add_child("output", output);
}

Tensor RwkvTimeMixing::forward(const Tensor& x) const {
  LayerCache none;
  return run(x, none, {});
}

Tensor RwkvTimeMixing::forward(const Tensor& x, LayerCache& cache, const TokenPositions& positions) const {
  check(cache.tensors.size() == 2, "rwkv time mixing: its cache holds the last token and wkv's state; got {} tensors",
        cache.tensors.size());
  return run(x, cache, positions.lengths);
}

Tensor RwkvTimeMixing::run(const Tensor& x, LayerCache& cache, const Tensor& lengths) const {
  const bool cached = !cache.tensors.empty();
  const Tensor before = cached ? cache.tensors[0] : Tensor();
  WkvOptions options;
  options.state = cached ? cache.tensors[1] : Tensor();
  options.lengths = lengths;
  Tensor last;
  const Tensor k = key.forward(shift(x, time_mix_k, before, lengths, &last));  // [B,T,A], as v and r
  const Tensor v = value.forward(shift(x, time_mix_v, before, lengths, &last));
  const Tensor r = sigmoid(receptance.forward(shift(x, time_mix_r, before, lengths, &last)));
  const WkvResult average = wkv(k, v, time_decay, time_first, options);
  if (cached) cache.tensors = {last, average.last_state};
  return output.forward(mul(r, average.y));
}

LayerCache RwkvTimeMixing::make_cache(int64_t batch, int64_t) const {
  const Tensor state = zeros({batch, 3, inner_}, time_decay.dtype(), time_decay.device());
  fill(sliced(state, 1, 2, 3, 1, "rwkv cache"), -std::numeric_limits<double>::infinity());  // p: nothing seen
  return {{last_token(batch, channels_, time_mix_k), state}};
}

double RwkvTimeMixing::flops_per_token(int64_t) const {
  return 2.0 * 4.0 * static_cast<double>(channels_ * inner_);  // the matrices
}

double RwkvTimeMixing::saved_per_token() const {
  const double d = static_cast<double>(channels_), A = static_cast<double>(inner_);
  // Three shifted inputs; k, v, the sigmoid, the average and their product; wkv's states.
  return 3.0 * d + 5.0 * A + 3.0 * A / kWkvChunk;
}

RwkvChannelMixing::RwkvChannelMixing(const RwkvChannelMixingOptions& o)
    : key(o.channels, o.hidden, false, normal_init(o.weight_stddev)),
      receptance(o.channels, o.channels, false, normal_init(o.weight_stddev)),
      value(o.hidden, o.channels, false, normal_init(o.weight_stddev)),
      channels_(o.channels),
      hidden_(o.hidden) {
  check(o.channels > 0 && o.hidden > 0, "rwkv channel mixing: sizes must be positive; got channels {}, hidden {}",
        o.channels, o.hidden);
  const Initializer mix = time_mix_init(channels_, falling(o.depth));
  add_parameter("time_mix_k", time_mix_k, {1, 1, channels_}, mix, kFull);
  add_parameter("time_mix_r", time_mix_r, {1, 1, channels_}, mix, kFull);
  add_child("key", key);
  add_child("receptance", receptance);
  add_child("value", value);
}

Tensor RwkvChannelMixing::forward(const Tensor& x) const {
  LayerCache none;
  return run(x, none, {});
}

Tensor RwkvChannelMixing::forward(const Tensor& x, LayerCache& cache, const TokenPositions& positions) const {
  check(cache.tensors.size() == 1, "rwkv channel mixing: its cache holds the last token; got {} tensors",
        cache.tensors.size());
  return run(x, cache, positions.lengths);
}

Tensor RwkvChannelMixing::run(const Tensor& x, LayerCache& cache, const Tensor& lengths) const {
  const bool cached = !cache.tensors.empty();
  const Tensor before = cached ? cache.tensors[0] : Tensor();
  Tensor last;
  const Tensor k = squared_relu(key.forward(shift(x, time_mix_k, before, lengths, &last)));  // [B,T,hidden]
  const Tensor r = sigmoid(receptance.forward(shift(x, time_mix_r, before, lengths, &last)));
  if (cached) cache.tensors = {last};
  return mul(r, value.forward(k));
}

LayerCache RwkvChannelMixing::make_cache(int64_t batch, int64_t) const {
  return {{last_token(batch, channels_, time_mix_k)}};
}

double RwkvChannelMixing::flops_per_token(int64_t) const {
  return 2.0 * static_cast<double>(2 * channels_ * hidden_ + channels_ * channels_);
}

// Two shifted inputs, the hidden channels before and after their activation, the sigmoid and what it gates.
double RwkvChannelMixing::saved_per_token() const { return static_cast<double>(4 * channels_ + 2 * hidden_); }

}  // namespace vigor
