// Sums of columns, for gradients of biases that do not come out of a product.
//
// A block owns 32 packs of columns, one a lane, and one part of the rows, which its warps take in turn; its sums go to
// partial[part][n]. A second kernel adds the parts up. No atomics: the order of every sum depends on the sizes alone.
// Parts are cut as small as it takes to have a few blocks for every multiprocessor.
#include <algorithm>

#include "kernels/gemm/gemm_own_cuda.h"
#include "tensor/cuda_kernel.cuh"

namespace vigor {
namespace {

constexpr int kWarps = 8;
constexpr int64_t kRowsPerPart = 64;  // at least: 8 rows a warp, so that the partial sums are a small part of the bytes

template <class T, int N>
__global__ void __launch_bounds__(kWarps* kWarpSize)
    column_sum_kernel(float* partial, const T* x, int64_t m, int64_t n, int64_t ld, int64_t rows_per_part) {
  // Element e of every lane's pack, then e + 1; a gap behind each spreads the columns, read in their order, over the
  // banks.
  constexpr int kLength = kWarpSize + kWarpSize / N;
  __shared__ float sums[kWarps][N * kLength];
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize, warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const int64_t first_column = int64_t{blockIdx.x} * kWarpSize * N;
  const int64_t column = first_column + lane * N;
  const int64_t begin = blockIdx.y * rows_per_part, end = begin + rows_per_part < m ? begin + rows_per_part : m;
  float sum[N] = {};
  if (column < n) {  // and so are all N: n is a multiple of N
    for (int64_t row = begin + warp; row < end; row += kWarps) {
      const Pack<T, N> pack = load_pack<N>(x + row * ld + column);
      for (int e = 0; e < N; ++e) sum[e] += to_float(pack.value[e]);
    }
  }
  for (int e = 0; e < N; ++e) sums[warp][e * kLength + lane] = sum[e];
  __syncthreads();
  for (int at = static_cast<int>(threadIdx.x); at < kWarpSize * N; at += kWarps * kWarpSize) {
    if (first_column + at >= n) break;
    const int place = at % N * kLength + at / N;
    float total = 0;
    for (int w = 0; w < kWarps; ++w) total += sums[w][place];
    partial[blockIdx.y * n + first_column + at] = total;
  }
}

template <class T>
__global__ void add_parts_kernel(T* out, const float* partial, int64_t parts, int64_t n, bool accumulate) {
  for (int64_t j = global_thread(); j < n; j += global_threads()) {
    float total = accumulate ? to_float(out[j]) : 0.0f;
    for (int64_t part = 0; part < parts; ++part) total += partial[part * n + j];
    out[j] = from_float<T>(total);
  }
}

template <class T, int N>
void launch_column_sum(float* partial, const GemmInput& x, int64_t m, int64_t n, int64_t parts, int64_t rows_per_part) {
  const dim3 grid(static_cast<unsigned>(ceil_div(n, kWarpSize * N)), static_cast<unsigned>(parts));
  column_sum_kernel<T, N><<<grid, kWarps * kWarpSize, 0, cuda_stream()>>>(partial, static_cast<const T*>(x.data), m, n,
                                                                          x.ld, rows_per_part);
  VIGOR_CUDA_CHECK_LAUNCH("column_sum");
}

}  // namespace

void column_sum_with_scratch_cuda(int64_t m, int64_t n, const GemmInput& x, const GemmOutput& out, float* scratch,
                                  int64_t scratch_bytes) {
  int64_t parts = 0;
  if (m > 0) {
    visit_cuda_float(x.dtype, "column_sum", [&]<class T>() {
      constexpr int N = kPackElements<T>;
      const bool packs = packs_fit<T>(x.data, x.ld) && n % N == 0;
      const int64_t across = ceil_div(n, kWarpSize * (packs ? N : 1));
      const int64_t room = scratch_bytes / static_cast<int64_t>(sizeof(float)) / n;
      check(room > 0, "column_sum: the scratch memory has no room for {} columns", n);
      const int64_t wanted = ceil_div(int64_t{4} * cuda_limits().multiprocessors, across);
      const int64_t most = std::min({ceil_div(m, kRowsPerPart), wanted, room, int64_t{65535}});
      const int64_t rows_per_part = ceil_div(m, std::max<int64_t>(most, 1));
      parts = ceil_div(m, rows_per_part);
      if (packs) launch_column_sum<T, N>(scratch, x, m, n, parts, rows_per_part);
      else launch_column_sum<T, 1>(scratch, x, m, n, parts, rows_per_part);
    });
  }
  visit_cuda_float(out.dtype, "column_sum", [&]<class T>() {
    add_parts_kernel<<<grid_size(n, 256), 256, 0, cuda_stream()>>>(static_cast<T*>(out.data), scratch, parts, n,
                                                                   out.accumulate == Accumulate::yes);
  });
  VIGOR_CUDA_CHECK_LAUNCH("column_sum");
}

}  // namespace vigor
