// Root-mean-square normalisation. The default keeps rows in registers as version 3 of kernels/layer_norm, whose ladder
// explains it; rows of other widths go through a warp each.
#include "kernels/block_sums_cuda.cuh"
#include "kernels/cuda_rows.cuh"
#include "kernels/rms_norm/rms_norm_kernels.h"

namespace vigor {
namespace {

constexpr int kThreads = kWarpsPerBlock * kWarpSize;

template <class T, class W>
struct Forward {
  int64_t rows, columns;
  T* y;             // [rows,C]
  float* rstd;      // [rows]
  const T* x;       // [rows,C]
  const W* weight;  // [C]
  float eps;
};

template <RowOwner kOwner, class T, class W>
__global__ void __launch_bounds__(kMaxRowThreads) forward_in_registers(Forward<T, W> p) {
  __shared__ float shared[kMaxRowThreads / kWarpSize];
  const RowTeam<kOwner> team;
  const int columns = static_cast<int>(p.columns);
  for (int64_t row = team.index; row < p.rows; row += team.count) {
    RowValues<T> x;
    team.load(x, p.x + row * p.columns, columns);
    float squares = 0;
    team.template for_each<T>(x, columns, [&](float value, int) { squares += value * value; });
    const float rstd = rsqrtf(team.sum(squares, shared) / static_cast<float>(columns) + p.eps);
    team.template for_each_pack<T>(columns, [&](int i, int column) {
      float weight[kPackElements<T>];
      load_floats(weight, p.weight + column);
#pragma unroll
      for (int j = 0; j < kPackElements<T>; ++j) x[i][j] *= rstd * weight[j];
    });
    team.store(p.y + row * p.columns, x, columns);
    if (team.rank == 0) p.rstd[row] = rstd;
  }
}

// Any C and any alignment: a warp a row, two reads, of which the caches serve the second.
template <class T, class W>
__global__ void __launch_bounds__(kThreads) forward_any(Forward<T, W> p) {
  const RowTeam<RowOwner::warp> warp;
  for (int64_t row = warp.index; row < p.rows; row += warp.count) {
    const T* x = p.x + row * p.columns;
    float squares = 0;
    for (int64_t c = warp.rank; c < p.columns; c += kWarpSize) squares += to_float(x[c]) * to_float(x[c]);
    const float rstd = rsqrtf(warp_sum(squares) / static_cast<float>(p.columns) + p.eps);
    for (int64_t c = warp.rank; c < p.columns; c += kWarpSize)
      p.y[row * p.columns + c] = from_float<T>(to_float(x[c]) * rstd * to_float(p.weight[c]));
    if (warp.rank == 0) p.rstd[row] = rstd;
  }
}

template <class T, class W>
struct Backward {
  int64_t rows, columns;
  T* dx;                   // [rows,C] or null
  float* partial;          // [blocks,1,C] or null: sums for dweight
  int64_t rows_per_block;  // of partial
  const T *dy, *x;         // [rows,C]
  const W* weight;         // [C]
  const float* rstd;       // [rows]
};

// One read of x and dy for both gradients; block b owns the rows of partial[b].
template <RowOwner kOwner, class T, class W>
__global__ void __launch_bounds__(kOwner == RowOwner::warp ? kThreads : kMaxRowThreads)
    backward_in_registers(Backward<T, W> p) {
  constexpr int N = kPackElements<T>;
  __shared__ float shared[kMaxRowThreads / kWarpSize];
  const RowTeam<kOwner> team;
  const int columns = static_cast<int>(p.columns);
  const int64_t begin = int64_t{blockIdx.x} * p.rows_per_block, end = min(p.rows, begin + p.rows_per_block);
  RowValues<T> dweight = {};
  for (int64_t row = begin + team.index_in_block(); row < end; row += team.count_in_block()) {
    RowValues<T> xhat, g;
    team.load(xhat, p.x + row * p.columns, columns);
    team.load(g, p.dy + row * p.columns, columns);
    const float rstd = p.rstd[row];
    float sum_g_xhat = 0;
    team.template for_each_pack<T>(columns, [&](int i, int column) {
      float weight[N];
      load_floats(weight, p.weight + column);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        xhat[i][j] *= rstd;
        dweight[i][j] += g[i][j] * xhat[i][j];
        g[i][j] *= weight[j];
        sum_g_xhat += g[i][j] * xhat[i][j];
      }
    });
    if (p.dx == nullptr) continue;
    const float mean_g_xhat = team.sum(sum_g_xhat, shared) / static_cast<float>(columns);
    team.template for_each_pack<T>(columns, [&](int i, int) {
#pragma unroll
      for (int j = 0; j < N; ++j) g[i][j] = rstd * (g[i][j] - xhat[i][j] * mean_g_xhat);
    });
    team.store(p.dx + row * p.columns, g, columns);
  }
  if (p.partial != nullptr) store_block_sums<kOwner, T>(p.partial + blockIdx.x * p.columns, dweight, columns);
}

// Any C and any alignment. dx: a warp a row, two reads of x and dy.
template <class T, class W>
__global__ void __launch_bounds__(kThreads) input_gradient_any(Backward<T, W> p) {
  const RowTeam<RowOwner::warp> warp;
  for (int64_t row = warp.index; row < p.rows; row += warp.count) {
    const T *x = p.x + row * p.columns, *dy = p.dy + row * p.columns;
    const float rstd = p.rstd[row];
    float sum_g_xhat = 0;
    for (int64_t c = warp.rank; c < p.columns; c += kWarpSize)
      sum_g_xhat += to_float(dy[c]) * to_float(p.weight[c]) * to_float(x[c]) * rstd;
    const float mean_g_xhat = warp_sum(sum_g_xhat) / static_cast<float>(p.columns);
    for (int64_t c = warp.rank; c < p.columns; c += kWarpSize) {
      const float g = to_float(dy[c]) * to_float(p.weight[c]);
      p.dx[row * p.columns + c] = from_float<T>(rstd * (g - to_float(x[c]) * rstd * mean_g_xhat));
    }
  }
}

// The sums for dweight: a thread owns a column, blockIdx.y a block of rows.
template <class T, class W>
__global__ void __launch_bounds__(kThreads) weight_sums_any(Backward<T, W> p) {
  const int64_t c = global_thread();
  if (c >= p.columns) return;
  const int64_t begin = int64_t{blockIdx.y} * p.rows_per_block, end = min(p.rows, begin + p.rows_per_block);
  float dweight = 0;
  for (int64_t row = begin; row < end; ++row)
    dweight += to_float(p.dy[row * p.columns + c]) * to_float(p.x[row * p.columns + c]) * p.rstd[row];
  p.partial[blockIdx.y * p.columns + c] = dweight;
}

template <class T, class W>
void launch_forward(const Forward<T, W>& p) {
  if (rows_fit<T>(p.x, p.columns) && packs_fit<T>(p.y, p.columns) && packs_fit<W>(p.weight, p.columns))
    choose_row_owner(p.columns, [&]<RowOwner kOwner>(int threads, int rows_per_block) {
      forward_in_registers<kOwner><<<grid_size(p.rows, rows_per_block), threads, 0, cuda_stream()>>>(p);
    });
  else forward_any<<<grid_size(p.rows, kWarpsPerBlock), kThreads, 0, cuda_stream()>>>(p);
  VIGOR_CUDA_CHECK_LAUNCH("rms_norm");
}

template <class T, class W>
void launch_backward(const Backward<T, W>& p) {
  const auto blocks = static_cast<unsigned>(ceil_div(p.rows, p.rows_per_block));
  if (rows_fit<T>(p.x, p.columns) && packs_fit<T>(p.dy, p.columns) && packs_fit<T>(p.dx, p.columns) &&
      packs_fit<W>(p.weight, p.columns)) {
    choose_row_owner(p.columns, [&]<RowOwner kOwner>(int threads, int) {
      backward_in_registers<kOwner><<<blocks, threads, 0, cuda_stream()>>>(p);
    });
  } else {
    if (p.dx != nullptr) input_gradient_any<<<grid_size(p.rows, kWarpsPerBlock), kThreads, 0, cuda_stream()>>>(p);
    const dim3 grid(static_cast<unsigned>(ceil_div(p.columns, kThreads)), blocks);
    if (p.partial != nullptr) weight_sums_any<<<grid, kThreads, 0, cuda_stream()>>>(p);
  }
  VIGOR_CUDA_CHECK_LAUNCH("rms_norm_backward");
}

}  // namespace

