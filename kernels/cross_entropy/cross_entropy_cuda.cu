#include <algorithm>

#include "kernels/cross_entropy/cross_entropy_kernels.h"
#include "kernels/softmax/online_softmax.cuh"
#include "tensor/cuda_kernel.cuh"

namespace vigor {
namespace {

constexpr int kThreads = 256;
constexpr int kMostThreads = 1024;

// ---- loss and gradient of each row of logits ----
//
// One block a row, 16 bytes a thread at a time. The first pass finds maximum and sum together, the second writes the
// gradient. Rows of up to kCacheBytes stay in shared memory in between: then the row is read once and written once,
// which is the minimum; longer ones are read twice, the second time mostly from L2. Every thread meets the same
// elements in both passes, so that nobody waits for anybody but for the sums.

constexpr int64_t kCacheBytes = 96 << 10;

template <class T>
struct Rows {
  const T* logits;  // rows `ld` elements apart
  T* dlogits;       // the same, or null; may be `logits`
  int64_t ld, dlogits_ld, V;
  const int64_t* targets;
  int64_t ignore_index;
  const double* weight;  // of each row in the loss
  float* losses;
  bool cached;
};

// Elements [i, i + N) of a row of V as floats, -infinity behind its end.
template <int N, class T>
__device__ void load_row(float (&x)[N], const T* row, int64_t i, int64_t V) {
  if (i + N <= V) {
    const Pack<T, N> values = load_pack<N>(row + i);
    for (int e = 0; e < N; ++e) x[e] = to_float(values.value[e]);
  } else {
    for (int e = 0; e < N; ++e) x[e] = i + e < V ? to_float(row[i + e]) : -INFINITY;
  }
}

template <int N, class T>
__device__ void store_row(T* row, int64_t i, int64_t V, const Pack<T, N>& values) {
  if (i + N <= V) return store_pack(row + i, values);
  for (int e = 0; e < N; ++e)
    if (i + e < V) row[i + e] = values.value[e];
}

template <int N, class T>
__global__ void __launch_bounds__(kMostThreads) cross_entropy_rows_kernel(Rows<T> g) {
  extern __shared__ uint4 row_cache[];
  __shared__ OnlineSum shared[kMostThreads / kWarpSize];
  T* const cache = reinterpret_cast<T*>(row_cache);
  const T* const row = g.logits + blockIdx.x * g.ld;
  T* const gradient = g.dlogits != nullptr ? g.dlogits + blockIdx.x * g.dlogits_ld : nullptr;
  const int64_t first = int64_t{threadIdx.x} * N, step = int64_t{blockDim.x} * N;
  const int64_t target = g.targets[blockIdx.x];
  if (target == g.ignore_index) {
    if (threadIdx.x == 0) g.losses[blockIdx.x] = 0;
    for (int64_t i = first; gradient != nullptr && i < g.V; i += step) store_row(gradient, i, g.V, Pack<T, N>{});
    return;
  }
  // Nothing here can throw: a target that is no class shows as a loss and gradients that are not finite.
  const bool is_class = target >= 0 && target < g.V;
  const float at_target = threadIdx.x == 0 && is_class ? to_float(row[target]) : NAN;

  OnlineSum mine = OnlineSum::of_nothing();
  for (int64_t i = first; i < g.V; i += step) {
    float x[N];
    load_row(x, row, i, g.V);
    mine.add(x);
    if (g.cached) {
      Pack<T, N> values;
      for (int e = 0; e < N; ++e) values.value[e] = from_float<T>(x[e]);
      store_pack(cache + i, values);
    }
  }
  const OnlineSum total = block_total(mine, shared);
  if (threadIdx.x == 0) g.losses[blockIdx.x] = (total.maximum - at_target) + logf(total.sum);
  if (gradient == nullptr) return;
  const float weight = is_class ? static_cast<float>(*g.weight) : NAN, scale = weight / total.sum;
  for (int64_t i = first; i < g.V; i += step) {
    float x[N];
    if (g.cached) load_row(x, cache, i, i + N);
    else load_row(x, row, i, g.V);
    Pack<T, N> out;
    for (int e = 0; e < N; ++e) {
      const float softmax = __expf(x[e] - total.maximum) * scale;
      out.value[e] = from_float<T>(softmax - (i + e == target ? weight : 0.0f));
    }
    store_row(gradient, i, g.V, out);
  }
}

template <int N, class T>
void launch_rows(Rows<T> rows, int64_t tokens) {
  const int64_t row_bytes = ceil_div(rows.V, kPackElements<T>) * kPackBytes;
  rows.cached = rows.dlogits != nullptr && row_bytes <= kCacheBytes;
  // About four accesses a thread, where the row is long enough for that.
  const int64_t warps = std::clamp<int64_t>(ceil_div(rows.V, 4 * N * kWarpSize), 2, kMostThreads / kWarpSize);
  static const bool enlarged = [] {  // once: more than 48 KB must be asked for
    VIGOR_CUDA_CHECK(cudaFuncSetAttribute(cross_entropy_rows_kernel<N, T>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                          static_cast<int>(kCacheBytes)));
    return true;
  }();
  static_cast<void>(enlarged);
  cross_entropy_rows_kernel<N><<<static_cast<unsigned>(tokens), static_cast<unsigned>(warps * kWarpSize),
                                 rows.cached ? static_cast<size_t>(row_bytes) : 0, cuda_stream()>>>(rows);
  VIGOR_CUDA_CHECK_LAUNCH("cross_entropy");
}

// ---- one block for all tokens ----

__global__ void __launch_bounds__(kMostThreads)
    token_weight_kernel(double* weight, const int64_t* targets, int64_t n, int64_t ignore_index) {
  __shared__ int64_t sums[kMostThreads / kWarpSize];
  int64_t counted = 0;
  for (int64_t i = threadIdx.x; i < n; i += kMostThreads) counted += targets[i] != ignore_index ? 1 : 0;
  counted = block_sum(counted, sums);
  if (threadIdx.x == 0) *weight = counted > 0 ? 1.0 / static_cast<double>(counted) : 0.0;
}

// Every thread adds every 1024th loss, and then the threads are added up: the same order every time.
__global__ void __launch_bounds__(kMostThreads)
    weighted_loss_kernel(float* loss, const float* losses, int64_t n, const double* weight) {
  __shared__ double sums[kMostThreads / kWarpSize];
  double sum = 0;
  for (int64_t i = threadIdx.x; i < n; i += kMostThreads) sum += static_cast<double>(losses[i]);
  sum = block_sum(sum, sums);
  if (threadIdx.x == 0) *loss = static_cast<float>(sum * *weight);
}

// ---- backward ----

// N at a time, the last n % N one by one. Where `to` is `from` and dloss is 1, as it usually is, nothing is moved.
template <int N, class To, class From>
__global__ void __launch_bounds__(kThreads)
    scaled_gradient_kernel(To* to, const From* from, int64_t n, const float* dloss, bool accumulate, bool in_place) {
  const float scale = *dloss;
  if (in_place && !accumulate && scale == 1.0f) return;
  const auto scaled = [&](To old, From x) {
    return from_float<To>((accumulate ? to_float(old) : 0.0f) + scale * to_float(x));
  };
  for (int64_t i = global_thread(); i < n / N; i += global_threads()) {
    const Pack<From, N> in = load_pack<N>(from + i * N);
    Pack<To, N> out = accumulate ? load_pack<N>(to + i * N) : Pack<To, N>{};
    for (int e = 0; e < N; ++e) out.value[e] = scaled(out.value[e], in.value[e]);
    store_pack(to + i * N, out);
  }
  const int64_t rest = n / N * N + global_thread();
  if (rest < n) to[rest] = scaled(accumulate ? to[rest] : To{}, from[rest]);
}

template <class To, class From>
void launch_scaled_gradient(const GradientView& gradient, const TensorView& from_view, const TensorView& dloss) {
  constexpr int N = std::min(kPackElements<To>, kPackElements<From>);
  const int64_t n = from_view.numel();
  To* to = static_cast<To*>(gradient.view.data);
  const From* from = static_cast<const From*>(from_view.data);
  const bool in_place = gradient.view.data == from_view.data;
  if (packs_fit<To>(to, 0) && packs_fit<From>(from, 0))
    scaled_gradient_kernel<N><<<grid_size(n / N + 1, kThreads), kThreads, 0, cuda_stream()>>>(
        to, from, n, dloss.as<const float>(), gradient.accumulate, in_place);
  else
    scaled_gradient_kernel<1><<<grid_size(n, kThreads), kThreads, 0, cuda_stream()>>>(
        to, from, n, dloss.as<const float>(), gradient.accumulate, in_place);
  VIGOR_CUDA_CHECK_LAUNCH("cross_entropy_backward");
}

}  // namespace

void cross_entropy_rows_cuda(const CrossEntropyRows& r) {
  const int64_t tokens = r.logits.sizes[0], ld = r.logits.strides[0];
  if (tokens == 0) return;
  const int64_t dlogits_ld = r.dlogits.defined() ? r.dlogits.strides[0] : ld;
  visit_cuda_float(r.logits.dtype, "cross_entropy", [&]<class T>() {
    const Rows<T> rows{static_cast<const T*>(r.logits.data),
                       static_cast<T*>(r.dlogits.data),
                       ld,
                       dlogits_ld,
                       r.logits.sizes[1],
                       r.targets.as<const int64_t>(),
                       r.ignore_index,
                       r.weight.as<const double>(),
                       r.losses.as<float>(),
                       false};
    if (packs_fit<T>(r.logits.data, ld) && packs_fit<T>(r.dlogits.data, dlogits_ld))
      launch_rows<kPackElements<T>>(rows, tokens);
    else launch_rows<1>(rows, tokens);
  });
}

void token_weight_cuda(const TensorView& weight, const TensorView& targets, int64_t ignore_index) {
  token_weight_kernel<<<1, kMostThreads, 0, cuda_stream()>>>(weight.as<double>(), targets.as<const int64_t>(),
                                                             targets.numel(), ignore_index);
  VIGOR_CUDA_CHECK_LAUNCH("token_weight");
}

void weighted_loss_cuda(const TensorView& loss, const TensorView& losses, const TensorView& weight) {
  weighted_loss_kernel<<<1, kMostThreads, 0, cuda_stream()>>>(loss.as<float>(), losses.as<const float>(),
                                                              losses.numel(), weight.as<const double>());
  VIGOR_CUDA_CHECK_LAUNCH("weighted_loss");
}

void scaled_gradient_cuda(const GradientView& to, const TensorView& from, const TensorView& dloss) {
  if (from.numel() == 0) return;
  visit_cuda_float(to.view.dtype, "cross_entropy_backward", [&]<class To>() {
    visit_cuda_float(from.dtype, "cross_entropy_backward",
                     [&]<class From>() { launch_scaled_gradient<To, From>(to, from, dloss); });
  });
}

}  // namespace vigor
