// Version 1: the equations one thread at a time. Both scans walk all T steps in order, with B d threads for h and B
// blocks for s, so a GPU is nearly idle during them; each product is one thread an element, which asks the cache for
// both operands of every multiply-add again. Of passes over [B,T,d], memory sees 5 forward (x twice, y written twice
// and read once) and 9 backward (dy four times, x twice, dx written twice and read once).
#include "kernels/hybrid_mixer/hybrid_mixer_cuda.cuh"

namespace vigor::hybrid {
namespace {

constexpr int kThreads = 128;

// out[i,j] (+)= sum over k of a[i,k] b[k,j], any strides; out is [rows,columns].
struct ProductShape {
  int64_t rows, columns, depth;
  int64_t a_row, a_step;     // from i to i+1, from k to k+1
  int64_t b_step, b_column;  // from k to k+1, from j to j+1
};
template <class A, class B, class Out>
__global__ void product_kernel(ProductShape p, const A* a, const B* b, Out* out, bool accumulate) {
  for (int64_t e = global_thread(); e < p.rows * p.columns; e += global_threads()) {
    const int64_t i = e / p.columns, j = e % p.columns;
    float sum = accumulate ? to_float(out[e]) : 0.0f;
    for (int64_t k = 0; k < p.depth; ++k)
      sum += to_float(a[i * p.a_row + k * p.a_step]) * to_float(b[k * p.b_step + j * p.b_column]);
    out[e] = from_float<Out>(sum);
  }
}
template <class A, class B, class Out>
void product(const ProductShape& p, const A* a, const B* b, Out* out, bool accumulate) {
  product_kernel<<<grid_size(p.rows * p.columns, kThreads), kThreads, 0, cuda_stream()>>>(p, a, b, out, accumulate);
  VIGOR_CUDA_CHECK_LAUNCH("hybrid_mixer product");
}

// One block a sequence, one thread a state; s holds u_t before.
__global__ void state_forward_v1_kernel(Time time, int n, const float* a, const float* s0, float* s, float* s_last) {
  __shared__ float previous[kHybridMaxStates];
  const int i = static_cast<int>(threadIdx.x);
  const int64_t sequence = blockIdx.x, length = time.length(sequence);
  const bool active = i < n;
  if (active) previous[i] = s0 != nullptr ? s0[sequence * n + i] : 0.0f;
  for (int64_t t = 0; t < time.steps; ++t) {
    __syncthreads();
    float sum = 0;
    float* element = s + (sequence * time.steps + t) * n + i;
    if (active && t < length) {
      sum = *element;
      if (!time.is_reset(sequence, t))
        for (int j = 0; j < n; ++j) sum += a[i * n + j] * previous[j];
    }
    __syncthreads();
    if (!active) continue;
    *element = sum;
    if (t < length) previous[i] = sum;
  }
  if (active) s_last[sequence * n + i] = previous[i];
}

// The same against time; g holds e_t before. `flow` is what reaches step t - 1: A^T g_t.
__global__ void state_backward_v1_kernel(Time time, int n, const float* a, const float* ds_last, float* g, float* ds0) {
  __shared__ float shared_g[kHybridMaxStates];
  const int j = static_cast<int>(threadIdx.x);
  const int64_t sequence = blockIdx.x, length = time.length(sequence);
  const bool active = j < n;
  float flow = active && ds_last != nullptr ? ds_last[sequence * n + j] : 0.0f;
  for (int64_t t = time.steps - 1; t >= 0; --t) {
    float* element = g + (sequence * time.steps + t) * n + j;
    if (t >= length) {
      if (active) *element = 0;
      continue;
    }
    __syncthreads();
    if (active) shared_g[j] = *element += flow;
    __syncthreads();
    flow = 0;
    if (active && !time.is_reset(sequence, t))
      for (int i = 0; i < n; ++i) flow += a[i * n + j] * shared_g[i];
  }
  if (active && ds0 != nullptr) ds0[sequence * n + j] = flow;
}

template <class X>
__global__ void channels_forward_v1_kernel(Time time, int64_t d, const X* x, const float* w, const float* skip_d,
                                           const float* h0, X* y, float* h_last, float* h_chunks) {
  const int64_t e = global_thread();  // in [B,d]
  if (e >= time.batch * d) return;
  const int64_t sequence = e / d, c = e % d, length = time.length(sequence);
  float h = h0 != nullptr ? h0[e] : 0.0f;
  for (int64_t t = 0; t < time.steps; ++t) {
    if (t % kChunk == 0) h_chunks[(sequence * time.chunks_each() + t / kChunk) * d + c] = h;
    const int64_t at = (sequence * time.steps + t) * d + c;
    if (t < length) h = w[c] * (time.is_reset(sequence, t) ? 0.0f : h) + (1.0f - w[c]) * to_float(x[at]);
    y[at] = from_float<X>(t < length ? skip_d[c] * h : 0.0f);
  }
  h_last[e] = h;
}

// One thread a channel, for all sequences, so that its sums have one order. The gradient of w needs no h from the sweep
// against time: with r_t = dh_t/dw = h_{t-1} - x_t + w r_{t-1}, dw = sum D dy_t r_t + dh_last r_last.
template <class X>
__global__ void channels_backward_v1_kernel(Time time, int64_t d, const X* x, const X* dy, const float* w_mix,
                                            const float* skip_d, const float* h0, const float* dh_last, X* dx,
                                            float* dh0, float* sums) {
  const int64_t c = global_thread();
  if (c >= d) return;
  const float w = w_mix[c];
  float dw = 0, dskip_d = 0;
  for (int64_t sequence = 0; sequence < time.batch; ++sequence) {
    const int64_t length = time.length(sequence), first = sequence * time.steps * d + c, state = sequence * d + c;
    const float dh_end = dh_last != nullptr ? dh_last[state] : 0.0f;
    float h = h0 != nullptr ? h0[state] : 0.0f, r = 0;
    for (int64_t t = 0; t < length; ++t) {
      const float value = to_float(x[first + t * d]), dy_t = to_float(dy[first + t * d]);
      if (time.is_reset(sequence, t)) h = r = 0;
      r = h - value + w * r;
      h = w * h + (1.0f - w) * value;
      dw += skip_d[c] * dy_t * r;
      dskip_d += dy_t * h;
    }
    dw += dh_end * r;
    float q = dh_end;  // what reaches step t from behind it
    for (int64_t t = time.steps - 1; t >= 0; --t) {
      X& out = dx[first + t * d];
      if (t < length) q += skip_d[c] * to_float(dy[first + t * d]);
      out = from_float<X>(t < length ? (1.0f - w) * q : 0.0f);
      if (t < length) q = time.is_reset(sequence, t) ? 0.0f : w * q;
    }
    if (dh0 != nullptr) dh0[state] = q;
  }
  sums[c] = dw;
  sums[d + c] = dskip_d;
}

struct Sizes {
  int64_t rows, d, n;  // rows = B T
};
Sizes sizes_of(const HybridMixerInputs& in) {
  return {in.x.sizes[0] * in.x.sizes[1], in.x.sizes[2], in.ssm_a.sizes[0]};
}
unsigned state_threads(int64_t n) { return static_cast<unsigned>(ceil_div(n, kWarpSize) * kWarpSize); }

template <class X>
void channels_forward(const HybridMixerInputs& in, const HybridMixerOutputs& out, const HybridMixerWork& work) {
  const Time time(in);
  const int64_t d = in.x.sizes[2];
  const auto blocks = static_cast<unsigned>(ceil_div(time.batch * d, kThreads));
  channels_forward_v1_kernel<<<blocks, kThreads, 0, cuda_stream()>>>(
      time, d, static_cast<const X*>(in.x.data), in.w_mix.as<float>(), in.skip_d.as<float>(), in.h0.as<float>(),
      static_cast<X*>(out.y.data), out.h_last.as<float>(), work.h_chunks.as<float>());
  VIGOR_CUDA_CHECK_LAUNCH("hybrid_mixer channels forward");
}

template <class X>
void channels_backward(const HybridMixerInputs& in, const HybridMixerGradients& grads, const HybridMixerWork& work) {
  const int64_t d = in.x.sizes[2];
  const auto blocks = static_cast<unsigned>(ceil_div(d, kThreads));
  channels_backward_v1_kernel<<<blocks, kThreads, 0, cuda_stream()>>>(
      Time(in), d, static_cast<const X*>(in.x.data), static_cast<const X*>(grads.dy.data), in.w_mix.as<float>(),
      in.skip_d.as<float>(), in.h0.as<float>(), grads.dh_last.as<float>(), static_cast<X*>(grads.dx.data),
      grads.dh0.as<float>(), work.sums.as<float>());
  VIGOR_CUDA_CHECK_LAUNCH("hybrid_mixer channels backward");
  launch_slice_sum(work.sums.as<float>(), 1, 0, 1, d, false, grads.dw_mix);
  launch_slice_sum(work.sums.as<float>() + d, 1, 0, 1, d, false, grads.dskip_d);
}

}  // namespace

void product_x_bt(const HybridMixerInputs& in, const TensorView& u) {
  const auto [rows, d, n] = sizes_of(in);
  const ProductShape shape{rows, n, d, d, 1, 1, d};
  visit_cuda_float(in.x.dtype, "hybrid_mixer", [&, shape]<class X>() {
    product(shape, static_cast<const X*>(in.x.data), in.ssm_b.as<float>(), u.as<float>(), false);
  });
}
void product_s_ct(const HybridMixerInputs& in, const HybridMixerOutputs& out) {
  const auto [rows, d, n] = sizes_of(in);
  const ProductShape shape{rows, d, n, n, 1, 1, n};
  visit_cuda_float(in.x.dtype, "hybrid_mixer", [&, shape]<class X>() {
    product(shape, out.s.as<float>(), in.ssm_c.as<float>(), static_cast<X*>(out.y.data), true);
  });
}
void product_dy_c(const HybridMixerInputs& in, const HybridMixerGradients& grads, const TensorView& e) {
  const auto [rows, d, n] = sizes_of(in);
  const ProductShape shape{rows, n, d, d, 1, n, 1};
  visit_cuda_float(in.x.dtype, "hybrid_mixer", [&, shape]<class X>() {
    product(shape, static_cast<const X*>(grads.dy.data), in.ssm_c.as<float>(), e.as<float>(), false);
  });
}
void products_of_g(const HybridMixerInputs& in, const HybridMixerGradients& grads) {
  const auto [rows, d, n] = sizes_of(in);
  const ProductShape dx{rows, d, n, n, 1, d, 1}, db{n, d, rows, 1, n, d, 1}, dc{d, n, rows, 1, d, n, 1};
  visit_cuda_float(in.x.dtype, "hybrid_mixer", [&, dx, db, dc]<class X>() {
    const auto *g = grads.g.as<float>(), *s = grads.s.as<float>();
    const auto *x = static_cast<const X*>(in.x.data), *dy = static_cast<const X*>(grads.dy.data);
    product(dx, g, in.ssm_b.as<float>(), static_cast<X*>(grads.dx.data), true);
    if (grads.db.defined()) product(db, g, x, grads.db.view.as<float>(), grads.db.accumulate);
    if (grads.dc.defined()) product(dc, dy, s, grads.dc.view.as<float>(), grads.dc.accumulate);
  });
}

void forward_v1(const HybridMixerInputs& in, const HybridMixerOutputs& out, const HybridMixerWork& work) {
  const Time time(in);
  const int64_t n = in.ssm_a.sizes[0];
  product_x_bt(in, out.s);
  state_forward_v1_kernel<<<static_cast<unsigned>(time.batch), state_threads(n), 0, cuda_stream()>>>(
      time, static_cast<int>(n), in.ssm_a.as<float>(), in.s0.as<float>(), out.s.as<float>(), out.s_last.as<float>());
  VIGOR_CUDA_CHECK_LAUNCH("hybrid_mixer state forward");
  visit_cuda_float(in.x.dtype, "hybrid_mixer", [&]<class X>() { channels_forward<X>(in, out, work); });
  product_s_ct(in, out);
}

void backward_v1(const HybridMixerInputs& in, const HybridMixerGradients& grads, const HybridMixerWork& work) {
  const Time time(in);
  const int64_t n = in.ssm_a.sizes[0];
  product_dy_c(in, grads, grads.g);
  state_backward_v1_kernel<<<static_cast<unsigned>(time.batch), state_threads(n), 0, cuda_stream()>>>(
      time, static_cast<int>(n), in.ssm_a.as<float>(), grads.ds_last.as<float>(), grads.g.as<float>(),
      grads.ds0.as<float>());
  VIGOR_CUDA_CHECK_LAUNCH("hybrid_mixer state backward");
  visit_cuda_float(in.x.dtype, "hybrid_mixer", [&]<class X>() { channels_backward<X>(in, grads, work); });
  products_of_g(in, grads);
  if (!grads.da.defined()) return;
  launch_matrix_gradient(time, static_cast<int>(n), 1, grads.g.as<float>(), grads.s.as<float>(), in.s0.as<float>(),
                         work.matrix_sums.as<float>());
  launch_slice_sum(work.matrix_sums.as<float>(), 1, 0, n, n, false, grads.da);
}

}  // namespace vigor::hybrid
