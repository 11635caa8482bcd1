#include "tensor/simd_test_functions.h"

namespace vigor::VIGOR_ISA {
namespace {

vfloat evaluate(SimdFunction function, vfloat x) {
  switch (function) {
    case SimdFunction::exp:
      return exp(x);
    case SimdFunction::log:
      return log(x);
    case SimdFunction::log1p:
      return log1p(x);
    case SimdFunction::tanh:
      return tanh(x);
    case SimdFunction::sigmoid:
      return sigmoid(x);
    case SimdFunction::softplus:
      return softplus(x);
    case SimdFunction::erf:
      return erf(x);
    case SimdFunction::sqrt:
      break;
  }
  return sqrt(x);
}

// y = f(x) for any element types that load and store accept.
template <class In, class Out, class F>
void map(const In* x, Out* y, int64_t n, F f) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(y + i, f(load(x + i)));
  store_partial(y + i, f(load_partial(x + i, n - i)), n - i);
}

}  // namespace

int lanes() { return kLanes; }

void apply(SimdFunction function, const float* x, float* y, int64_t n) {
  map(x, y, n, [=](vfloat v) { return evaluate(function, v); });
}

void to_float(const bf16* x, float* y, int64_t n) {
  map(x, y, n, [](vfloat v) { return v; });
}

void to_half(const float* x, bf16* y, int64_t n) {
  map(x, y, n, [](vfloat v) { return v; });
}

float sum(const float* x, int64_t n) {
  vfloat total = zero();
  for (int64_t i = 0; i < n; i += kLanes) total += load_partial(x + i, n - i < kLanes ? n - i : kLanes);
  return horizontal_sum(total);
}

double sum_in_double(const float* x, int64_t n) {
  vdouble total = broadcast(0.0);
  for (int64_t i = 0; i < n; i += kLanes) {
    const vfloat v = load_partial(x + i, n - i < kLanes ? n - i : kLanes);
    total += widen_low(v) + widen_high(v);
  }
  return horizontal_sum(total);
}

float maximum(const float* x, int64_t n) {
  vfloat best = broadcast(x[0]);
  for (int64_t i = 0; i + kLanes <= n; i += kLanes) best = max(best, load(x + i));
  return horizontal_max(best);
}

void minimum_and_maximum(const float* a, const float* b, float* low, float* high, int64_t n) {
  for (int64_t i = 0; i + kLanes <= n; i += kLanes) {
    store(low + i, min(load(a + i), load(b + i)));
    store(high + i, max(load(a + i), load(b + i)));
  }
}

void stream_copy(const float* x, float* y, int64_t n) {
  for (int64_t i = 0; i + kLanes <= n; i += kLanes) stream(y + i, load(x + i));
  stream_fence();
}

}  // namespace vigor::VIGOR_ISA
