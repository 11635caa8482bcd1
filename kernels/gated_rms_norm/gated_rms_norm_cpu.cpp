#include <cmath>

#include "kernels/block_sums.h"
#include "kernels/gated_rms_norm/gated_rms_norm_kernels.h"
#include "kernels/gated_rms_norm/gated_rms_norm_simd.h"
#include "kernels/parallel.h"

namespace vigor {
namespace {

constexpr int64_t kRowsPerBlock = 16;

// ---- the definition, in f64: one group of G channels of one row at a time; letters as in the card ----

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double silu(double x) { return x * sigmoid(x); }

double forward_group(double* y, const double* x, const double* gate, const double* weight, int64_t G,
                     bool norm_before_gate, double m, double eps) {
  double squares = 0;
  for (int64_t c = 0; c < G; ++c) {
    const double u = norm_before_gate ? x[c] : x[c] * silu(m * gate[c]);
    squares += u * u;
  }
  const double rstd = 1 / std::sqrt(squares / static_cast<double>(G) + eps);
  for (int64_t c = 0; c < G; ++c) y[c] = x[c] * rstd * weight[c] * silu(m * gate[c]);
  return rstd;
}

// dweight is added to; gradients may be null.
void backward_group(double* dx, double* dgate, double* dweight, const double* dy, const double* x, const double* gate,
                    const double* weight, double rstd, int64_t G, bool norm_before_gate, double m) {
  const auto s = [&](int64_t c) { return silu(m * gate[c]); };
  const auto uhat = [&](int64_t c) { return (norm_before_gate ? x[c] : x[c] * s(c)) * rstd; };
  const auto h = [&](int64_t c) { return dy[c] * weight[c] * (norm_before_gate ? s(c) : 1); };
  double mean_h_uhat = 0;
  for (int64_t c = 0; c < G; ++c) {
    mean_h_uhat += h(c) * uhat(c) / static_cast<double>(G);
    if (dweight != nullptr) dweight[c] += dy[c] * uhat(c) * (norm_before_gate ? s(c) : 1);
  }
  for (int64_t c = 0; c < G; ++c) {
    const double du = rstd * (h(c) - uhat(c) * mean_h_uhat);
    const double a = m * gate[c], slope = m * sigmoid(a) * (1 + a * (1 - sigmoid(a)));
    if (dx != nullptr) dx[c] = norm_before_gate ? du : du * s(c);
    if (dgate != nullptr) dgate[c] = (norm_before_gate ? dy[c] * weight[c] * uhat(c) : du * x[c]) * slope;
  }
}

void forward_naive(const GatedRmsNormInputs& in, const TensorView& y, const TensorView& rstd, double eps) {
  const int64_t rows = in.x.sizes[0], C = in.x.sizes[1], G = C / in.groups;
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t group = 0; group < in.groups; ++group)
      rstd.as<double>()[row * in.groups + group] =
          forward_group(y.as<double>() + row * C + group * G, in.x.as<double>() + row * in.x.strides[0] + group * G,
                        in.gate.as<double>() + row * in.gate.strides[0] + group * G, in.weight.as<double>() + group * G,
                        G, in.norm_before_gate, in.gate_multiplier, eps);
}

void backward_naive(const GatedRmsNormInputs& in, const GatedRmsNormGradients& grads) {
  const int64_t rows = in.x.sizes[0], C = in.x.sizes[1], G = C / in.groups;
  const int64_t per_block = rows_per_sum_block(rows);
  double* partial = grads.partial.as<double>();
  if (partial != nullptr) std::fill_n(partial, sum_blocks(rows) * C, 0.0);
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t group = 0; group < in.groups; ++group) {
      const int64_t start = group * G;
      backward_group(grads.dx.defined() ? grads.dx.as<double>() + row * C + start : nullptr,
                     grads.dgate.defined() ? grads.dgate.as<double>() + row * C + start : nullptr,
                     partial == nullptr ? nullptr : partial + row / per_block * C + start,
                     grads.dy.as<double>() + row * grads.dy.strides[0] + start,
                     in.x.as<double>() + row * in.x.strides[0] + start,
                     in.gate.as<double>() + row * in.gate.strides[0] + start, in.weight.as<double>() + start,
                     grads.rstd.as<double>()[row * in.groups + group], G, in.norm_before_gate, in.gate_multiplier);
    }
}

// ---- f32 and bf16: vectors, rows shared out among the threads ----

template <class T, class W>
GatedRmsNormRows<T, W> rows_of(const GatedRmsNormInputs& in, int64_t begin, int64_t end) {
  return {end - begin,
          in.groups,
          in.x.sizes[1] / in.groups,
          in.norm_before_gate,
          static_cast<float>(in.gate_multiplier),
          in.x.as<T>() + begin * in.x.strides[0],
          in.gate.as<T>() + begin * in.gate.strides[0],
          in.x.strides[0],
          in.gate.strides[0],
          in.weight.as<W>()};
}

template <class T, class W>
void forward_fast(const GatedRmsNormInputs& in, const TensorView& y, const TensorView& rstd, double eps) {
  parallel_row_blocks(in.x.sizes[0], in.x.sizes[1], kRowsPerBlock, [&](int64_t begin, int64_t end) {
    const GatedRmsNormResults<T> out{y.as<T>() + begin * in.x.sizes[1], rstd.as<float>() + begin * in.groups,
                                     static_cast<float>(eps)};
    VIGOR_PICK(gated_rms_norm_forward)(rows_of<T, W>(in, begin, end), out);
  });
}

template <class T, class W>
void backward_fast(const GatedRmsNormInputs& in, const GatedRmsNormGradients& grads) {
  const int64_t C = in.x.sizes[1], per_block = rows_per_sum_block(in.x.sizes[0]);
  parallel_row_blocks(in.x.sizes[0], C, per_block, [&](int64_t begin, int64_t end) {
    const GatedRmsNormRowGradients<T> rows{
        grads.dy.as<T>() + begin * grads.dy.strides[0],
        grads.dy.strides[0],
        grads.rstd.as<float>() + begin * in.groups,
        grads.dx.defined() ? grads.dx.as<T>() + begin * C : nullptr,
        grads.dgate.defined() ? grads.dgate.as<T>() + begin * C : nullptr,
        grads.partial.defined() ? grads.partial.as<float>() + begin / per_block * C : nullptr};
    VIGOR_PICK(gated_rms_norm_backward)(rows_of<T, W>(in, begin, end), rows);
  });
}

}  // namespace

void gated_rms_norm_forward_cpu(const GatedRmsNormInputs& in, const TensorView& y, const TensorView& rstd, double eps) {
  if (in.x.dtype == Dtype::f64) forward_naive(in, y, rstd, eps);
  else if (in.x.dtype == Dtype::f32) forward_fast<float, float>(in, y, rstd, eps);
  else if (in.weight.dtype == Dtype::f32) forward_fast<bf16, float>(in, y, rstd, eps);
  else forward_fast<bf16, bf16>(in, y, rstd, eps);
}

void gated_rms_norm_backward_cpu(const GatedRmsNormInputs& in, const GatedRmsNormGradients& grads) {
  if (in.x.dtype == Dtype::f64) backward_naive(in, grads);
  else if (in.x.dtype == Dtype::f32) backward_fast<float, float>(in, grads);
  else if (in.weight.dtype == Dtype::f32) backward_fast<bf16, float>(in, grads);
  else backward_fast<bf16, bf16>(in, grads);
  add_blocks(grads.dweight, grads.partial, 0);
}

}  // namespace vigor
