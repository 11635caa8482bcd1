#include <algorithm>
#include <limits>

#include "kernels/gemm/gemm_cuda.h"
#include "kernels/linear_cross_entropy/linear_cross_entropy_kernels.h"
#include "tensor/cuda_kernel.cuh"

namespace vigor {
namespace {

constexpr float kLowest = -std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// ---- loss and gradient of each row of logits ----
//
// One block a row, 16 bytes a thread at a time. The first pass keeps the maximum of what a thread has seen and the sum
// of exp(x - maximum), rescaled whenever the maximum grows ("online softmax"), so that it reads the row once. The
// second replaces the logits by their gradient. Rows of up to kCacheBytes stay in shared memory in between: then the
// row is read once and written once, which is the minimum; longer ones are read twice, the second time mostly from L2.
// Every thread meets the same elements in both passes, so that nobody waits for anybody but for the sums.

constexpr int kMostThreads = 1024;
constexpr int64_t kCacheBytes = 96 << 10;

// Elements [i, i + N) of a row of V, -infinity behind its end.
template <int N, class T>
__device__ Pack<T, N> load_row(const T* row, int64_t i, int64_t V) {
  if (i + N <= V) return load_pack<N>(row + i);
  Pack<T, N> values;
  for (int e = 0; e < N; ++e) values.value[e] = i + e < V ? row[i + e] : from_float<T>(kLowest);
  return values;
}

template <int N, class T>
__device__ void store_row(T* row, int64_t i, int64_t V, const Pack<T, N>& values) {
  if (i + N <= V) return store_pack(row + i, values);
  for (int e = 0; e < N; ++e)
    if (i + e < V) row[i + e] = values.value[e];
}

__device__ float block_max(float x, float* shared) {
  x = warp_max(x);
  if (threadIdx.x % kWarpSize == 0) shared[threadIdx.x / kWarpSize] = x;
  __syncthreads();
  float most = shared[0];
  for (unsigned w = 1; w < blockDim.x / kWarpSize; ++w) most = fmaxf(most, shared[w]);
  return most;
}

// The maximum of what was added, and the sum of exp(x - maximum).
struct OnlineSum {
  float maximum = kLowest, sum = 0;

