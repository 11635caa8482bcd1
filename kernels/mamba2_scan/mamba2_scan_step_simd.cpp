// One step of a decode call: the state as it lies in memory, the vectors over N.
#include "kernels/mamba2_scan/mamba2_scan_chunk.h"

namespace vigor::VIGOR_ISA {
namespace {

// Rows of the state worked on together: they share the loads of B and C, and their sums hide each other's latency.
constexpr int64_t kRows = 4;

// R rows of after = decay * before + x B^T, and y = after C + D x.
template <int R, class X>
VIGOR_INLINE void step_rows(int64_t N, float decayed, float dt, float skip_d, const X* x, const X* ssm_b,
                            const X* ssm_c, const float* before, float* after, X* y) {
  vfloat sum[R] = {};
  float x_dt[R];
  for (int r = 0; r < R; ++r) x_dt[r] = dt * static_cast<float>(x[r]);
  for_each_vector(N, [&](int64_t n, auto lanes) {
    const vfloat b = load(ssm_b + n, lanes), c = load(ssm_c + n, lanes);
    for (int r = 0; r < R; ++r) {
      vfloat s = x_dt[r] * b;
      if (before != nullptr) s = fma(load(before + r * N + n, lanes), decayed, s);
      store(after + r * N + n, s, lanes);
      sum[r] = fma(s, c, sum[r]);
    }
  });
  for (int r = 0; r < R; ++r) y[r] = X(horizontal_sum(sum[r]) + skip_d * static_cast<float>(x[r]));
}

template <class X>
void step(const Mamba2Forward<X>& p) {
  const Mamba2Task<X>& t = p.task;
  const int64_t size = t.P * t.N;
  const bool padding = t.time.length == 0, reset = t.time.is_reset(0);
  for (int64_t h = 0; h < t.heads; ++h) {
    const float* before = t.state != nullptr ? t.state + h * size : nullptr;
    float* const after = p.last_state + h * size;
    X* const y = p.y.data + h * p.y.head;
    if (padding) {
      copy_or_zeros(after, before, size);
      fill_zeros(y, t.P);
      continue;
    }
    if (reset) before = nullptr;
    const X* const x = t.x.data + h * t.x.head;
    const float raw = static_cast<float>(t.dt.data[h * t.dt.head]) + t.dt_bias[h];
    const float dt = limited_softplus(broadcast(raw), t.dt_min, t.dt_max)[0];
    const float decayed = exp(broadcast(-__builtin_expf(t.a_log[h]) * dt))[0];
    int64_t row = 0;
    const auto rows = [&](auto count) {
      step_rows<decltype(count)::value>(t.N, decayed, dt, t.skip_d[h], x + row, t.ssm_b.data, t.ssm_c.data,
                                        before != nullptr ? before + row * t.N : nullptr, after + row * t.N, y + row);
    };
    for (; row + kRows <= t.P; row += kRows) rows(Vectors<kRows>{});
    for (; row < t.P; ++row) rows(Vectors<1>{});
  }
}

}  // namespace

void mamba2_step(const Mamba2Forward<float>& p) { step(p); }
void mamba2_step(const Mamba2Forward<bf16>& p) { step(p); }

}  // namespace vigor::VIGOR_ISA
