#include "nn/mamba2.h"

#include "kernels/causal_conv1d/causal_conv1d.h"
#include "kernels/concat/concat.h"
#include "kernels/gated_rms_norm/gated_rms_norm.h"
#include "kernels/mamba2_scan/mamba2_scan.h"
#include "kernels/swiglu/swiglu.h"
#include "kernels/views/views.h"
#include "nn/recurrence_initializers.h"
#include "nn/scale.h"
#include "tensor/check.h"

namespace vigor {
namespace {

constexpr int kZ = 0, kX = 1, kB = 2, kC = 3, kDt = 4;  // the sections of in_proj, in the order of the multipliers
constexpr double kScanChunk = 64;                       // steps between the states that the scan keeps for backward

}  // namespace

Mamba2::Mamba2(const Mamba2Options& o)
    : in_proj(o.channels, 2 * o.heads * o.head_width + 2 * o.groups * o.states + o.heads, o.in_bias,
              normal_init(o.weight_stddev)),
      out_proj(o.heads * o.head_width, o.channels, o.out_bias, normal_init(o.weight_stddev)),
      options_(o) {
  check(o.heads > 0 && o.groups > 0 && o.heads % o.groups == 0,
        "mamba2: groups must divide heads; got {} groups and {} heads", o.groups, o.heads);
  constexpr ParameterPrecision full = ParameterPrecision::full;
  add_parameter("dt_bias", dt_bias, {o.heads}, step_bias_init(o.dt_init_min, o.dt_init_max), full);
  add_parameter("A_log", a_log, {o.heads}, log_range_rows_init(o.heads), full);
  add_parameter("D", skip_d, {o.heads}, constant_init(1.0), full);
  add_parameter("conv1d.weight", conv_weight, {conv_channels(), 1, o.conv_width}, normal_init(o.weight_stddev), full);
  if (o.conv_bias) add_parameter("conv1d.bias", conv_bias, {conv_channels()}, constant_init(0.0), full);
  if (o.norm) add_parameter("norm.weight", norm_weight, {inner()}, constant_init(1.0), full);
  add_child("in_proj", in_proj);
  add_child("out_proj", out_proj);
}

Tensor Mamba2::forward(const Tensor& x) const {
  LayerCache none;
  return run(x, none, {});
}

Tensor Mamba2::forward(const Tensor& x, LayerCache& cache, const TokenPositions& positions) const {
  check(cache.tensors.size() == 2,
        "mamba2: its cache holds the inputs of the convolution and the state; got {} tensors", cache.tensors.size());
  return run(x, cache, positions.lengths);
}

Tensor Mamba2::run(const Tensor& x, LayerCache& cache, const Tensor& lengths) const {
  const Mamba2Options& o = options_;
  const int64_t B = x.size(0), T = x.size(1), states = o.groups * o.states;
  // A bias is not to be multiplied, so beside one the input is scaled after all.
  const double in_multiplier = o.in_bias ? 1 : o.in_multiplier;
  const Tensor projected = in_proj.forward(o.in_bias ? scaled(x, o.in_multiplier) : x);  // [B,T, C | C + 2 G N | H]
  const std::vector<Tensor> parts = split(projected, {inner(), conv_channels(), o.heads}, 2);

  CausalConv1dOptions conv;
  Mamba2ScanOptions scan;
  conv.lengths = scan.lengths = lengths;
  if (!cache.tensors.empty()) conv.state = cache.tensors[0], scan.state = cache.tensors[1];
  const CausalConv1dResult convolved = causal_conv1d(parts[1], scaled_conv_weight(in_multiplier), conv_bias, conv);
  const std::vector<Tensor> xbc = split(convolved.y, {inner(), states, states}, 2);

  scan.dt_min = o.dt_min;
  scan.dt_max = o.dt_max;
  const Mamba2ScanResult scanned =
      mamba2_scan(reshape(xbc[0], {B, T, o.heads, o.head_width}), scaled(parts[2], o.multipliers[kDt] * in_multiplier),
                  reshape(xbc[1], {B, T, o.groups, o.states}), reshape(xbc[2], {B, T, o.groups, o.states}), a_log,
                  skip_d, dt_bias, scan);
  if (!cache.tensors.empty()) cache.tensors = {convolved.last_state, scanned.last_state};
  const Tensor y = reshape(scanned.y, {B, T, inner()});
  return out_proj.forward(gated(y, parts[0], o.multipliers[kZ] * in_multiplier));
}

// The convolution of scaled inputs is that of the inputs with scaled weights.
Tensor Mamba2::scaled_conv_weight(double in_multiplier) const {
  const double x = options_.multipliers[kX] * in_multiplier, b = options_.multipliers[kB] * in_multiplier,
               c = options_.multipliers[kC] * in_multiplier;
  if (x == b && b == c) return scaled(conv_weight, x);
  const int64_t states = options_.groups * options_.states;
  const std::vector<Tensor> parts = split(conv_weight, {inner(), states, states}, 0);
  return cat({scaled(parts[0], x), scaled(parts[1], b), scaled(parts[2], c)}, 0);
}

Tensor Mamba2::gated(const Tensor& y, const Tensor& z, double multiplier) const {
  if (!options_.norm) return swiglu(z, y, multiplier);
  return gated_rms_norm(y, z, norm_weight, options_.groups, options_.norm_before_gate, options_.norm_eps, multiplier);
}

LayerCache Mamba2::make_cache(int64_t batch, int64_t) const {
  const Mamba2Options& o = options_;
  return {{zeros({batch, o.conv_width - 1, conv_channels()}, in_proj.weight.dtype(), in_proj.weight.device()),
           zeros({batch, o.heads, o.head_width, o.states}, a_log.dtype(), a_log.device())}};
}

double Mamba2::flops_per_token(int64_t) const {
  const double C = static_cast<double>(inner()), d = static_cast<double>(options_.channels);
  const double projections = d * static_cast<double>(inner() + conv_channels() + options_.heads) + C * d;
  const double convolution = static_cast<double>(conv_channels() * options_.conv_width);
  // As the recurrence is written: the state's update and its product with C. The form in chunks does more.
  const double scan = 2.0 * C * static_cast<double>(options_.states);
  return 2.0 * (projections + convolution + scan);
}

double Mamba2::saved_per_token() const {
  const double C = static_cast<double>(inner()), wide = static_cast<double>(conv_channels());
  const double projected = C + wide + static_cast<double>(options_.heads);
  const double states = C * static_cast<double>(options_.states) / kScanChunk;
  // The convolution's result, y, and what out_proj reads.
  return projected + wide + states + 2.0 * C;
}

}  // namespace vigor
