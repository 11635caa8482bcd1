// One group of one row at a time: it stays in the first-level cache for both passes over it. The gate is computed in
// each of them, which costs less than memory for it would.
#include "kernels/gated_rms_norm/gated_rms_norm_simd.h"

#include "kernels/vector_loop.h"

namespace vigor::VIGOR_ISA {
namespace {

template <bool kNormBeforeGate, class T, class W>
float forward_group(T* y, const T* x, const T* gate, const W* weight, int64_t n, float multiplier, float eps) {
  // What is normalised: x, or x SiLU(gate).
  const auto normalised = [=](int64_t i, auto lanes) {
    if constexpr (kNormBeforeGate) return load(x + i, lanes);
    const vfloat z = load(gate + i, lanes) * multiplier;
    return load(x + i, lanes) * z * sigmoid(z);
  };
  vfloat squares = zero();
  for_each_vector(n, [&](int64_t i, auto lanes) {
    const vfloat u = normalised(i, lanes);
    squares = fma(u, u, squares);
  });
  const float rstd = 1.0f / __builtin_sqrtf(horizontal_sum(squares) / static_cast<float>(n) + eps);
  for_each_vector(n, [&](int64_t i, auto lanes) {
    vfloat v = normalised(i, lanes) * rstd * load(weight + i, lanes);
    if constexpr (kNormBeforeGate) {
      const vfloat z = load(gate + i, lanes) * multiplier;
      v *= z * sigmoid(z);
    }
    store(y + i, v, lanes);
  });
  return rstd;
}

// One group of one row; dweight is added to.
template <bool kNormBeforeGate, class T, class W>
void backward_group(T* dx, T* dgate, float* dweight, const T* dy, const T* x, const T* gate, const W* weight, int64_t n,
                    float multiplier, float rstd) {
  // Letters as in the card. uhat stands for xhat too: x, gated or not, times rstd.
  struct Terms {
    vfloat x, s, slope, uhat, h, dy_weight;
  };
  const auto terms = [=](int64_t i, auto lanes) {
    Terms t;
    const vfloat z = load(gate + i, lanes) * multiplier, sigma = sigmoid(z);
    t.x = load(x + i, lanes);
    t.s = z * sigma;
    t.slope = multiplier * sigma * fma(z, 1.0f - sigma, 1.0f);
    t.dy_weight = load(dy + i, lanes) * load(weight + i, lanes);
    t.uhat = kNormBeforeGate ? t.x * rstd : t.x * t.s * rstd;
    t.h = kNormBeforeGate ? t.dy_weight * t.s : t.dy_weight;
    return t;
  };
  vfloat sum_h_uhat = zero();
  for_each_vector(n, [&](int64_t i, auto lanes) {
    const Terms t = terms(i, lanes);
    sum_h_uhat = fma(t.h, t.uhat, sum_h_uhat);
    if (dweight == nullptr) return;
    const vfloat term = load(dy + i, lanes) * t.uhat;
    store(dweight + i, (kNormBeforeGate ? term * t.s : term) + load(dweight + i, lanes), lanes);
  });
  if (dx == nullptr && dgate == nullptr) return;
  const float mean_h_uhat = horizontal_sum(sum_h_uhat) / static_cast<float>(n);
  for_each_vector(n, [&](int64_t i, auto lanes) {
    const Terms t = terms(i, lanes);
    const vfloat du = rstd * (t.h - t.uhat * mean_h_uhat);
    if (dx != nullptr) store(dx + i, kNormBeforeGate ? du : du * t.s, lanes);
    if (dgate != nullptr) store(dgate + i, (kNormBeforeGate ? t.dy_weight * t.uhat : du * t.x) * t.slope, lanes);
  });
}

template <bool kNormBeforeGate, class T, class W>
void forward(const GatedRmsNormRows<T, W>& in, const GatedRmsNormResults<T>& out) {
  for (int64_t row = 0; row < in.rows; ++row)
    for (int64_t group = 0; group < in.groups; ++group) {
      const int64_t start = group * in.columns;
      out.rstd[row * in.groups + group] = forward_group<kNormBeforeGate>(
          out.y + row * in.groups * in.columns + start, in.x + row * in.x_stride + start,
          in.gate + row * in.gate_stride + start, in.weight + start, in.columns, in.gate_multiplier, out.eps);
    }
}

template <bool kNormBeforeGate, class T, class W>
void backward(const GatedRmsNormRows<T, W>& in, const GatedRmsNormRowGradients<T>& grads) {
  const int64_t channels = in.groups * in.columns;
  if (grads.dweight != nullptr)
    for (int64_t i = 0; i < channels; ++i) grads.dweight[i] = 0.0f;
  for (int64_t row = 0; row < in.rows; ++row)
    for (int64_t group = 0; group < in.groups; ++group) {
      const int64_t start = group * in.columns, at = row * channels + start;
      backward_group<kNormBeforeGate>(
          grads.dx == nullptr ? nullptr : grads.dx + at, grads.dgate == nullptr ? nullptr : grads.dgate + at,
          grads.dweight == nullptr ? nullptr : grads.dweight + start, grads.dy + row * grads.dy_stride + start,
          in.x + row * in.x_stride + start, in.gate + row * in.gate_stride + start, in.weight + start, in.columns,
          in.gate_multiplier, grads.rstd[row * in.groups + group]);
    }
}

}  // namespace

#define VIGOR_GATED_RMS_NORM(T, W)                                                                           \
  void gated_rms_norm_forward(const GatedRmsNormRows<T, W>& in, const GatedRmsNormResults<T>& out) {         \
    in.norm_before_gate ? forward<true>(in, out) : forward<false>(in, out);                                  \
  }                                                                                                          \
  void gated_rms_norm_backward(const GatedRmsNormRows<T, W>& in, const GatedRmsNormRowGradients<T>& grads) { \
    in.norm_before_gate ? backward<true>(in, grads) : backward<false>(in, grads);                            \
  }
VIGOR_GATED_RMS_NORM(float, float)
VIGOR_GATED_RMS_NORM(bf16, float)
VIGOR_GATED_RMS_NORM(bf16, bf16)
#undef VIGOR_GATED_RMS_NORM

}  // namespace vigor::VIGOR_ISA
