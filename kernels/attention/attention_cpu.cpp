#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "kernels/attention/attention_kernels.h"
#include "kernels/attention/attention_simd.h"
#include "tensor/dtype.h"
#include "tensor/primitives.h"
#include "tensor/threads.h"

namespace vigor {
namespace {

// Up to so many queries a head, the scores are dot products instead of blocked products.
constexpr int64_t kFewQueries = 4;
// Multiplications below which starting threads costs more than it saves.
constexpr double kSerialWork = 1 << 17;

struct Sizes {
  int64_t B, Tq, Tk, Hq, Hkv, P, group;  // group: query heads that read one key head
  explicit Sizes(const AttentionInputs& in)
      : B(in.q.sizes[0]),
        Tq(in.q.sizes[1]),
        Tk(in.k.sizes[1]),
        Hq(in.q.sizes[2]),
        Hkv(in.k.sizes[2]),
        P(in.q.sizes[3]),
        group(Hq / Hkv) {}
  bool few_queries() const { return Tq <= kFewQueries; }
  bool serial() const { return static_cast<double>(B * Hq * P) * static_cast<double>(Tq * Tk) < kSerialWork; }
};

// Rows t of head h in sequence b, of a view [B,T,H,P].
template <class T>
HeadRows<T> head(const TensorView& x, int64_t b, int64_t h, int64_t t = 0) {
  return {x.as<std::remove_const_t<T>>() + b * x.strides[0] + t * x.strides[1] + h * x.strides[2], x.strides[1]};
}

VisibleKeys visible_keys(const AttentionInputs& in, int64_t b, int64_t first_query) {
  const int64_t position = (in.offsets.defined() ? in.offsets.as<int32_t>()[b] : 0) + first_query;
  return {in.lengths.defined() ? in.lengths.as<int32_t>()[b] : in.k.sizes[1], position + 1, in.causal};
}

// ---- the definition, in f64: one query at a time ----

double score(const double* q, const double* k, int64_t P, double scale) {
  double sum = 0;
  for (int64_t c = 0; c < P; ++c) sum += q[c] * k[c];
  return scale * sum;
}

void attention_forward_naive(const AttentionInputs& in, const TensorView& y, const TensorView& lse) {
  const Sizes n(in);
  for (int64_t b = 0; b < n.B; ++b)
    for (int64_t h = 0; h < n.Hq; ++h)
      for (int64_t i = 0; i < n.Tq; ++i) {
        const double* q = head<double>(in.q, b, h, i).data;
        double* out = head<double>(y, b, h, i).data;
        const auto k = head<double>(in.k, b, h / n.group), v = head<double>(in.v, b, h / n.group);
        const int64_t keys = visible_keys(in, b, i).of(0);
        double maximum = -std::numeric_limits<double>::infinity(), sum = 0;
        for (int64_t j = 0; j < keys; ++j) maximum = std::max(maximum, score(q, k.data + j * k.stride, n.P, in.scale));
        std::fill_n(out, n.P, 0.0);
        for (int64_t j = 0; j < keys; ++j) {
          const double e = std::exp(score(q, k.data + j * k.stride, n.P, in.scale) - maximum);
          sum += e;
          for (int64_t c = 0; c < n.P; ++c) out[c] += e * v.data[j * v.stride + c];
        }
        for (int64_t c = 0; keys > 0 && c < n.P; ++c) out[c] /= sum;
        lse.as<double>()[(b * n.Hq + h) * n.Tq + i] = maximum + std::log(sum);
      }
}

void attention_backward_naive(const AttentionInputs& in, const AttentionGradients& grads) {
  const Sizes n(in);
  for (int64_t b = 0; b < n.B; ++b)
    for (int64_t h = 0; h < n.Hq; ++h)
      for (int64_t i = 0; i < n.Tq; ++i) {
        const double *q = head<double>(in.q, b, h, i).data, *dy = head<double>(grads.dy, b, h, i).data;
        const auto k = head<double>(in.k, b, h / n.group), v = head<double>(in.v, b, h / n.group);
        const auto dk = head<double>(grads.dk, b, h / n.group), dv = head<double>(grads.dv, b, h / n.group);
        double* dq = head<double>(grads.dq, b, h, i).data;
        const int64_t row = (b * n.Hq + h) * n.Tq + i;
        const double dlse = grads.dlse.defined() ? grads.dlse.as<double>()[row] : 0;
        const double row_term = score(head<double>(grads.y, b, h, i).data, dy, n.P, 1) - dlse;
        std::fill_n(dq, n.P, 0.0);
        for (int64_t j = 0; j < visible_keys(in, b, i).of(0); ++j) {
          const double* k_j = k.data + j * k.stride;
          const double p = std::exp(score(q, k_j, n.P, in.scale) - grads.lse.as<double>()[row]);
          const double ds = in.scale * p * (score(dy, v.data + j * v.stride, n.P, 1) - row_term);
          for (int64_t c = 0; c < n.P; ++c) {
            dv.data[j * dv.stride + c] += p * dy[c];
            dk.data[j * dk.stride + c] += ds * q[c];
            dq[c] += ds * k_j[c];
          }
        }
      }
}

// ---- f32 and bf16: blocks ----

template <class X>
void forward_blocks(const AttentionInputs& in, const TensorView& y, const TensorView& lse, const TensorView& scratch) {
  const Sizes n(in);
  const int64_t blocks = (n.Tq + kAttentionBlock - 1) / kAttentionBlock;
  // Late blocks of queries see more keys: threads fetch work one block at a time.
  parallel_tasks(n.B * n.Hq * blocks, !n.serial(), [&](int64_t unit) {
    const int64_t b = unit / (n.Hq * blocks), h = unit / blocks % n.Hq, i = unit % blocks * kAttentionBlock;
    VIGOR_PICK(attention_forward_block)
    (AttentionForwardBlock<X>{std::min(kAttentionBlock, n.Tq - i), n.P, visible_keys(in, b, i),
                              static_cast<float>(in.scale), head<const X>(in.q, b, h, i),
                              head<const X>(in.k, b, h / n.group), head<const X>(in.v, b, h / n.group),
                              head<X>(y, b, h, i), lse.as<float>() + (b * n.Hq + h) * n.Tq + i,
                              scratch.as<float>() + thread_index() * attention_forward_block_scratch(n.P)});
  });
}

template <class X>
void forward_few_queries(const AttentionInputs& in, const TensorView& y, const TensorView& lse,
                         const TensorView& scratch) {
  const Sizes n(in);
  const int64_t scratch_size = attention_few_queries_scratch(n.group, n.Tq, n.P);
  parallel_for(n.B * n.Hkv, !n.serial(), [&](int64_t unit) {
    const int64_t b = unit / n.Hkv, kv = unit % n.Hkv, h = kv * n.group;
    VIGOR_PICK(attention_few_queries)
    (AttentionFewQueries<X>{n.group, n.Tq, n.P, visible_keys(in, b, 0), static_cast<float>(in.scale),
                            head<const X>(in.q, b, h), head<const X>(in.k, b, kv), head<const X>(in.v, b, kv),
                            head<X>(y, b, h), in.q.strides[2], y.strides[2], lse.as<float>() + (b * n.Hq + h) * n.Tq,
                            scratch.as<float>() + thread_index() * scratch_size});
  });
}

// A thread does all query heads of one key head, one block of queries after the other: so the sums dk and dv have one
// owner and one order.
template <class X>
void backward_blocks(const AttentionInputs& in, const AttentionGradients& grads, const TensorView& scratch) {
  const Sizes n(in);
  parallel_tasks(n.B * n.Hkv, !n.serial(), [&](int64_t unit) {
    const int64_t b = unit / n.Hkv, kv = unit % n.Hkv;
    const HeadRows<float> dk = head<float>(grads.dk, b, kv), dv = head<float>(grads.dv, b, kv);
    for (int64_t h = kv * n.group; h < (kv + 1) * n.group; ++h)
      for (int64_t i = 0; i < n.Tq; i += kAttentionBlock) {
        const int64_t row = (b * n.Hq + h) * n.Tq + i;
        VIGOR_PICK(attention_backward_block)
        (AttentionBackwardBlock<X>{
            std::min(kAttentionBlock, n.Tq - i), n.P, visible_keys(in, b, i), static_cast<float>(in.scale),
            head<const X>(in.q, b, h, i), head<const X>(in.k, b, kv), head<const X>(in.v, b, kv),
            head<const X>(grads.y, b, h, i), head<const X>(grads.dy, b, h, i), grads.lse.as<float>() + row,
            grads.dlse.defined() ? grads.dlse.as<float>() + row : nullptr, head<float>(grads.dq, b, h, i), dk, dv,
            scratch.as<float>() + thread_index() * attention_backward_block_scratch(n.P)});
      }
  });
}

}  // namespace

int64_t attention_forward_scratch(const AttentionInputs& in) {
  const Sizes n(in);
  if (in.q.dtype == Dtype::f64) return 0;
  return max_threads() *
         (n.few_queries() ? attention_few_queries_scratch(n.group, n.Tq, n.P) : attention_forward_block_scratch(n.P));
}

int64_t attention_backward_scratch(const AttentionInputs& in) {
  return in.q.dtype == Dtype::f64 ? 0 : max_threads() * attention_backward_block_scratch(in.q.sizes[3]);
}

void attention_forward_cpu(const AttentionInputs& in, const TensorView& y, const TensorView& lse,
                           const TensorView& scratch) {
  visit_float(in.q.dtype, "attention", [&]<class X>() {
    if constexpr (std::is_same_v<X, double>) attention_forward_naive(in, y, lse);
    else if (Sizes(in).few_queries()) forward_few_queries<X>(in, y, lse, scratch);
    else forward_blocks<X>(in, y, lse, scratch);
  });
}

void attention_backward_cpu(const AttentionInputs& in, const AttentionGradients& grads, const TensorView& scratch) {
  fill(grads.dk, 0);
  fill(grads.dv, 0);
  visit_float(in.q.dtype, "attention", [&]<class X>() {
    if constexpr (std::is_same_v<X, double>) attention_backward_naive(in, grads);
    else backward_blocks<X>(in, grads, scratch);
  });
}

}  // namespace vigor
