// The gated norm of Mamba-2. As kernels/rms_norm: a group of channels of a row is read once and stays in registers, a
// warp or a block for each; groups of other widths go through a warp each. blockIdx.y (z for the sums of rows of other
// widths) is the group. Letters as in the card; uhat stands for xhat too.
#include "kernels/block_sums_cuda.cuh"
#include "kernels/cuda_rows.cuh"
#include "kernels/gated_rms_norm/gated_rms_norm_kernels.h"
#include "kernels/swiglu/silu_cuda.cuh"

namespace vigor {
namespace {

constexpr int kThreads = kWarpsPerBlock * kWarpSize;

template <class T, class W>
struct Inputs {
  int64_t rows, channels, columns;  // C, and those of a group
  const T *x, *gate;                // [rows,C]
  int64_t x_stride, gate_stride;    // between rows
  const W* weight;                  // [C]
  bool norm_before_gate;
  float gate_multiplier;

  __device__ const T* x_row(int64_t row, int64_t group) const { return x + row * x_stride + group * columns; }
  __device__ const T* gate_row(int64_t row, int64_t group) const { return gate + row * gate_stride + group * columns; }
  __device__ float silu(float gate) const {
    const float a = gate * gate_multiplier;
    return a * sigmoid_of(a);
  }
  // Of one element, with s = silu(gate): what is normalised, and what multiplies the result beside the weight.
  __device__ float normalised(float value, float s) const { return norm_before_gate ? value : value * s; }
  __device__ float factor(float s) const { return norm_before_gate ? s : 1.0f; }
};

template <class T>
struct Results {
  T* y;         // [rows,C]
  float* rstd;  // [rows,groups]
  float eps;
};

template <RowOwner kOwner, class T, class W>
__global__ void __launch_bounds__(kMaxRowThreads) forward_in_registers(Inputs<T, W> in, Results<T> out) {
  constexpr int N = kPackElements<T>;
  __shared__ float shared[kMaxRowThreads / kWarpSize];
  const RowTeam<kOwner> team;
  const int columns = static_cast<int>(in.columns);
  const int64_t group = blockIdx.y;
  for (int64_t row = team.index; row < in.rows; row += team.count) {
    RowValues<T> u, s;
    team.load(u, in.x_row(row, group), columns);
    team.load(s, in.gate_row(row, group), columns);
    float squares = 0;
    team.template for_each_pack<T>(columns, [&](int i, int) {
#pragma unroll
      for (int j = 0; j < N; ++j) {
        s[i][j] = in.silu(s[i][j]);
        u[i][j] = in.normalised(u[i][j], s[i][j]);
        squares += u[i][j] * u[i][j];
      }
    });
    const float rstd = rsqrtf(team.sum(squares, shared) / static_cast<float>(columns) + out.eps);
    team.template for_each_pack<T>(columns, [&](int i, int column) {
      float weight[N];
      load_floats(weight, in.weight + group * columns + column);
#pragma unroll
      for (int j = 0; j < N; ++j) u[i][j] *= rstd * weight[j] * in.factor(s[i][j]);
    });
    team.store(out.y + row * in.channels + group * columns, u, columns);
    if (team.rank == 0) out.rstd[row * gridDim.y + group] = rstd;
  }
}

// Any width and any alignment: a warp a group of a row, two reads, of which the caches serve the second.
template <class T, class W>
__global__ void __launch_bounds__(kThreads) forward_any(Inputs<T, W> in, Results<T> out) {
  const RowTeam<RowOwner::warp> warp;
  const int64_t group = blockIdx.y;
  for (int64_t row = warp.index; row < in.rows; row += warp.count) {
    const T *x = in.x_row(row, group), *gate = in.gate_row(row, group);
    float squares = 0;
    for (int64_t c = warp.rank; c < in.columns; c += kWarpSize) {
      const float u = in.normalised(to_float(x[c]), in.silu(to_float(gate[c])));
      squares += u * u;
    }
    const float rstd = rsqrtf(warp_sum(squares) / static_cast<float>(in.columns) + out.eps);
    for (int64_t c = warp.rank; c < in.columns; c += kWarpSize) {
      const int64_t channel = group * in.columns + c;
      out.y[row * in.channels + channel] =
          from_float<T>(to_float(x[c]) * rstd * to_float(in.weight[channel]) * in.silu(to_float(gate[c])));
    }
    if (warp.rank == 0) out.rstd[row * gridDim.y + group] = rstd;
  }
}

template <class T>
struct Gradients {
  const T* dy;             // [rows,C]
  int64_t dy_stride;       // between rows
  const float* rstd;       // [rows,groups]
  T *dx, *dgate;           // [rows,C] or null
  float* partial;          // [blocks,1,C] or null: sums for dweight
  int64_t rows_per_block;  // of partial
};

// One element of backward, from x, gate, dy and the weight.
struct Element {
  float x, dy_weight, s, slope, uhat, h;

