#include "kernels/reduce/reduce_kernels.h"
#include "tensor/cuda_kernel.cuh"
#include "tensor/primitives.h"
#include "tensor/strided_loop.h"

namespace vigor {
namespace {

constexpr int kThreads = 256;
constexpr int kRows = kThreads / kWarpSize;  // of threads in a block that sums columns
constexpr int kStretch = 8;                  // floats that a thread sums in float

template <Reduction r>
__device__ float combine(float total, float x) {
  if constexpr (r == Reduction::sum) return total + x;
  else return x > total || isnan(x) ? x : total;
}
template <Reduction r>
__device__ double combine(double total, double x) {
  if constexpr (r == Reduction::sum) return total + x;
  else return x > total || isnan(x) ? x : total;
}
template <Reduction r>
__device__ float identity() {
  return r == Reduction::sum ? 0.0f : -INFINITY;
}

template <Reduction r>
__device__ double warp_total(double x) {
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2) x = combine<r>(x, __shfl_xor_sync(kFullWarp, x, offset));
  return x;
}

// What a launch computes: result i of `results` from `elements` elements, in `parts` parts. With one part the totals
// go to y at once, with several to partials [parts, results] and from there to y by finish_kernel.
template <class T>
struct Task {
  T* y;  // contiguous
  double* partials;
  const T* x;
  DeviceStrides<1> kept;     // result -> offset of its first element in x
  DeviceStrides<1> reduced;  // unit -> offset from there
  int64_t results;
  int64_t units;  // of one result: elements, or packs where neighbours are read in packs
  int64_t parts, part_units;
  double scale;

  __device__ int64_t part_end(int64_t part) const {
    const int64_t end = (part + 1) * part_units;
    return end < units ? end : units;
  }
  __device__ void write(int64_t result, int64_t part, double total) const {
    if (parts == 1) y[result] = from_float<T>(static_cast<float>(total * scale));
    else partials[part * results + result] = total;
  }
};

// A warp or a block (kGroup threads) computes one part of one result: neighbouring threads take neighbouring packs of N
// elements. For results whose elements lie in a row, and for any other strides with N = 1.
template <Reduction r, int N, int kGroup, class T>
__global__ void __launch_bounds__(kThreads) reduce_rows_kernel(Task<T> task) {
  __shared__ double shared[kThreads / kWarpSize];
  const int thread = static_cast<int>(threadIdx.x) % kGroup;
  for (int64_t i = global_thread() / kGroup; i < task.results * task.parts; i += global_threads() / kGroup) {
    const int64_t result = i % task.results, part = i / task.results;
    int64_t start[1];
    task.kept.offsets(result, start);
    const int64_t end = task.part_end(part);
    double total = static_cast<double>(identity<r>());
    for (int64_t p = part * task.part_units + thread; p < end; p += kGroup) {
      int64_t at[1];
      task.reduced.offsets(p, at);
      const Pack<T, N> pack = load_pack<N>(task.x + start[0] + at[0]);
      float of_pack = identity<r>();
      for (int j = 0; j < N; ++j) of_pack = combine<r>(of_pack, to_float(pack.value[j]));
      total = combine<r>(total, static_cast<double>(of_pack));
    }
    total = warp_total<r>(total);
    if constexpr (kGroup > kWarpSize) {
      if (thread % kWarpSize == 0) shared[thread / kWarpSize] = total;
      __syncthreads();
      total = shared[0];
      for (int w = 1; w < kGroup / kWarpSize; ++w) total = combine<r>(total, shared[w]);
      __syncthreads();  // before the next round writes `shared`
    }
    if (thread == 0) task.write(result, part, total);
  }
}

// A block computes one part of kWarpSize * N neighbouring results, whose elements lie side by side: each row of threads
// reads every kRows-th element of them in packs, and the rows are combined in order.
template <Reduction r, int N, class T>
__global__ void __launch_bounds__(kThreads, 3) reduce_columns_kernel(Task<T> task, int64_t columns) {
  __shared__ double shared[kRows][kWarpSize * N];
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int row = static_cast<int>(threadIdx.x) / kWarpSize;
  const int64_t tiles = (columns + kWarpSize * N - 1) / (kWarpSize * N);  // across one row of results
  const int64_t per_part = task.results / columns * tiles;
  for (int64_t i = blockIdx.x; i < per_part * task.parts; i += gridDim.x) {
    const int64_t part = i / per_part;
    const int64_t first = i % tiles * kWarpSize * N;           // of the tile's columns
    const int64_t row_start = i % per_part / tiles * columns;  // result of column 0
    double total[N];
    for (int j = 0; j < N; ++j) total[j] = static_cast<double>(identity<r>());
    if (first + lane * N < columns) {
      int64_t start[1];
      task.kept.offsets(row_start + first + lane * N, start);
      const int64_t end = task.part_end(part);
      for (int64_t e = part * task.part_units + row; e < end;) {
        float stretch[N];
        for (int j = 0; j < N; ++j) stretch[j] = identity<r>();
#pragma unroll 4  // loads under way; all eight would not fit into the registers
        for (int k = 0; k < kStretch && e < end; ++k, e += kRows) {
          int64_t at[1];
          task.reduced.offsets(e, at);
          const Pack<T, N> pack = load_pack<N>(task.x + start[0] + at[0]);
          for (int j = 0; j < N; ++j) stretch[j] = combine<r>(stretch[j], to_float(pack.value[j]));
        }
        for (int j = 0; j < N; ++j) total[j] = combine<r>(total[j], static_cast<double>(stretch[j]));
      }
    }
    for (int j = 0; j < N; ++j) shared[row][j * kWarpSize + lane] = total[j];  // neighbours for neighbouring lanes
    __syncthreads();
    for (int c = static_cast<int>(threadIdx.x); c < kWarpSize * N; c += kThreads) {
      const int at = c % N * kWarpSize + c / N;
      double sum = shared[0][at];
      for (int k = 1; k < kRows; ++k) sum = combine<r>(sum, shared[k][at]);
      if (first + c < columns) task.write(row_start + first + c, part, sum);
    }
    __syncthreads();  // before the next round writes `shared`
  }
}

// One warp combines the parts of one result, always in the same order.
template <Reduction r, class T>
__global__ void __launch_bounds__(kThreads)
    finish_kernel(T* y, const double* partials, int64_t results, int64_t parts, double scale) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  for (int64_t result = global_thread() / kWarpSize; result < results; result += global_threads() / kWarpSize) {
    double total = static_cast<double>(identity<r>());
    for (int64_t part = lane; part < parts; part += kWarpSize)
      total = combine<r>(total, partials[part * results + result]);
    total = warp_total<r>(total);
    if (lane == 0) y[result] = from_float<T>(static_cast<float>(total * scale));
  }
}

