// Layer normalisation, backward. The least is one read of x and one of dy, and one write of dx.
#include "kernels/block_sums_cuda.cuh"
#include "kernels/cuda_rows.cuh"
#include "kernels/kernel_version.h"
#include "kernels/layer_norm/layer_norm_kernels.h"

namespace vigor {
namespace {

constexpr int kThreads = kWarpsPerBlock * kWarpSize;

template <class T, class W>
struct Backward {
  int64_t rows, columns;
  T* dx;                     // [rows,C] or null
  float* partial;            // [blocks,2,C] or null: sums for dweight, then for dbias
  int64_t rows_per_block;    // of partial
  const T *dy, *x;           // [rows,C]
  const W* weight;           // [C]
  const float *mean, *rstd;  // [rows]
};

// dx of one element, from the row's means of g = dy weight and of g xhat.
__device__ float gradient(float g, float xhat, float mean_g, float mean_g_xhat, float rstd) {
  return rstd * (g - mean_g - xhat * mean_g_xhat);
}

// Version 1 of dx. A thread owns a row, and reads its x and dy twice, without coalescing (see forward_v1).
template <class T, class W>
__global__ void input_gradient_v1(Backward<T, W> p) {
  for (int64_t row = global_thread(); row < p.rows; row += global_threads()) {
    const T *x = p.x + row * p.columns, *dy = p.dy + row * p.columns;
    const float mean = p.mean[row], rstd = p.rstd[row];
    float sum_g = 0, sum_g_xhat = 0;
    for (int64_t c = 0; c < p.columns; ++c) {
      const float g = to_float(dy[c]) * to_float(p.weight[c]);
      sum_g += g;
      sum_g_xhat += g * (to_float(x[c]) - mean) * rstd;
    }
    const float mean_g = sum_g / static_cast<float>(p.columns);
    const float mean_g_xhat = sum_g_xhat / static_cast<float>(p.columns);
    for (int64_t c = 0; c < p.columns; ++c) {
      const float g = to_float(dy[c]) * to_float(p.weight[c]), xhat = (to_float(x[c]) - mean) * rstd;
      p.dx[row * p.columns + c] = from_float<T>(gradient(g, xhat, mean_g, mean_g_xhat, rstd));
    }
  }
}

// Version 2 of dx. A warp owns a row and reads neighbours; still twice, the second time from the caches.
template <class T, class W>
__global__ void __launch_bounds__(kThreads) input_gradient_v2(Backward<T, W> p) {
  const RowTeam<RowOwner::warp> warp;
  for (int64_t row = warp.index; row < p.rows; row += warp.count) {
    const T *x = p.x + row * p.columns, *dy = p.dy + row * p.columns;
    const float mean = p.mean[row], rstd = p.rstd[row];
    float sum_g = 0, sum_g_xhat = 0;
    for (int64_t c = warp.rank; c < p.columns; c += kWarpSize) {
      const float g = to_float(dy[c]) * to_float(p.weight[c]);
      sum_g += g;
      sum_g_xhat += g * (to_float(x[c]) - mean) * rstd;
    }
    const float mean_g = warp_sum(sum_g) / static_cast<float>(p.columns);
    const float mean_g_xhat = warp_sum(sum_g_xhat) / static_cast<float>(p.columns);
    for (int64_t c = warp.rank; c < p.columns; c += kWarpSize) {
      const float g = to_float(dy[c]) * to_float(p.weight[c]), xhat = (to_float(x[c]) - mean) * rstd;
      p.dx[row * p.columns + c] = from_float<T>(gradient(g, xhat, mean_g, mean_g_xhat, rstd));
    }
  }
}

// Versions 1 and 2 of the sums for dweight and dbias: another read of x and dy. A thread owns a column, blockIdx.y a
// block of rows.
template <class T, class W>
__global__ void __launch_bounds__(kThreads) parameter_sums_v1(Backward<T, W> p) {
  const int64_t c = global_thread();
  if (c >= p.columns) return;
  const int64_t begin = int64_t{blockIdx.y} * p.rows_per_block, end = min(p.rows, begin + p.rows_per_block);
  float dweight = 0, dbias = 0;
  for (int64_t row = begin; row < end; ++row) {
    const float dy = to_float(p.dy[row * p.columns + c]);
    dweight += dy * (to_float(p.x[row * p.columns + c]) - p.mean[row]) * p.rstd[row];
    dbias += dy;
  }
  float* sums = p.partial + int64_t{blockIdx.y} * 2 * p.columns;
  sums[c] = dweight;
  sums[p.columns + c] = dbias;
}

// Version 3. One read of x and dy for all three gradients: the row stays in registers between the sums and dx, and each
// thread adds up dweight and dbias of its columns over the rows of its block. To the least it adds the partial sums,
// 2 C floats for each block of rows.
template <RowOwner kOwner, class T, class W>
__global__ void __launch_bounds__(kOwner == RowOwner::warp ? kThreads : kMaxRowThreads) backward_v3(Backward<T, W> p) {
  constexpr int N = kPackElements<T>;
  __shared__ float shared[kMaxRowThreads / kWarpSize];
  const RowTeam<kOwner> team;
  const int columns = static_cast<int>(p.columns);
  const int64_t begin = int64_t{blockIdx.x} * p.rows_per_block, end = min(p.rows, begin + p.rows_per_block);
  RowValues<T> dweight = {}, dbias = {};
  for (int64_t row = begin + team.index_in_block(); row < end; row += team.count_in_block()) {
    RowValues<T> xhat, g;
    team.load(xhat, p.x + row * p.columns, columns);
    team.load(g, p.dy + row * p.columns, columns);
    const float mean = p.mean[row], rstd = p.rstd[row];
    float sum_g = 0, sum_g_xhat = 0;
    team.template for_each_pack<T>(columns, [&](int i, int column) {
      float weight[N];
      load_floats(weight, p.weight + column);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        xhat[i][j] = (xhat[i][j] - mean) * rstd;
        dweight[i][j] += g[i][j] * xhat[i][j];
        dbias[i][j] += g[i][j];
        g[i][j] *= weight[j];
        sum_g += g[i][j];
        sum_g_xhat += g[i][j] * xhat[i][j];
      }
    });
    if (p.dx == nullptr) continue;
    const float mean_g = team.sum(sum_g, shared) / static_cast<float>(columns);
    const float mean_g_xhat = team.sum(sum_g_xhat, shared) / static_cast<float>(columns);
    team.template for_each_pack<T>(columns, [&](int i, int) {
#pragma unroll
      for (int j = 0; j < N; ++j) g[i][j] = gradient(g[i][j], xhat[i][j], mean_g, mean_g_xhat, rstd);
    });
    team.store(p.dx + row * p.columns, g, columns);
  }
  if (p.partial == nullptr) return;
  float* sums = p.partial + int64_t{blockIdx.x} * 2 * p.columns;
  store_block_sums<kOwner, T>(sums, dweight, columns);
  store_block_sums<kOwner, T>(sums + columns, dbias, columns);
}

template <class T, class W>
void launch_backward(const Backward<T, W>& p) {
  const int version = kernel_version("layer_norm", 3);
  const int64_t blocks = ceil_div(p.rows, p.rows_per_block);
  const bool fits = rows_fit<T>(p.x, p.columns) && packs_fit<T>(p.dy, p.columns) && packs_fit<T>(p.dx, p.columns) &&
                    packs_fit<W>(p.weight, p.columns);
  if (version == 3 && fits) {
    choose_row_owner(p.columns, [&]<RowOwner kOwner>(int threads, int) {
      backward_v3<kOwner><<<static_cast<unsigned>(blocks), threads, 0, cuda_stream()>>>(p);
    });
  } else {
    if (p.dx != nullptr && version == 1)
      input_gradient_v1<<<grid_size(p.rows, kThreads), kThreads, 0, cuda_stream()>>>(p);
    else if (p.dx != nullptr) input_gradient_v2<<<grid_size(p.rows, kWarpsPerBlock), kThreads, 0, cuda_stream()>>>(p);
    const dim3 grid(static_cast<unsigned>(ceil_div(p.columns, kThreads)), static_cast<unsigned>(blocks));
    if (p.partial != nullptr) parameter_sums_v1<<<grid, kThreads, 0, cuda_stream()>>>(p);
  }
  VIGOR_CUDA_CHECK_LAUNCH("layer_norm_backward");
}

}  // namespace

void layer_norm_backward_cuda(const TensorView& dx, const GradientView& dweight, const GradientView& dbias,
                              const TensorView& partial, const TensorView& dy, const TensorView& x,
                              const TensorView& weight, const TensorView& mean, const TensorView& rstd) {
  visit_cuda_float(x.dtype, "layer_norm_backward", [&]<class T>() {
    visit_cuda_float(weight.dtype, "layer_norm_backward", [&]<class W>() {
      if constexpr (sizeof(W) >= sizeof(T)) {  // bf16 parameters beside f32 are refused before
        if (mean.numel() > 0)
          launch_backward(Backward<T, W>{mean.numel(), x.sizes.back(), static_cast<T*>(dx.data), partial.as<float>(),
                                         rows_per_sum_block(mean.numel(), kCuda), static_cast<const T*>(dy.data),
                                         static_cast<const T*>(x.data), static_cast<const W*>(weight.data),
                                         mean.as<float>(), rstd.as<float>()});
      }
    });
  });
  add_blocks_cuda(dweight, partial, 0);
  add_blocks_cuda(dbias, partial, 1);
}

}  // namespace vigor