  template <class Inputs>
  __device__ Element(const Inputs& in, float x_value, float gate, float dy, float weight, float rstd) {
    const float a = gate * in.gate_multiplier, sigma = sigmoid_of(a);
    x = x_value;
    dy_weight = dy * weight;
    s = a * sigma;
    slope = in.gate_multiplier * silu_slope(a, sigma);
    uhat = in.normalised(x, s) * rstd;
    h = dy_weight * in.factor(s);
  }
  // The gradients, with mean = mean(h uhat) over the group.
  template <class Inputs>
  __device__ float dx(const Inputs& in, float rstd, float mean) const {
    return in.normalised(rstd * (h - uhat * mean), s);
  }
  template <class Inputs>
  __device__ float dgate(const Inputs& in, float rstd, float mean) const {
    return slope * (in.norm_before_gate ? dy_weight * uhat : rstd * (h - uhat * mean) * x);
  }
};

// One read of x, gate and dy for all three gradients; block b owns the rows of partial[b].
template <RowOwner kOwner, class T, class W>
__global__ void __launch_bounds__(kOwner == RowOwner::warp ? kThreads : kMaxRowThreads)
    backward_in_registers(Inputs<T, W> in, Gradients<T> p) {
  constexpr int N = kPackElements<T>;
  __shared__ float shared[kMaxRowThreads / kWarpSize];
  const RowTeam<kOwner> team;
  const int columns = static_cast<int>(in.columns);
  const int64_t group = blockIdx.y, start = group * columns;
  const int64_t begin = int64_t{blockIdx.x} * p.rows_per_block, end = min(in.rows, begin + p.rows_per_block);
  RowValues<T> dweight = {};
  for (int64_t row = begin + team.index_in_block(); row < end; row += team.count_in_block()) {
    RowValues<T> x, gate, dy;
    team.load(x, in.x_row(row, group), columns);
    team.load(gate, in.gate_row(row, group), columns);
    team.load(dy, p.dy + row * p.dy_stride + start, columns);
    const float rstd = p.rstd[row * gridDim.y + group];
    float sum_h_uhat = 0;
    team.template for_each_pack<T>(columns, [&](int i, int column) {
      float weight[N];
      load_floats(weight, in.weight + start + column);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const Element e(in, x[i][j], gate[i][j], dy[i][j], weight[j], rstd);
        dweight[i][j] += dy[i][j] * in.factor(e.s) * e.uhat;
        sum_h_uhat += e.h * e.uhat;
      }
    });
    if (p.dx == nullptr && p.dgate == nullptr) continue;
    const float mean = team.sum(sum_h_uhat, shared) / static_cast<float>(columns);
    team.template for_each_pack<T>(columns, [&](int i, int column) {
      float weight[N];
      load_floats(weight, in.weight + start + column);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const Element e(in, x[i][j], gate[i][j], dy[i][j], weight[j], rstd);
        x[i][j] = e.dx(in, rstd, mean);
        gate[i][j] = e.dgate(in, rstd, mean);
      }
    });
    if (p.dx != nullptr) team.store(p.dx + row * in.channels + start, x, columns);
    if (p.dgate != nullptr) team.store(p.dgate + row * in.channels + start, gate, columns);
  }
  if (p.partial != nullptr) store_block_sums<kOwner, T>(p.partial + blockIdx.x * in.channels + start, dweight, columns);
}

