#include <cmath>

#include "kernels/embedding/embedding_kernels.h"
#include "tensor/cuda_kernel.cuh"
#include "tensor/primitives_cuda.h"

namespace vigor {
namespace {

constexpr int kForwardThreads = 256;

template <class T>
struct Forward {
  T* y;                         // [N,C]
  const int64_t* ids;           // [N]
  const T* weight;              // [V,C]
  const int64_t* position_ids;  // [N] or null
  const T* positions;           // [maxT,C] or null
  int64_t rows, columns, vocabulary, max_positions;
};

__device__ bool is_row(int64_t id, int64_t rows) { return id >= 0 && id < rows; }

// A warp owns a token and copies its row in packs of N elements: each row is read once and written once.
template <int N, class T>
__global__ void __launch_bounds__(kForwardThreads) forward_kernel(Forward<T> p) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  for (int64_t row = global_thread() / kWarpSize; row < p.rows; row += global_threads() / kWarpSize) {
    const int64_t id = p.ids[row], position = p.positions != nullptr ? p.position_ids[row] : 0;
    T* y = p.y + row * p.columns;
    if (!is_row(id, p.vocabulary) || (p.positions != nullptr && !is_row(position, p.max_positions))) {
      // Cannot be thrown from here: the loss will show it.
      for (int64_t c = lane; c < p.columns; c += kWarpSize) y[c] = from_float<T>(NAN);
      continue;
    }
    const T* token = p.weight + id * p.columns;
    const T* place = p.positions != nullptr ? p.positions + position * p.columns : nullptr;
#pragma unroll 1  // unrolled, some stores of packs fall apart into elements
    for (int64_t c = int64_t{lane} * N; c < p.columns; c += kWarpSize * N) {
      Pack<T, N> sum = load_pack<N>(token + c);
      if (place != nullptr) {
        const Pack<T, N> other = load_pack<N>(place + c);
        for (int j = 0; j < N; ++j) sum.value[j] = from_float<T>(to_float(sum.value[j]) + to_float(other.value[j]));
      }
      store_pack<N>(y + c, sum);
    }
  }
}

__global__ void position_ids_kernel(int64_t* position_ids, const int32_t* offsets, int64_t n, int64_t time) {
  for (int64_t i = global_thread(); i < n; i += global_threads())
    position_ids[i] = i % time + (offsets != nullptr ? offsets[i / time] : 0);
}

// ---- backward ----

constexpr int kThreads = 64;  // 512 bf16 columns, or 256 of f32
constexpr int kTile = 1024;   // tokens that are looked at together: a mask of 32 for each lane of a warp
constexpr int kIdsPerThread = kTile / kThreads;

struct Matches {
  unsigned masks[kTile / kWarpSize];  // bit i of word w: token 32 w + i of the tile has the id
  int tokens[kTile];                  // those tokens, in order
  int count;
};

// Finds the tokens with this id among ids [0, n), n <= kTile. For all threads of the block. They may still be reading
// the tokens of the tile before when others call it: those are overwritten after its first barrier.
__device__ void find_matches(Matches& found, const int64_t* ids, int64_t n, int64_t id) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize, warp = static_cast<int>(threadIdx.x) / kWarpSize;
  for (int k = 0; k < kIdsPerThread; ++k) {
    const int word = warp * kIdsPerThread + k, i = word * kWarpSize + lane;
    const unsigned mask = __ballot_sync(kFullWarp, i < n && ids[i] == id);
    if (lane == 0) found.masks[word] = mask;
  }
  __syncthreads();
  if (warp == 0) {
    unsigned mask = found.masks[lane];
    int end = __popc(mask);  // after the scan: matches in the words up to this one
    for (int offset = 1; offset < kWarpSize; offset *= 2) {
      const int before = __shfl_up_sync(kFullWarp, end, offset);
      if (lane >= offset) end += before;
    }
    if (lane == kWarpSize - 1) found.count = end;
    for (int at = end - __popc(mask); mask != 0; mask &= mask - 1)
      found.tokens[at++] = lane * kWarpSize + __ffs(static_cast<int>(mask)) - 1;
  }
  __syncthreads();
}

