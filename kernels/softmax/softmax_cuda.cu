// Softmax: four versions along the last dimension, from one thread a row to rows in registers. The least is one read
// and one write of a row, backward two reads and one write.
#include "kernels/cuda_rows.cuh"
#include "kernels/kernel_version.h"
#include "kernels/softmax/online_softmax.cuh"
#include "kernels/softmax/softmax_kernels.h"

namespace vigor {
namespace {

constexpr int kThreads = kWarpsPerBlock * kWarpSize;

// Contiguous tensors around the dimension of n elements: [outer,n,inner].
struct Lines {
  int64_t outer = 1, n = 1, inner = 1;

  Lines(const Shape& sizes, int dim) : n(sizes[dim]) {
    for (int d = 0; d < dim; ++d) outer *= sizes[d];
    for (int d = dim + 1; d < sizes.rank(); ++d) inner *= sizes[d];
  }
  __host__ __device__ int64_t count() const { return outer * inner; }
  __device__ int64_t start(int64_t line) const { return line / inner * n * inner + line % inner; }
};

// ---- forward ----

// Version 1. A thread owns a line and reads it three times: for the maximum, the sum and the result. Along the last
// dimension the lanes of a warp are a row apart, and each of their reads moves 32 bytes of memory for 2 or 4; along
// another one they are neighbours, and this is also the default.
template <class T>
__global__ void __launch_bounds__(kThreads) forward_v1(T* y, const T* x, Lines lines) {
  for (int64_t line = global_thread(); line < lines.count(); line += global_threads()) {
    const int64_t begin = lines.start(line), end = begin + lines.n * lines.inner;
    float maximum = -INFINITY, sum = 0;
    for (int64_t i = begin; i < end; i += lines.inner) maximum = fmaxf(maximum, to_float(x[i]));
    for (int64_t i = begin; i < end; i += lines.inner) sum += expf(to_float(x[i]) - maximum);
    for (int64_t i = begin; i < end; i += lines.inner) y[i] = from_float<T>(expf(to_float(x[i]) - maximum) / sum);
  }
}

// Version 2. A warp owns a row: every byte that is moved is used. Still three reads.
template <class T>
__global__ void __launch_bounds__(kThreads) forward_v2(T* y, const T* x, int64_t rows, int64_t n) {
  const RowTeam<RowOwner::warp> warp;
  for (int64_t row = warp.index; row < rows; row += warp.count) {
    const T* in = x + row * n;
    float maximum = -INFINITY, sum = 0;
    for (int64_t i = warp.rank; i < n; i += kWarpSize) maximum = fmaxf(maximum, to_float(in[i]));
    maximum = warp_max(maximum);
    for (int64_t i = warp.rank; i < n; i += kWarpSize) sum += expf(to_float(in[i]) - maximum);
    sum = warp_sum(sum);
    for (int64_t i = warp.rank; i < n; i += kWarpSize)
      y[row * n + i] = from_float<T>(expf(to_float(in[i]) - maximum) / sum);
  }
}

// Version 3. Maximum and sum in one pass: two reads. Also the default for rows that do not fit version 4; a block owns
// those that are wide, and reads N elements at once where it can.
template <RowOwner kOwner, int N, class T>
__global__ void __launch_bounds__(kMaxRowThreads) forward_v3(T* y, const T* x, int64_t rows, int64_t n) {
  __shared__ OnlineSum shared[kMaxRowThreads / kWarpSize];
  const RowTeam<kOwner> team;
  for (int64_t row = team.index; row < rows; row += team.count) {
    const T* in = x + row * n;
    OnlineSum mine = OnlineSum::of_nothing();
    for (int64_t i = team.rank * N; i < n; i += team.threads * N) {
      float values[N];
      load_floats(values, in + i);
      mine.add(values);
    }
    const OnlineSum total = kOwner == RowOwner::block ? block_total(mine, shared) : warp_total(mine);
    for (int64_t i = team.rank * N; i < n; i += team.threads * N) {
      float values[N];
      load_floats(values, in + i);
      Pack<T, N> out;
      for (int j = 0; j < N; ++j) out.value[j] = from_float<T>(expf(values[j] - total.maximum) / total.sum);
      store_pack<N>(y + row * n + i, out);
    }
  }
}

// Version 4. The row stays in registers: one read in 16-byte packs, and one write. A warp owns a row of up to 512
// elements, a block a wider one.
template <RowOwner kOwner, class T>
__global__ void __launch_bounds__(kMaxRowThreads) forward_v4(T* y, const T* x, int64_t rows, int n) {
  __shared__ OnlineSum shared[kMaxRowThreads / kWarpSize];
  const RowTeam<kOwner> team;
  for (int64_t row = team.index; row < rows; row += team.count) {
    RowValues<T> values;
    team.load(values, x + row * n, n);
    OnlineSum mine = OnlineSum::of_nothing();
    team.template for_each<T>(values, n, [&](float value, int) { mine.maximum = fmaxf(mine.maximum, value); });
    const float offset = OnlineSum::offset_for(mine.maximum);
    team.template for_each<T>(values, n, [&](float value, int) { mine.sum += expf(value - offset); });
    const OnlineSum total = kOwner == RowOwner::block ? block_total(mine, shared) : warp_total(mine);
    team.template for_each<T>(values, n, [&](float& value, int) { value = expf(value - total.maximum) / total.sum; });
    team.store(y + row * n, values, n);
  }
}

template <class T>
void launch_forward(const TensorView& y_view, const TensorView& x_view, int dim) {
  const Lines lines(x_view.sizes, dim);
  const int version = kernel_version("softmax", 4);
  const int64_t rows = lines.count(), n = lines.n;
  T* y = static_cast<T*>(y_view.data);
  const T* x = static_cast<const T*>(x_view.data);
  const unsigned warp_blocks = grid_size(rows, kWarpsPerBlock), row_blocks = grid_size(rows, 1);
  const cudaStream_t stream = cuda_stream();
  const bool packs = packs_fit<T>(x, n) && packs_fit<T>(y, n);
  if (version == 1 || lines.inner > 1) {
    forward_v1<<<grid_size(rows, kThreads), kThreads, 0, stream>>>(y, x, lines);
  } else if (version == 2) {
    forward_v2<<<warp_blocks, kThreads, 0, stream>>>(y, x, rows, n);
  } else if (version == 4 && packs && n <= kBlockRowColumns) {
    choose_row_owner(n, [&]<RowOwner kOwner>(int threads, int rows_per_block) {
      forward_v4<kOwner><<<grid_size(rows, rows_per_block), threads, 0, stream>>>(y, x, rows, static_cast<int>(n));
    });
  } else if (version == 3 || n <= kWarpRowColumns) {
    forward_v3<RowOwner::warp, 1><<<warp_blocks, kThreads, 0, stream>>>(y, x, rows, n);
  } else if (packs) {
    forward_v3<RowOwner::block, kPackElements<T>><<<row_blocks, kMaxRowThreads, 0, stream>>>(y, x, rows, n);
  } else {
    forward_v3<RowOwner::block, 1><<<row_blocks, kMaxRowThreads, 0, stream>>>(y, x, rows, n);
  }
  VIGOR_CUDA_CHECK_LAUNCH("softmax");
}

// ---- backward: dx = y (dy - dot), dot = sum of dy y ----

// Version 1. A thread owns a line (see forward_v1); two reads of dy and y.
template <class T>
__global__ void __launch_bounds__(kThreads) backward_v1(T* dx, const T* dy, const T* y, Lines lines) {
  for (int64_t line = global_thread(); line < lines.count(); line += global_threads()) {
    const int64_t begin = lines.start(line), end = begin + lines.n * lines.inner;
    float dot = 0;
    for (int64_t i = begin; i < end; i += lines.inner) dot += to_float(dy[i]) * to_float(y[i]);
    for (int64_t i = begin; i < end; i += lines.inner) dx[i] = from_float<T>(to_float(y[i]) * (to_float(dy[i]) - dot));
  }
}

// Versions 2 and 3. A warp owns a row, or a block a wide one that does not fit version 4; two reads of dy and y.
template <RowOwner kOwner, class T>
__global__ void __launch_bounds__(kMaxRowThreads) backward_v2(T* dx, const T* dy, const T* y, int64_t rows, int64_t n) {
  __shared__ float shared[kMaxRowThreads / kWarpSize];
  const RowTeam<kOwner> team;
  for (int64_t row = team.index; row < rows; row += team.count) {
    const int64_t begin = row * n + team.rank, end = (row + 1) * n;
    float dot = 0;
    for (int64_t i = begin; i < end; i += team.threads) dot += to_float(dy[i]) * to_float(y[i]);
    dot = team.sum(dot, shared);
    for (int64_t i = begin; i < end; i += team.threads) dx[i] = from_float<T>(to_float(y[i]) * (to_float(dy[i]) - dot));
  }
}

// Version 4. Both rows stay in registers: one read of each.
template <RowOwner kOwner, class T>
__global__ void __launch_bounds__(kMaxRowThreads) backward_v4(T* dx, const T* dy, const T* y, int64_t rows, int n) {
  __shared__ float shared[kMaxRowThreads / kWarpSize];
  const RowTeam<kOwner> team;
  for (int64_t row = team.index; row < rows; row += team.count) {
    RowValues<T> up, values;
    team.load(up, dy + row * n, n);
    team.load(values, y + row * n, n);
    float dot = 0;
    team.template for_each_pack<T>(n, [&](int i, int) {
      for (int j = 0; j < kPackElements<T>; ++j) dot += up[i][j] * values[i][j];
    });
    dot = team.sum(dot, shared);
    team.template for_each_pack<T>(n, [&](int i, int) {
      for (int j = 0; j < kPackElements<T>; ++j) values[i][j] *= up[i][j] - dot;
    });
    team.store(dx + row * n, values, n);
  }
}

template <class T>
void launch_backward(const TensorView& dx_view, const TensorView& dy_view, const TensorView& y_view, int dim) {
  const Lines lines(y_view.sizes, dim);
  const int version = kernel_version("softmax", 4);
  const int64_t rows = lines.count(), n = lines.n;
  T* dx = static_cast<T*>(dx_view.data);
  const T *dy = static_cast<const T*>(dy_view.data), *y = static_cast<const T*>(y_view.data);
  const cudaStream_t stream = cuda_stream();
  if (version == 1 || lines.inner > 1) {
    backward_v1<<<grid_size(rows, kThreads), kThreads, 0, stream>>>(dx, dy, y, lines);
  } else if (version == 4 && rows_fit<T>(y, n) && packs_fit<T>(dy, n) && packs_fit<T>(dx, n)) {
    choose_row_owner(n, [&]<RowOwner kOwner>(int threads, int rows_per_block) {
      backward_v4<kOwner>
          <<<grid_size(rows, rows_per_block), threads, 0, stream>>>(dx, dy, y, rows, static_cast<int>(n));
    });
  } else if (version < 4 || n <= kWarpRowColumns) {
    backward_v2<RowOwner::warp><<<grid_size(rows, kWarpsPerBlock), kThreads, 0, stream>>>(dx, dy, y, rows, n);
  } else {
    backward_v2<RowOwner::block><<<grid_size(rows, 1), kMaxRowThreads, 0, stream>>>(dx, dy, y, rows, n);
  }
  VIGOR_CUDA_CHECK_LAUNCH("softmax_backward");
}

}  // namespace

void softmax_forward_cuda(const TensorView& y, const TensorView& x, int dim) {
  if (y.numel() == 0) return;
  visit_cuda_float(x.dtype, "softmax", [&]<class T>() { launch_forward<T>(y, x, dim); });
}

void softmax_backward_cuda(const TensorView& dx, const TensorView& dy, const TensorView& y, int dim) {
  if (dx.numel() == 0) return;
  visit_cuda_float(y.dtype, "softmax_backward", [&]<class T>() { launch_backward<T>(dx, dy, y, dim); });
}

}  // namespace vigor
