// Layer normalisation, forward: three versions, from one thread a row to rows in registers. Bytes are those a row of C
// elements costs at the level named; the least is one read and one write.
#include "kernels/cuda_rows.cuh"
#include "kernels/kernel_version.h"
#include "kernels/layer_norm/layer_norm_kernels.h"

namespace vigor {
namespace {

constexpr int kThreads = kWarpsPerBlock * kWarpSize;

template <class T, class W>
struct Forward {
  int64_t rows, columns;
  T* y;                    // [rows,C]
  float* mean;             // [rows]
  float* rstd;             // [rows]
  const T* x;              // [rows,C]
  const W *weight, *bias;  // [C]
  float eps;
};

// Version 1. A thread owns a row and walks over it three times, as the definition does. The lanes of a warp are a row
// apart, so each of their reads moves 32 bytes of memory for the 2 or 4 that are used, and the caches must keep 32 rows
// a warp for the rest of them to be of use.
template <class T, class W>
__global__ void forward_v1(Forward<T, W> p) {
  for (int64_t row = global_thread(); row < p.rows; row += global_threads()) {
    const T* x = p.x + row * p.columns;
    T* y = p.y + row * p.columns;
    float sum = 0, squares = 0;
    for (int64_t c = 0; c < p.columns; ++c) sum += to_float(x[c]);
    const float mean = sum / static_cast<float>(p.columns);
    for (int64_t c = 0; c < p.columns; ++c) squares += (to_float(x[c]) - mean) * (to_float(x[c]) - mean);
    const float rstd = rsqrtf(squares / static_cast<float>(p.columns) + p.eps);
    for (int64_t c = 0; c < p.columns; ++c)
      y[c] = from_float<T>((to_float(x[c]) - mean) * rstd * to_float(p.weight[c]) + to_float(p.bias[c]));
    p.mean[row] = mean;
    p.rstd[row] = rstd;
  }
}

// Version 2. A warp owns a row: its lanes read neighbours, so that every byte that is moved is used. Still three reads
// of the row, of which the caches serve the second and third, and one write; any C and any alignment.
template <class T, class W>
__global__ void __launch_bounds__(kThreads) forward_v2(Forward<T, W> p) {
  const RowTeam<RowOwner::warp> warp;
  for (int64_t row = warp.index; row < p.rows; row += warp.count) {
    const T* x = p.x + row * p.columns;
    T* y = p.y + row * p.columns;
    float sum = 0, squares = 0;
    for (int64_t c = warp.rank; c < p.columns; c += kWarpSize) sum += to_float(x[c]);
    const float mean = warp_sum(sum) / static_cast<float>(p.columns);
    for (int64_t c = warp.rank; c < p.columns; c += kWarpSize)
      squares += (to_float(x[c]) - mean) * (to_float(x[c]) - mean);
    const float rstd = rsqrtf(warp_sum(squares) / static_cast<float>(p.columns) + p.eps);
    for (int64_t c = warp.rank; c < p.columns; c += kWarpSize)
      y[c] = from_float<T>((to_float(x[c]) - mean) * rstd * to_float(p.weight[c]) + to_float(p.bias[c]));
    if (warp.rank == 0) {
      p.mean[row] = mean;
      p.rstd[row] = rstd;
    }
  }
}

// Version 3. The row stays in registers: one read in 16-byte packs and one write, the least there is. A warp owns a row
// of up to 512 elements; a wider row has a block, whose warps add their sums through shared memory.
template <RowOwner kOwner, class T, class W>
__global__ void __launch_bounds__(kMaxRowThreads) forward_v3(Forward<T, W> p) {
  __shared__ float shared[kMaxRowThreads / kWarpSize];
  const RowTeam<kOwner> team;
  const int columns = static_cast<int>(p.columns);
  for (int64_t row = team.index; row < p.rows; row += team.count) {
    RowValues<T> x;
    team.load(x, p.x + row * p.columns, columns);
    float sum = 0, squares = 0;
    team.template for_each<T>(x, columns, [&](float value, int) { sum += value; });
    const float mean = team.sum(sum, shared) / static_cast<float>(columns);
    team.template for_each<T>(x, columns, [&](float value, int) { squares += (value - mean) * (value - mean); });
    const float rstd = rsqrtf(team.sum(squares, shared) / static_cast<float>(columns) + p.eps);
    team.template for_each_pack<T>(columns, [&](int i, int column) {
      float weight[kPackElements<T>], bias[kPackElements<T>];
      load_floats(weight, p.weight + column);
      load_floats(bias, p.bias + column);
#pragma unroll
      for (int j = 0; j < kPackElements<T>; ++j) x[i][j] = (x[i][j] - mean) * rstd * weight[j] + bias[j];
    });
    team.store(p.y + row * p.columns, x, columns);
    if (team.rank == 0) {
      p.mean[row] = mean;
      p.rstd[row] = rstd;
    }
  }
}

template <class T, class W>
void launch_forward(const Forward<T, W>& p) {
  const int version = kernel_version("layer_norm", 3);
  const bool fits = rows_fit<T>(p.x, p.columns) && packs_fit<T>(p.y, p.columns) && packs_fit<W>(p.weight, p.columns) &&
                    packs_fit<W>(p.bias, p.columns);
  if (version == 3 && fits) {
    choose_row_owner(p.columns, [&]<RowOwner kOwner>(int threads, int rows_per_block) {
      forward_v3<kOwner><<<grid_size(p.rows, rows_per_block), threads, 0, cuda_stream()>>>(p);
    });
  } else if (version == 1) {
    forward_v1<<<grid_size(p.rows, kThreads), kThreads, 0, cuda_stream()>>>(p);
  } else {
    forward_v2<<<grid_size(p.rows, kWarpsPerBlock), kThreads, 0, cuda_stream()>>>(p);
  }
  VIGOR_CUDA_CHECK_LAUNCH("layer_norm");
}

}  // namespace

void layer_norm_forward_cuda(const TensorView& y, const TensorView& mean, const TensorView& rstd, const TensorView& x,
                             const TensorView& weight, const TensorView& bias, double eps) {
  if (mean.numel() == 0) return;
  visit_cuda_float(x.dtype, "layer_norm", [&]<class T>() {
    visit_cuda_float(weight.dtype, "layer_norm", [&]<class W>() {
      if constexpr (sizeof(W) >= sizeof(T))  // bf16 parameters beside f32 are refused before
        launch_forward(Forward<T, W>{mean.numel(), x.sizes.back(), static_cast<T*>(y.data), mean.as<float>(),
                                     rstd.as<float>(), static_cast<const T*>(x.data),
                                     static_cast<const W*>(weight.data), static_cast<const W*>(bias.data),
                                     static_cast<float>(eps)});
    });
  });
}

}  // namespace vigor