// Any width and any alignment. dx and dgate: a warp a group of a row, two reads.
template <class T, class W>
__global__ void __launch_bounds__(kThreads) input_gradients_any(Inputs<T, W> in, Gradients<T> p) {
  const RowTeam<RowOwner::warp> warp;
  const int64_t group = blockIdx.y, start = group * in.columns;
  for (int64_t row = warp.index; row < in.rows; row += warp.count) {
    const T *x = in.x_row(row, group), *gate = in.gate_row(row, group), *dy = p.dy + row * p.dy_stride + start;
    const float rstd = p.rstd[row * gridDim.y + group];
    const auto element = [&](int64_t c) {
      return Element(in, to_float(x[c]), to_float(gate[c]), to_float(dy[c]), to_float(in.weight[start + c]), rstd);
    };
    float sum_h_uhat = 0;
    for (int64_t c = warp.rank; c < in.columns; c += kWarpSize) {
      const Element e = element(c);
      sum_h_uhat += e.h * e.uhat;
    }
    const float mean = warp_sum(sum_h_uhat) / static_cast<float>(in.columns);
    for (int64_t c = warp.rank; c < in.columns; c += kWarpSize) {
      const Element e = element(c);
      const int64_t at = row * in.channels + start + c;
      if (p.dx != nullptr) p.dx[at] = from_float<T>(e.dx(in, rstd, mean));
      if (p.dgate != nullptr) p.dgate[at] = from_float<T>(e.dgate(in, rstd, mean));
    }
  }
}

// The sums for dweight: a thread owns a column of a group, blockIdx.y a block of rows, blockIdx.z the group.
template <class T, class W>
__global__ void __launch_bounds__(kThreads) weight_sums_any(Inputs<T, W> in, Gradients<T> p) {
  const int64_t c = global_thread(), group = blockIdx.z;
  if (c >= in.columns) return;
  const int64_t begin = int64_t{blockIdx.y} * p.rows_per_block, end = min(in.rows, begin + p.rows_per_block);
  float dweight = 0;
  for (int64_t row = begin; row < end; ++row)
    dweight += to_float(p.dy[row * p.dy_stride + group * in.columns + c]) * to_float(in.x_row(row, group)[c]) *
               in.silu(to_float(in.gate_row(row, group)[c])) * p.rstd[row * gridDim.z + group];
  p.partial[blockIdx.y * in.channels + group * in.columns + c] = dweight;
}

template <class T>
bool row_packs_fit(const TensorView& x) {
  return !x.defined() || (packs_fit<T>(x.data, kPackElements<T>) && x.strides[0] % kPackElements<T> == 0);
}

// Whether the groups of all the rows can be held in registers.
template <class T, class W>
bool groups_fit(const GatedRmsNormInputs& in) {
  const int64_t columns = in.x.sizes[1] / in.groups;
  return rows_fit<T>(in.x.data, columns) && row_packs_fit<T>(in.x) && row_packs_fit<T>(in.gate) &&
         packs_fit<W>(in.weight.data, columns);
}

template <class T, class W>
Inputs<T, W> inputs_of(const GatedRmsNormInputs& in) {
  return {in.x.sizes[0],
          in.x.sizes[1],
          in.x.sizes[1] / in.groups,
          static_cast<const T*>(in.x.data),
          static_cast<const T*>(in.gate.data),
          in.x.strides[0],
          in.gate.strides[0],
          static_cast<const W*>(in.weight.data),
          in.norm_before_gate,
          static_cast<float>(in.gate_multiplier)};
}