// A block belongs to token blockIdx.x and a stretch of columns. The first token with an id adds up the rows of all that
// have it, in their order, so that no row of the table has two writers; the blocks of the others end. Each row of dy
// and each row of the table that is used moves once; the ids, which the caches hold, are read by every block.
template <int N, class T>
__global__ void __launch_bounds__(kThreads)
    backward_kernel(T* dtable, int64_t vocabulary, const T* dy, const int64_t* ids, int64_t rows, int64_t columns) {
  __shared__ Matches found;
  const int64_t token = blockIdx.x, id = ids[token];
  if (!is_row(id, vocabulary)) return;
  for (int64_t start = 0; start < token; start += kTile) {
    bool is_later = false;
    for (int k = 0; k < kIdsPerThread; ++k) {
      const int64_t i = start + k * kThreads + threadIdx.x;
      is_later |= i < token && ids[i] == id;
    }
    if (__syncthreads_or(is_later)) return;
  }
  const int64_t column = (int64_t{blockIdx.y} * kThreads + threadIdx.x) * N;
  T* out = dtable + id * columns + column;
  float sum[N] = {};
  if (column < columns) {
    const Pack<T, N> old = load_pack<N>(out);
    for (int j = 0; j < N; ++j) sum[j] = to_float(old.value[j]);
  }
  for (int64_t start = token; start < rows; start += kTile) {
    find_matches(found, ids + start, rows - start, id);
    if (column < columns) {
#pragma unroll 4  // four rows on their way at a time
      for (int k = 0; k < found.count; ++k) {
        const Pack<T, N> row = load_pack<N>(dy + (start + found.tokens[k]) * columns + column);
        for (int j = 0; j < N; ++j) sum[j] += to_float(row.value[j]);
      }
    }
  }
  if (column < columns) {
    Pack<T, N> total;
    for (int j = 0; j < N; ++j) total.value[j] = from_float<T>(sum[j]);
    store_pack<N>(out, total);
  }
}

template <int N, class T>
void launch_backward(const TensorView& dtable, const TensorView& dy, const TensorView& ids) {
  const int64_t columns = dtable.sizes[1];
  const dim3 grid(static_cast<unsigned>(ids.numel()), static_cast<unsigned>(ceil_div(columns, kThreads * N)));
  backward_kernel<N><<<grid, kThreads, 0, cuda_stream()>>>(static_cast<T*>(dtable.data), dtable.sizes[0],
                                                           static_cast<const T*>(dy.data), ids.as<const int64_t>(),
                                                           ids.numel(), columns);
}

}  // namespace

void embedding_forward_cuda(const TensorView& y, const TensorView& ids, const TensorView& weight,
                            const TensorView& position_ids, const TensorView& positions) {
  if (y.numel() == 0) return;
  visit_cuda_float(y.dtype, "embedding", [&]<class T>() {
    const Forward<T> p{static_cast<T*>(y.data),
                       ids.as<const int64_t>(),
                       static_cast<const T*>(weight.data),
                       position_ids.as<const int64_t>(),
                       static_cast<const T*>(positions.data),
                       ids.numel(),
                       weight.sizes[1],
                       weight.sizes[0],
                       positions.defined() ? positions.sizes[0] : 0};
    const unsigned blocks = grid_size(p.rows, kForwardThreads / kWarpSize);
    if (packs_fit<T>(p.y, p.columns) && packs_fit<T>(p.weight, p.columns) && packs_fit<T>(p.positions, p.columns))
      forward_kernel<kPackElements<T>><<<blocks, kForwardThreads, 0, cuda_stream()>>>(p);
    else forward_kernel<1><<<blocks, kForwardThreads, 0, cuda_stream()>>>(p);
  });
  VIGOR_CUDA_CHECK_LAUNCH("embedding");
}

void embedding_position_ids_cuda(const TensorView& position_ids, const TensorView& offsets, int64_t time) {
  const int64_t n = position_ids.numel();
  if (n == 0) return;
  position_ids_kernel<<<grid_size(n, kForwardThreads), kForwardThreads, 0, cuda_stream()>>>(
      position_ids.as<int64_t>(), offsets.as<const int32_t>(), n, time);
  VIGOR_CUDA_CHECK_LAUNCH("embedding_position_ids");
}

void embedding_backward_cuda(const GradientView& dtable, const TensorView& dy, const TensorView& ids) {
  if (dtable.view.numel() == 0) return;
  if (!dtable.accumulate) fill_cuda(dtable.view, 0);
  if (ids.numel() == 0) return;
  visit_cuda_float(dtable.view.dtype, "embedding_backward", [&]<class T>() {
    const int64_t columns = dtable.view.sizes[1];
    if (packs_fit<T>(dtable.view.data, columns) && packs_fit<T>(dy.data, columns))
      launch_backward<kPackElements<T>, T>(dtable.view, dy, ids);
    else launch_backward<1, T>(dtable.view, dy, ids);
  });
  VIGOR_CUDA_CHECK_LAUNCH("embedding_backward");
}

}  // namespace vigor