// The dimensions of the result and the reduced ones of x, each as a loop of its own.
struct Loops {
  StridedLoop<1> kept, reduced;

  static Loops of(const TensorView& y, const TensorView& x) {
    Shape sizes[2];
    Strides strides[2];
    for (int dim = 0; dim < x.rank(); ++dim) {
      const int k = y.sizes[dim] == x.sizes[dim] ? 0 : 1;
      sizes[k].push_back(x.sizes[dim]);
      strides[k].push_back(x.strides[dim]);
    }
    return {StridedLoop<1>(sizes[0], {strides[0]}), StridedLoop<1>(sizes[1], {strides[1]})};
  }
};

// Whether all strides but those of neighbours are multiples of a pack of n elements.
bool in_packs(const StridedLoop<1>& loop, int64_t n) {
  for (int dim = 0; dim < loop.sizes.rank(); ++dim)
    if (loop.sizes[dim] > 1 && loop.strides[0][dim] % n != 0) return false;
  return true;
}

template <Reduction r, int N, class T>
void launch_rows(Task<T> task, StridedLoop<1> reduced) {
  const int last = reduced.sizes.rank() - 1;
  reduced.sizes[last] /= N;
  reduced.strides[0][last] *= N;
  const bool few = task.units <= kThreads;
  task.reduced = DeviceStrides<1>(reduced);
  task.units /= N;
  task.part_units = ceil_div(task.units, task.parts);
  const int64_t groups = task.results * task.parts;
  if (few)
    reduce_rows_kernel<r, N, kWarpSize><<<grid_size(groups, kThreads / kWarpSize), kThreads, 0, cuda_stream()>>>(task);
  else reduce_rows_kernel<r, N, kThreads><<<grid_size(groups, 1), kThreads, 0, cuda_stream()>>>(task);
}

template <Reduction r, int N, class T>
void launch_columns(const Task<T>& task, int64_t columns) {
  const int64_t blocks = task.results / columns * ceil_div(columns, kWarpSize * N) * task.parts;
  reduce_columns_kernel<r, N><<<grid_size(blocks, 1), kThreads, 0, cuda_stream()>>>(task, columns);
}

template <Reduction r, class T>
void reduce(const TensorView& y, const TensorView& x, double scale, const TensorView& partials) {
  constexpr int N = kPackElements<T>;
  const Loops loops = Loops::of(y, x);
  const int64_t elements = loops.reduced.sizes.numel(), parts = partials.defined() ? partials.sizes[0] : 1;
  const Task<T> task{y.as<T>(),
                     partials.as<double>(),
                     x.as<const T>(),
                     DeviceStrides<1>(loops.kept),
                     DeviceStrides<1>(loops.reduced),
                     y.numel(),
                     elements,
                     parts,
                     ceil_div(elements, parts),
                     scale};
  if (loops.kept.inner_stride(0) == 1 && loops.reduced.inner_stride(0) != 1) {
    StridedLoop<1> tiles = loops.kept;  // their strides; neighbours in a tile are read in packs
    tiles.strides[0][tiles.sizes.rank() - 1] = N;
    const int64_t columns = loops.kept.row_length();
    if (packs_fit<T>(x.data, columns) && in_packs(tiles, N) && in_packs(loops.reduced, N))
      launch_columns<r, N>(task, columns);
    else launch_columns<r, 1>(task, columns);
  } else {
    StridedLoop<1> packs = loops.reduced;
    const bool neighbours = loops.reduced.inner_stride(0) == 1;
    packs.strides[0][packs.sizes.rank() - 1] = N;
    if (neighbours && packs_fit<T>(x.data, packs.row_length()) && in_packs(packs, N) && in_packs(loops.kept, N))
      launch_rows<r, N>(task, loops.reduced);
    else launch_rows<r, 1>(task, loops.reduced);
  }
  VIGOR_CUDA_CHECK_LAUNCH("reduce");
  if (task.parts == 1) return;
  finish_kernel<r><<<grid_size(task.results, kThreads / kWarpSize), kThreads, 0, cuda_stream()>>>(
      task.y, task.partials, task.results, task.parts, scale);
  VIGOR_CUDA_CHECK_LAUNCH("reduce");
}