void rms_norm_forward_cuda(const TensorView& y, const TensorView& rstd, const TensorView& x, const TensorView& weight,
                           double eps) {
  if (rstd.numel() == 0) return;
  visit_cuda_float(x.dtype, "rms_norm", [&]<class T>() {
    visit_cuda_float(weight.dtype, "rms_norm", [&]<class W>() {
      if constexpr (sizeof(W) >= sizeof(T))  // a bf16 weight beside f32 is refused before
        launch_forward(Forward<T, W>{rstd.numel(), x.sizes.back(), static_cast<T*>(y.data), rstd.as<float>(),
                                     static_cast<const T*>(x.data), static_cast<const W*>(weight.data),
                                     static_cast<float>(eps)});
    });
  });
}

void rms_norm_backward_cuda(const TensorView& dx, const GradientView& dweight, const TensorView& partial,
                            const TensorView& dy, const TensorView& x, const TensorView& weight,
                            const TensorView& rstd) {
  visit_cuda_float(x.dtype, "rms_norm_backward", [&]<class T>() {
    visit_cuda_float(weight.dtype, "rms_norm_backward", [&]<class W>() {
      if constexpr (sizeof(W) >= sizeof(T)) {  // a bf16 weight beside f32 is refused before
        if (rstd.numel() > 0)
          launch_backward(Backward<T, W>{rstd.numel(), x.sizes.back(), static_cast<T*>(dx.data), partial.as<float>(),
                                         rows_per_sum_block(rstd.numel(), kCuda), static_cast<const T*>(dy.data),
                                         static_cast<const T*>(x.data), static_cast<const W*>(weight.data),
                                         rstd.as<float>()});
      }
    });
  });
  add_blocks_cuda(dweight, partial, 0);
}

}  // namespace vigor