  template <class T, int N>
  __device__ void add(const Pack<T, N>& values) {
    float most = maximum;
    for (int e = 0; e < N; ++e) most = fmaxf(most, to_float(values.value[e]));
    // While all are -infinity their exponentials are 0, and their differences would be NaN. A NaN among the values is
    // not seen by fmaxf and must come through.
    const float offset = most == kLowest ? 0.0f : most;
    sum *= __expf(maximum - offset);
    for (int e = 0; e < N; ++e) sum += __expf(to_float(values.value[e]) - offset);
    maximum = most;
  }
};

struct RowArguments {
  int64_t ld, V;
  const int64_t* targets;
  int64_t ignore_index;
  const double* weight;  // of each row in the loss
  float* losses;
  bool gradients, cached;
};

template <class T>
__global__ void __launch_bounds__(kMostThreads) cross_entropy_rows_kernel(T* logits, RowArguments g) {
  constexpr int N = kPackElements<T>;
  extern __shared__ uint4 row_cache[];
  __shared__ float maxima[kMostThreads / kWarpSize], sums[kMostThreads / kWarpSize];
  Pack<T, N>* const cache = reinterpret_cast<Pack<T, N>*>(row_cache);
  T* const row = logits + blockIdx.x * g.ld;
  const int64_t first = int64_t{threadIdx.x} * N, step = int64_t{blockDim.x} * N;
  const int64_t target = g.targets[blockIdx.x];
  if (target == g.ignore_index) {
    if (threadIdx.x == 0) g.losses[blockIdx.x] = 0;
    for (int64_t i = first; g.gradients && i < g.V; i += step) store_row(row, i, g.V, Pack<T, N>{});
    return;
  }
  // Nothing here can throw: a target that is no class shows as a loss and gradients that are not finite.
  const bool is_class = target >= 0 && target < g.V;
  const float at_target = threadIdx.x == 0 && is_class ? to_float(row[target]) : kNan;

  OnlineSum mine;
  for (int64_t i = first; i < g.V; i += step) {
    const Pack<T, N> values = load_row<N>(row, i, g.V);
    if (g.cached) cache[i / N] = values;
    mine.add(values);
  }
  const float maximum = block_max(mine.maximum, maxima);
  const float sum = block_sum(mine.sum * __expf(mine.maximum - maximum), sums);
  if (threadIdx.x == 0) g.losses[blockIdx.x] = maximum + logf(sum) - at_target;
  if (!g.gradients) return;
  const float weight = is_class ? static_cast<float>(*g.weight) : kNan, scale = weight / sum;
  for (int64_t i = first; i < g.V; i += step) {
    Pack<T, N> values = g.cached ? cache[i / N] : load_row<N>(row, i, g.V);
    for (int e = 0; e < N; ++e) {
      const float softmax = __expf(to_float(values.value[e]) - maximum) * scale;
      values.value[e] = from_float<T>(softmax - (i + e == target ? weight : 0.0f));
    }
    store_row(row, i, g.V, values);
  }
}

template <class T>
void launch_rows(const TensorView& logits, int64_t tokens, RowArguments arguments) {
  constexpr int N = kPackElements<T>;
  const int64_t row_bytes = ceil_div(arguments.V, N) * kPackBytes;
  arguments.cached = arguments.gradients && row_bytes <= kCacheBytes;
  // About four packs a thread, where the row is long enough for that.
  const int64_t warps = std::clamp<int64_t>(ceil_div(arguments.V, 4 * N * kWarpSize), 2, kMostThreads / kWarpSize);
  static const bool enlarged = [] {  // once: more than 48 KB must be asked for
    VIGOR_CUDA_CHECK(cudaFuncSetAttribute(cross_entropy_rows_kernel<T>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                          static_cast<int>(kCacheBytes)));
    return true;
  }();
  static_cast<void>(enlarged);
  cross_entropy_rows_kernel<<<static_cast<unsigned>(tokens), static_cast<unsigned>(warps * kWarpSize),
                              arguments.cached ? static_cast<size_t>(row_bytes) : 0, cuda_stream()>>>(
      static_cast<T*>(logits.data), arguments);
  VIGOR_CUDA_CHECK_LAUNCH("linear_cross_entropy");
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

// Four at a time: `from` is f32. The last n % 4 one by one.
template <class To>
__global__ void scaled_gradient_kernel(To* to, const float* from, int64_t n, const float* dloss, bool accumulate,
                                       bool in_place) {
  const float scale = *dloss;
  if (in_place && scale == 1.0f) return;  // the usual case
  const auto scaled = [&](To old, float x) { return from_float<To>((accumulate ? to_float(old) : 0.0f) + scale * x); };
  for (int64_t i = global_thread(); i < n / 4; i += global_threads()) {
    const Pack<float, 4> in = load_pack<4>(from + i * 4);
    Pack<To, 4> out = accumulate ? load_pack<4>(to + i * 4) : Pack<To, 4>{};
    for (int e = 0; e < 4; ++e) out.value[e] = scaled(out.value[e], in.value[e]);
    store_pack(to + i * 4, out);
  }
  const int64_t rest = n / 4 * 4 + global_thread();
  if (rest < n) to[rest] = scaled(accumulate ? to[rest] : To{}, from[rest]);
}

TensorView rows_of(const TensorView& x, int64_t start, int64_t end) {
  return sliced(x, 0, start, end, 1, "linear_cross_entropy");
}

}  // namespace

void token_weight_cuda(const TensorView& weight, const TensorView& targets, int64_t ignore_index) {
  token_weight_kernel<<<1, kMostThreads, 0, cuda_stream()>>>(weight.as<double>(), targets.as<int64_t>(),
                                                             targets.numel(), ignore_index);
  VIGOR_CUDA_CHECK_LAUNCH("linear_cross_entropy");
}

void linear_cross_entropy_cuda(const LinearCrossEntropyViews& v) {
  const int64_t N = v.x.sizes[0], d = v.x.sizes[1], V = v.weight.sizes[0];
  const int64_t chunk = v.logits.sizes[0], ld = v.logits.strides[0];
  const Dtype sums = v.losses.dtype, logits_dtype = v.logits.dtype;
  const bool gradients = v.dx.defined() || v.dw.defined() || v.dbias.defined();
  for (int64_t start = 0; start < N; start += chunk) {
    const int64_t tokens = std::min(chunk, N - start);
    const TensorView x = rows_of(v.x, start, start + tokens);
    void* const logits = v.logits.data;  // [tokens,V], then their gradient
    gemm_cuda(tokens, V, d, {x.data, x.dtype, d}, {v.weight.data, v.weight.dtype, d, Transpose::yes},
              {logits, logits_dtype, ld}, GemmCudaEpilogue::add_bias(v.bias.data));
    const RowArguments rows{ld,
                            V,
                            v.targets.as<int64_t>() + start,
                            v.ignore_index,
                            v.loss_weight.as<double>(),
                            v.losses.as<float>() + start,
                            gradients,
                            false};
    visit_cuda_float(logits_dtype, "linear_cross_entropy", [&]<class T>() { launch_rows<T>(v.logits, tokens, rows); });
    const Accumulate accumulate = start > 0 ? Accumulate::yes : Accumulate::no;
    if (v.dx.defined())
      gemm_cuda(tokens, d, V, {logits, logits_dtype, ld}, {v.weight.data, v.weight.dtype, d},
                {rows_of(v.dx, start, start + tokens).data, sums, d});
    const GemmOutput dbias(v.dbias.data, sums, V, accumulate);
    if (v.dw.defined()) {
      const GemmCudaEpilogue epilogue = v.dbias.defined() ? GemmCudaEpilogue::sum_rows_of_a(dbias) : GemmCudaEpilogue();
      gemm_cuda(V, d, tokens, {logits, logits_dtype, ld, Transpose::yes}, {x.data, x.dtype, d},
                {v.dw.data, sums, d, accumulate}, epilogue);
    } else if (v.dbias.defined()) {
      column_sum_cuda(tokens, V, {logits, logits_dtype, ld}, dbias);
    }
  }
}

void weighted_loss_cuda(const TensorView& loss, const TensorView& losses, const TensorView& weight) {
  weighted_loss_kernel<<<1, kMostThreads, 0, cuda_stream()>>>(loss.as<float>(), losses.as<float>(), losses.numel(),
                                                              weight.as<double>());
  VIGOR_CUDA_CHECK_LAUNCH("linear_cross_entropy");
}

void scaled_gradient_cuda(const GradientView& to, const TensorView& from, const TensorView& dloss) {
  const int64_t n = from.numel();
  visit_cuda_float(to.view.dtype, "linear_cross_entropy_backward", [&]<class To>() {
    scaled_gradient_kernel<<<grid_size(n / 4 + 1, 256), 256, 0, cuda_stream()>>>(
        to.view.as<To>(), from.as<float>(), n, dloss.as<float>(), to.accumulate, to.view.data == from.data);
  });
  VIGOR_CUDA_CHECK_LAUNCH("linear_cross_entropy_backward");
}

}  // namespace vigor
