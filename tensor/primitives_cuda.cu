#include <cuda_fp16.h>

#include "tensor/cuda_kernel.cuh"
#include "tensor/primitives_cuda.h"
#include "tensor/strided_loop.h"

namespace vigor {
namespace {

constexpr int kThreads = 256;

// The device type of a dtype; half and bf16 convert through float.
template <class T>
struct DeviceType {
  using type = T;
};
template <>
struct DeviceType<bf16> {
  using type = __nv_bfloat16;
};
template <>
struct DeviceType<f16> {
  using type = __half;
};
template <class T>
using device_type = typename DeviceType<T>::type;

template <class T>
constexpr bool is_16_bit_float = std::is_same_v<T, __nv_bfloat16> || std::is_same_v<T, __half>;

template <class To, class From>
__device__ To convert(From x) {
  if constexpr (std::is_same_v<To, From>) return x;
  else if constexpr (is_16_bit_float<From>) return convert<To>(static_cast<float>(x));
  else if constexpr (is_16_bit_float<To>) return To(static_cast<float>(x));
  else return static_cast<To>(x);
}

template <class T>
__global__ void fill_kernel(T* y, T value, int64_t n, DeviceStrides<1> strides) {
  for (int64_t i = global_thread(); i < n; i += global_threads()) {
    int64_t at[1];
    strides.offsets(i, at);
    y[at[0]] = value;
  }
}

// Any strides, any two dtypes. One thread an element: neighbouring threads write neighbouring elements of y.
template <class To, class From>
__global__ void copy_strided_kernel(To* y, const From* x, int64_t n, DeviceStrides<2> strides) {
  for (int64_t i = global_thread(); i < n; i += global_threads()) {
    int64_t at[2];
    strides.offsets(i, at);
    y[at[0]] = convert<To>(x[at[1]]);
  }
}

// Both contiguous: 16 bytes of the wider type an access; the last n % N elements one by one.
template <class To, class From, int N>
__global__ void copy_packs_kernel(To* y, const From* x, int64_t n) {
  for (int64_t i = global_thread(); i < n / N; i += global_threads()) {
    const Pack<From, N> in = load_pack<N>(x + i * N);
    Pack<To, N> out;
    for (int j = 0; j < N; ++j) out.value[j] = convert<To>(in.value[j]);
    store_pack<N>(y + i * N, out);
  }
  const int64_t rest = n / N * N + global_thread();
  if (rest < n) y[rest] = convert<To>(x[rest]);
}

// ---- transposing copies ----

constexpr int kTile = 32;
constexpr int kTileRows = kThreads / kTile;  // that the block's threads cover at once

// A matrix [rows, columns], contiguous along the columns in y and along the rows in x; many of them, at `starts`.
struct Transposition {
  DeviceStrides<2> starts;  // of the matrices
  int64_t matrices, rows, columns;
  int64_t y_row, x_column;  // distances in elements
};

// One block copies tiles of 32 x 32 through shared memory, so that a warp reads neighbours in x and writes neighbours
// in y. A tile's rows are 33 elements apart: 32 neighbours of one column then lie in 32 banks.
template <class T>
__global__ void __launch_bounds__(kThreads) transpose_kernel(T* y, const T* x, Transposition t) {
  __shared__ T tile[kTile][kTile + 1];
  const int lane = static_cast<int>(threadIdx.x) % kTile, first = static_cast<int>(threadIdx.x) / kTile;
  const int64_t across = (t.columns + kTile - 1) / kTile, down = (t.rows + kTile - 1) / kTile;
  for (int64_t i = blockIdx.x; i < t.matrices * across * down; i += gridDim.x) {
    int64_t at[2];
    t.starts.offsets(i / (across * down), at);
    const int64_t row = i / across % down * kTile, column = i % across * kTile;
    for (int k = first; k < kTile; k += kTileRows)
      if (row + lane < t.rows && column + k < t.columns)
        tile[k][lane] = x[at[1] + (column + k) * t.x_column + row + lane];
    __syncthreads();
    for (int k = first; k < kTile; k += kTileRows)
      if (row + k < t.rows && column + lane < t.columns) y[at[0] + (row + k) * t.y_row + column + lane] = tile[lane][k];
    __syncthreads();  // before the next tile is read
  }
}

// True where such a copy was launched: both of one dtype, whose elements move as unsigned integers of their size.
bool launch_transposition(const TensorView& y, const TensorView& x) {
  const StridedLoop<2> loop(y.sizes, {y.strides, x.strides});
  const int dim = transposed_dim(loop), last = loop.sizes.rank() - 1;
  if (dim < 0 || y.dtype != x.dtype || loop.sizes[dim] < kTile / 2 || loop.sizes[last] < kTile / 2) return false;
  StridedLoop<2> others = loop;
  others.sizes[dim] = others.sizes[last] = 1;
  const Transposition t{DeviceStrides<2>(others), others.sizes.numel(), loop.sizes[dim],
                        loop.sizes[last],         loop.strides[0][dim], loop.strides[1][last]};
  const unsigned blocks = grid_size(t.matrices * ceil_div(t.rows, kTile) * ceil_div(t.columns, kTile), 1);
  const auto launch = [&]<class T>() {
    transpose_kernel<<<blocks, kThreads, 0, cuda_stream()>>>(y.as<T>(), x.as<const T>(), t);
  };
  switch (size_of(y.dtype)) {
    case 1:
      launch.operator()<uint8_t>();
      break;
    case 2:
      launch.operator()<uint16_t>();
      break;
    case 4:
      launch.operator()<uint32_t>();
      break;
    default:
      launch.operator()<uint64_t>();
  }
  VIGOR_CUDA_CHECK_LAUNCH("copy");
  return true;
}

template <class To, class From>
void launch_copy(const TensorView& y, const TensorView& x) {
  constexpr int N = kPackBytes / static_cast<int>(sizeof(To) > sizeof(From) ? sizeof(To) : sizeof(From));
  const int64_t n = y.numel();
  To* to = static_cast<To*>(y.data);
  const From* from = static_cast<const From*>(x.data);
  const auto aligned = [](const void* data, size_t size) { return reinterpret_cast<uintptr_t>(data) % size == 0; };
  if (y.is_contiguous() && x.is_contiguous() && aligned(to, sizeof(To) * N) && aligned(from, sizeof(From) * N)) {
    copy_packs_kernel<To, From, N><<<grid_size(n / N + 1, kThreads), kThreads, 0, cuda_stream()>>>(to, from, n);
  } else {
    const DeviceStrides<2> strides(StridedLoop<2>(y.sizes, {y.strides, x.strides}));
    copy_strided_kernel<<<grid_size(n, kThreads), kThreads, 0, cuda_stream()>>>(to, from, n, strides);
  }
  VIGOR_CUDA_CHECK_LAUNCH("copy");
}

template <class T>
__device__ T sum_of(T a, T b) {
  if constexpr (is_16_bit_float<T>) return T(static_cast<float>(a) + static_cast<float>(b));
  else return a + b;
}

template <class T>
__global__ void accumulate_strided_kernel(T* y, const T* x, int64_t n, DeviceStrides<2> strides) {
  for (int64_t i = global_thread(); i < n; i += global_threads()) {
    int64_t at[2];
    strides.offsets(i, at);
    y[at[0]] = sum_of(y[at[0]], x[at[1]]);
  }
}

template <class T, int N>
__global__ void accumulate_packs_kernel(T* y, const T* x, int64_t n) {
  for (int64_t i = global_thread(); i < n / N; i += global_threads()) {
    Pack<T, N> sum = load_pack<N>(y + i * N);
    const Pack<T, N> in = load_pack<N>(x + i * N);
    for (int j = 0; j < N; ++j) sum.value[j] = sum_of(sum.value[j], in.value[j]);
    store_pack<N>(y + i * N, sum);
  }
  const int64_t rest = n / N * N + global_thread();
  if (rest < n) y[rest] = sum_of(y[rest], x[rest]);
}

// Element i gets value(i), from the Philox block that the CPU would use for it.
template <class T, bool kNormal>
__global__ void fill_random_kernel(T* y, int64_t n, DeviceStrides<1> strides, double a, double b, RandomKey key) {
  for (int64_t i = global_thread(); i < n; i += global_threads()) {
    int64_t at[1];
    strides.offsets(i, at);
    const auto element = static_cast<uint64_t>(i);
    const double value = kNormal ? a + b * random_normal(key, element) : a + (b - a) * random_uniform(key, element);
    y[at[0]] = convert<T>(value);
  }
}

template <bool kNormal>
void fill_random(const TensorView& y, const char* op, double a, double b, const RandomKey& key) {
  const DeviceStrides<1> strides(StridedLoop<1>(y.sizes, {y.strides}));
  visit_float(y.dtype, op, [&]<class T>() {
    using D = device_type<T>;
    fill_random_kernel<D, kNormal><<<grid_size(y.numel(), kThreads), kThreads, 0, cuda_stream()>>>(
        static_cast<D*>(y.data), y.numel(), strides, a, b, key);
  });
  VIGOR_CUDA_CHECK_LAUNCH("fill_random");
}

}  // namespace

void fill_cuda(const TensorView& y, double value) {
  const int64_t n = y.numel();
  if (value == 0 && y.is_contiguous()) {
    VIGOR_CUDA_CHECK(cudaMemsetAsync(y.data, 0, static_cast<size_t>(n) * size_of(y.dtype), cuda_stream()));
    return;
  }
  const DeviceStrides<1> strides(StridedLoop<1>(y.sizes, {y.strides}));
  visit_any(y.dtype, [&]<class T>() {
    using D = device_type<T>;
    D converted;
    if constexpr (is_16_bit_float<D>) converted = D(static_cast<float>(value));
    else converted = static_cast<D>(value);
    fill_kernel<<<grid_size(n, kThreads), kThreads, 0, cuda_stream()>>>(static_cast<D*>(y.data), converted, n, strides);
  });
  VIGOR_CUDA_CHECK_LAUNCH("fill");
}

void copy_cuda(const TensorView& y, const TensorView& x) {
  if (y.dtype == x.dtype && y.is_contiguous() && x.is_contiguous()) {
    VIGOR_CUDA_CHECK(cudaMemcpyAsync(y.data, x.data, static_cast<size_t>(y.numel()) * size_of(y.dtype),
                                     cudaMemcpyDeviceToDevice, cuda_stream()));
    return;
  }
  if (launch_transposition(y, x)) return;
  visit_any(y.dtype, [&]<class To>() {
    visit_any(x.dtype, [&]<class From>() { launch_copy<device_type<To>, device_type<From>>(y, x); });
  });
}

void transfer_cuda(const TensorView& y, const TensorView& x) {
  const cudaMemcpyKind kind = x.device.is_cpu() ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost;
  VIGOR_CUDA_CHECK(
      cudaMemcpyAsync(y.data, x.data, static_cast<size_t>(y.numel()) * size_of(y.dtype), kind, cuda_stream()));
  VIGOR_CUDA_CHECK(cudaStreamSynchronize(cuda_stream()));
}

void accumulate_cuda(const TensorView& y, const TensorView& x) {
  const int64_t n = y.numel();
  visit_float(y.dtype, "accumulate", [&]<class T>() {
    using D = device_type<T>;
    constexpr int N = kPackElements<D>;
    D* to = static_cast<D*>(y.data);
    const D* from = static_cast<const D*>(x.data);
    if (y.is_contiguous() && x.is_contiguous() && packs_fit<D>(to, N) && packs_fit<D>(from, N)) {
      accumulate_packs_kernel<D, N><<<grid_size(n / N + 1, kThreads), kThreads, 0, cuda_stream()>>>(to, from, n);
    } else {
      const DeviceStrides<2> strides(StridedLoop<2>(y.sizes, {y.strides, x.strides}));
      accumulate_strided_kernel<<<grid_size(n, kThreads), kThreads, 0, cuda_stream()>>>(to, from, n, strides);
    }
  });
  VIGOR_CUDA_CHECK_LAUNCH("accumulate");
}

void fill_normal_cuda(const TensorView& y, double mean, double stddev, const RandomKey& key) {
  fill_random<true>(y, "fill_normal", mean, stddev, key);
}

void fill_uniform_cuda(const TensorView& y, double low, double high, const RandomKey& key) {
  fill_random<false>(y, "fill_uniform", low, high, key);
}

}  // namespace vigor