// ---- max backward ----

// First pass: first[result] becomes the smallest position, among the result's elements, of one that is the maximum.
// Integers: the outcome of atomicMin does not depend on the order.
template <class T>
__global__ void __launch_bounds__(kThreads)
    find_first_kernel(long long* first, const T* x, const T* y, int64_t n, DeviceStrides<4> strides) {
  for (int64_t i = global_thread(); i < n; i += global_threads()) {
    int64_t at[4];  // of x, y and first, and the position
    strides.offsets(i, at);
    const float value = to_float(x[at[0]]);
    if (value == to_float(y[at[1]]) || isnan(value)) atomicMin(first + at[2], static_cast<long long>(at[3]));
  }
}

// Second pass: dx = dy there, 0 elsewhere.
template <class T>
__global__ void __launch_bounds__(kThreads)
    spread_kernel(T* dx, const T* dy, const long long* first, int64_t n, DeviceStrides<4> strides) {
  for (int64_t i = global_thread(); i < n; i += global_threads()) {
    int64_t at[4];  // of dx, dy and first, and the position
    strides.offsets(i, at);
    dx[at[0]] = at[3] == first[at[2]] ? dy[at[1]] : from_float<T>(0.0f);
  }
}

// Row-major strides over the dimensions that are kept or those that are reduced, 0 in the others.
Strides strides_over(bool kept, const TensorView& x, const TensorView& y) {
  Shape sizes = x.sizes;
  const auto counts = [&](int dim) { return (y.sizes[dim] == x.sizes[dim]) == kept; };
  for (int dim = 0; dim < x.rank(); ++dim)
    if (!counts(dim)) sizes[dim] = 1;
  Strides strides = contiguous_strides(sizes);
  for (int dim = 0; dim < x.rank(); ++dim)
    if (!counts(dim)) strides[dim] = 0;
  return strides;
}

// y's strides with 0 in the dimensions that were reduced.
Strides strides_to(const TensorView& y, const TensorView& x) {
  Strides strides = y.strides;
  for (int dim = 0; dim < x.rank(); ++dim)
    if (y.sizes[dim] != x.sizes[dim]) strides[dim] = 0;
  return strides;
}

}  // namespace

void reduce_cuda(Reduction r, const TensorView& y, const TensorView& x, double scale, const TensorView& partials) {
  if (y.numel() == 0) return;
  if (x.numel() == 0) return fill(y, 0 * scale);
  visit_cuda_float(x.dtype, "reduce", [&]<class T>() {
    if (r == Reduction::sum) reduce<Reduction::sum, T>(y, x, scale, partials);
    else reduce<Reduction::max, T>(y, x, scale, partials);
  });
}

void max_backward_cuda(const TensorView& dx, const TensorView& dy, const TensorView& x, const TensorView& y,
                       const TensorView& first) {
  const int64_t n = x.numel();
  if (n == 0) return;
  constexpr int kLargePositive = 0x7f;  // as every byte of an int64
  VIGOR_CUDA_CHECK(
      cudaMemsetAsync(first.data, kLargePositive, static_cast<size_t>(first.numel()) * sizeof(int64_t), cuda_stream()));
  const Strides to_first = strides_over(true, x, y), position = strides_over(false, x, y);
  const DeviceStrides<4> find(StridedLoop<4>(x.sizes, {x.strides, strides_to(y, x), to_first, position}));
  const DeviceStrides<4> spread(StridedLoop<4>(x.sizes, {dx.strides, strides_to(dy, x), to_first, position}));
  visit_cuda_float(x.dtype, "max_backward", [&]<class T>() {
    auto* const positions = first.as<long long>();
    find_first_kernel<<<grid_size(n, kThreads), kThreads, 0, cuda_stream()>>>(positions, x.as<const T>(),
                                                                              y.as<const T>(), n, find);
    VIGOR_CUDA_CHECK_LAUNCH("max_backward");
    spread_kernel<<<grid_size(n, kThreads), kThreads, 0, cuda_stream()>>>(dx.as<T>(), dy.as<const T>(), positions, n,
                                                                          spread);
  });
  VIGOR_CUDA_CHECK_LAUNCH("max_backward");
}

}  // namespace vigor
