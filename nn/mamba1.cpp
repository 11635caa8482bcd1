#include "nn/mamba1.h"

#include <cmath>

#include "kernels/causal_conv1d/causal_conv1d.h"
#include "kernels/concat/concat.h"
#include "kernels/selective_scan/selective_scan.h"
#include "kernels/swiglu/swiglu.h"
#include "nn/recurrence_initializers.h"
#include "tensor/check.h"

namespace vigor {
namespace {

constexpr double kScanChunk = 16;  // steps between the states that the scan keeps for backward

int64_t dt_rank_of(const Mamba1Options& o) { return o.dt_rank == 0 ? (o.channels + 15) / 16 : o.dt_rank; }

// Uniform within 1/sqrt(inputs), as PyTorch starts linear maps and convolutions.
Initializer by_inputs(int64_t inputs) { return uniform_init(1 / std::sqrt(static_cast<double>(inputs))); }

}  // namespace

Mamba1::Mamba1(const Mamba1Options& o)
    : in_proj(o.channels, 2 * o.inner, false, normal_init(o.weight_stddev)),
      x_proj(o.inner, dt_rank_of(o) + 2 * o.states, false, normal_init(o.weight_stddev)),
      dt_proj(dt_rank_of(o), o.inner, false, by_inputs(dt_rank_of(o))),
      out_proj(o.inner, o.channels, false, normal_init(o.weight_stddev)),
      options_(o) {
  options_.dt_rank = dt_rank_of(o);
  check(o.channels > 0 && o.inner > 0 && o.states > 0 && o.conv_width > 0 && options_.dt_rank > 0,
        "mamba1: sizes must be positive; got channels {}, inner {}, states {}, conv_width {}, dt_rank {}", o.channels,
        o.inner, o.states, o.conv_width, o.dt_rank);
  constexpr ParameterPrecision full = ParameterPrecision::full;
  const Initializer conv_init = by_inputs(o.conv_width);
  add_parameter("A_log", a_log, {o.inner, o.states}, log_range_rows_init(o.states), full);
  add_parameter("D", skip_d, {o.inner}, constant_init(1.0), full);
  add_child("in_proj", in_proj);
  add_parameter("conv1d.weight", conv_weight, {o.inner, 1, o.conv_width}, conv_init, full);
  add_parameter("conv1d.bias", conv_bias, {o.inner}, conv_init, full);
  add_child("x_proj", x_proj);
  add_child("dt_proj", dt_proj);
  add_parameter("dt_proj.bias", dt_bias, {o.inner}, step_bias_init(o.dt_init_min, o.dt_init_max), full);
  add_child("out_proj", out_proj);
}

Tensor Mamba1::forward(const Tensor& x) const {
  LayerCache none;
  return run(x, none, {});
}

Tensor Mamba1::forward(const Tensor& x, LayerCache& cache, const TokenPositions& positions) const {
  check(cache.tensors.size() == 2,
        "mamba1: its cache holds the inputs of the convolution and the state; got {} tensors", cache.tensors.size());
  return run(x, cache, positions.lengths);
}

Tensor Mamba1::run(const Tensor& x, LayerCache& cache, const Tensor& lengths) const {
  const Mamba1Options& o = options_;
  CausalConv1dOptions conv;
  SelectiveScanOptions scan;
  conv.lengths = scan.lengths = lengths;
  if (!cache.tensors.empty()) conv.state = cache.tensors[0], scan.state = cache.tensors[1];

  const std::vector<Tensor> xz = split(in_proj.forward(x), {o.inner, o.inner}, 2);
  const CausalConv1dResult convolved = causal_conv1d(xz[0], conv_weight, conv_bias, conv);  // y [B,T,E]
  const std::vector<Tensor> low_b_c =
      split(x_proj.forward(convolved.y), {o.dt_rank, o.states, o.states}, 2);  // [B,T, R | N | N]
  const SelectiveScanResult scanned =
      selective_scan(convolved.y, dt_proj.forward(low_b_c[0]), low_b_c[1], low_b_c[2], a_log, skip_d, dt_bias, scan);
  if (!cache.tensors.empty()) cache.tensors = {convolved.last_state, scanned.last_state};
  return out_proj.forward(swiglu(xz[1], scanned.y));
}

LayerCache Mamba1::make_cache(int64_t batch, int64_t) const {
  const Mamba1Options& o = options_;
  return {{zeros({batch, o.conv_width - 1, o.inner}, in_proj.weight.dtype(), in_proj.weight.device()),
           zeros({batch, o.inner, o.states}, a_log.dtype(), a_log.device())}};
}

double Mamba1::flops_per_token(int64_t) const {
  const Mamba1Options& o = options_;
  const double d = static_cast<double>(o.channels), E = static_cast<double>(o.inner), N = static_cast<double>(o.states),
               R = static_cast<double>(o.dt_rank), K = static_cast<double>(o.conv_width);
  // The scan: the state's update and its product with C.
  return 2.0 * (3.0 * d * E + E * (R + 2.0 * N) + R * E + K * E + 2.0 * E * N);
}

double Mamba1::saved_per_token() const {
  const double E = static_cast<double>(options_.inner), N = static_cast<double>(options_.states);
  // x and z, the convolution's result, the step sizes, y, and what out_proj reads; low, B and C; the scan's states.
  return 6.0 * E + static_cast<double>(options_.dt_rank) + 2.0 * N + E * N / kScanChunk;
}

}  // namespace vigor