template <class T, class W>
void launch_forward(const GatedRmsNormInputs& views, const Results<T>& out) {
  const Inputs<T, W> in = inputs_of<T, W>(views);
  const auto groups = static_cast<unsigned>(views.groups);
  if (groups_fit<T, W>(views) && packs_fit<T>(out.y, in.columns))
    choose_row_owner(in.columns, [&]<RowOwner kOwner>(int threads, int rows_per_block) {
      const dim3 grid(grid_size(in.rows, rows_per_block), groups);
      forward_in_registers<kOwner><<<grid, threads, 0, cuda_stream()>>>(in, out);
    });
  else forward_any<<<dim3(grid_size(in.rows, kWarpsPerBlock), groups), kThreads, 0, cuda_stream()>>>(in, out);
  VIGOR_CUDA_CHECK_LAUNCH("gated_rms_norm");
}

template <class T, class W>
void launch_backward(const GatedRmsNormInputs& views, const GatedRmsNormGradients& grads) {
  const Inputs<T, W> in = inputs_of<T, W>(views);
  const Gradients<T> p{static_cast<const T*>(grads.dy.data),
                       grads.dy.strides[0],
                       grads.rstd.as<float>(),
                       static_cast<T*>(grads.dx.data),
                       static_cast<T*>(grads.dgate.data),
                       grads.partial.as<float>(),
                       rows_per_sum_block(in.rows, kCuda)};
  const auto groups = static_cast<unsigned>(views.groups);
  const auto blocks = static_cast<unsigned>(ceil_div(in.rows, p.rows_per_block));
  if (groups_fit<T, W>(views) && row_packs_fit<T>(grads.dy) && row_packs_fit<T>(grads.dx) &&
      row_packs_fit<T>(grads.dgate)) {
    choose_row_owner(in.columns, [&]<RowOwner kOwner>(int threads, int) {
      backward_in_registers<kOwner><<<dim3(blocks, groups), threads, 0, cuda_stream()>>>(in, p);
    });
  } else {
    if (p.dx != nullptr || p.dgate != nullptr)
      input_gradients_any<<<dim3(grid_size(in.rows, kWarpsPerBlock), groups), kThreads, 0, cuda_stream()>>>(in, p);
    const dim3 grid(static_cast<unsigned>(ceil_div(in.columns, kThreads)), blocks, groups);
    if (p.partial != nullptr) weight_sums_any<<<grid, kThreads, 0, cuda_stream()>>>(in, p);
  }
  VIGOR_CUDA_CHECK_LAUNCH("gated_rms_norm_backward");
}

// Calls f.template operator()<T, W>(), the types of x and of the weight.
template <class F>
void visit_types(const GatedRmsNormInputs& in, const char* op, F&& f) {
  visit_cuda_float(in.x.dtype, op, [&]<class T>() {
    visit_cuda_float(in.weight.dtype, op, [&]<class W>() {
      if constexpr (sizeof(W) >= sizeof(T))
        f.template operator()<T, W>();  // a bf16 weight beside f32 is refused before
    });
  });
}

}  // namespace

void gated_rms_norm_forward_cuda(const GatedRmsNormInputs& in, const TensorView& y, const TensorView& rstd,
                                 double eps) {
  visit_types(in, "gated_rms_norm", [&]<class T, class W>() {
    if (rstd.numel() > 0)
      launch_forward<T, W>(in, Results<T>{static_cast<T*>(y.data), rstd.as<float>(), static_cast<float>(eps)});
  });
}

void gated_rms_norm_backward_cuda(const GatedRmsNormInputs& in, const GatedRmsNormGradients& grads) {
  visit_types(in, "gated_rms_norm_backward", [&]<class T, class W>() {
    if (grads.rstd.numel() > 0) launch_backward<T, W>(in, grads);
  });
  add_blocks_cuda(grads.dweight, grads.partial, 0);
}

}  // namespace vigor
