#pragma once
// What the CUDA kernels of the scan share: sizes and pointers, the scalars of a chunk, and a product of tiles.
//
// A block works on one chunk of kQ steps of one sequence, for one head or one group: blockIdx.x counts sequences and
// chunks together (bk = b K + k), blockIdx.y heads or groups, blockIdx.z tiles of the result.
#include <cstdint>

#include "kernels/mamba2_scan/mamba2_scan_kernels.h"
#include "tensor/cuda_kernel.cuh"

namespace vigor::mamba2 {

inline constexpr int kQ = static_cast<int>(kMamba2CudaChunk);
inline constexpr int kTile = 64;   // rows and columns of a tile: kQ steps, or as many of P or N
inline constexpr int kDepth = 32;  // of the factors in shared memory at a time
inline constexpr int kThreads = 256;
inline constexpr int kBlocksPerSm = 2;  // asked for where ptxas would spill registers to fit more
static_assert(kQ == kTile);

// Row (b, t, h) of a tensor [B,T,H,..]; elements of a row are neighbours.
template <class T>
struct Rows {
  T* data;
  int64_t batch, step, head;
  explicit Rows(const TensorView& x)
      : data(static_cast<T*>(x.data)), batch(x.strides[0]), step(x.strides[1]), head(x.strides[2]) {}
  __device__ T* row(int64_t b, int64_t t, int h) const { return data + b * batch + t * step + h * head; }
};

// Numbers of every chunk that the first kernels leave for the others.
struct Work {
  float2* decay;  // [B,K,H,Q]: L, the sum of a dt' up to a step, as the sum of two floats (as on the CPU)
  float* dt;      // [B,K,H,Q]: dt', zero in padding
  float *from_start,
      *to_end;      // [B,K,H,Q]: decay from before the chunk to the step, from it to the end; 0 across resets
  int* first;       // [B,K,Q]: the first step of the chunk that a step sees; -1: the state too
  float* products;  // [B,K,G,Q,Q]: C_i . B_j
};

template <class T>
struct Problem {
  Rows<const T> x, dt, b, c;
  const float *a_log, *skip_d, *dt_bias;
  const int32_t* lengths;  // [B] or null
  const uint8_t* resets;   // [B,T] or null
  int64_t steps;
  int H, P, G, N, group, chunks;
  float dt_min, dt_max;
  Work work;

  Problem(const Mamba2ScanInputs& in, const Work& all_work)
      : x(in.x),
        dt(in.dt),
        b(in.ssm_b),
        c(in.ssm_c),
        a_log(in.a_log.as<float>()),
        skip_d(in.skip_d.as<float>()),
        dt_bias(in.dt_bias.as<float>()),
        lengths(in.lengths.as<int32_t>()),
        resets(in.resets.as<uint8_t>()),
        steps(in.x.sizes[1]),
        H(static_cast<int>(in.x.sizes[2])),
        P(static_cast<int>(in.x.sizes[3])),
        G(static_cast<int>(in.ssm_b.sizes[2])),
        N(static_cast<int>(in.ssm_b.sizes[3])),
        group(H / G),
        chunks(static_cast<int>(mamba2_scan_chunks_cuda(in))),
        dt_min(static_cast<float>(in.dt_min)),
        dt_max(static_cast<float>(in.dt_max)),
        work(all_work) {}

  __device__ int64_t length(int64_t sequence) const {
    if (lengths == nullptr) return steps;
    const int64_t given = lengths[sequence];
    return given < 0 ? 0 : given < steps ? given : steps;
  }
};

// The chunk of a block.
struct Chunk {
  int64_t bk, b, begin;  // begin: its first step
  int rows, all_rows;    // steps that count, and those there are

  template <class T>
  __device__ explicit Chunk(const Problem<T>& p) : Chunk(p, blockIdx.x) {}
  template <class T>
  __device__ Chunk(const Problem<T>& p, unsigned index) : bk(index) {
    const unsigned sequence = index / static_cast<unsigned>(p.chunks);
    b = sequence;
    begin = int64_t{index - sequence * p.chunks} * kQ;
    all_rows = static_cast<int>(min(p.steps - begin, int64_t{kQ}));
    rows = static_cast<int>(max(min(p.length(b) - begin, int64_t{kQ}), int64_t{0}));
  }
};

// The numbers of one head in one chunk, in shared memory.
struct Scalars {
  float2 decay[kQ];
  float dt[kQ], from_start[kQ], to_end[kQ];
  int first[kQ];

  // Ends with a barrier.
  template <class T>
  __device__ void load(const Problem<T>& p, const Chunk& chunk, int h) {
    const int i = static_cast<int>(threadIdx.x);
    const int64_t at = (chunk.bk * p.H + h) * kQ + i;
    if (i < kQ) {
      decay[i] = p.work.decay[at];
      dt[i] = p.work.dt[at];
      from_start[i] = p.work.from_start[at];
      to_end[i] = p.work.to_end[at];
      first[i] = p.work.first[chunk.bk * kQ + i];
    }
    __syncthreads();
  }
  // M_ij: how much of what step j added is left at step i.
  __device__ float left(int i, int j) const {
    if (j > i || j < first[i]) return 0;
    return expf((decay[i].x - decay[j].x) + (decay[i].y - decay[j].y));
  }
  __device__ float whole() const { return from_start[kQ - 1]; }
};

// ---- a tile of a product: 256 threads, four rows and four columns each ----

struct Tiles {
  alignas(16) float a[kDepth][kTile + 4], b[kDepth][kTile + 4];
};

using Sums = float[4][4];
__device__ inline int tile_row() { return static_cast<int>(threadIdx.x) / 16 * 4; }
__device__ inline int tile_column() { return static_cast<int>(threadIdx.x) % 16 * 4; }

__device__ inline void clear(Sums& sums) {
#pragma unroll
  for (int i = 0; i < 4; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j) sums[i][j] = 0;
}

// Which of the two indices of a factor has neighbours in memory: neighbouring threads take neighbours.
enum class Neighbours { along_tile, along_depth };

template <Neighbours kNeighbours, class F>
__device__ void stage(float (&tile)[kDepth][kTile + 4], int begin, int count, F factor) {
  for (int e = static_cast<int>(threadIdx.x); e < kTile * kDepth; e += kThreads) {
    const int k = kNeighbours == Neighbours::along_depth ? e % kDepth : e / kTile;
    const int i = kNeighbours == Neighbours::along_depth ? e / kDepth : e % kTile;
    if (k < count) tile[k][i] = factor(i, begin + k);
  }
}

// sums += A [kTile,depth] B [depth,kTile]: a(row, k) and b(column, k) give the factors, zeros outside of them. Starts
// and ends so that the tiles may be used again.
template <Neighbours kA, Neighbours kB, class A, class B>
__device__ void multiply(Sums& sums, Tiles& tiles, int depth, A a, B b) {
  const int row = tile_row(), column = tile_column();
  for (int begin = 0; begin < depth; begin += kDepth) {
    const int count = min(depth - begin, kDepth);
    stage<kA>(tiles.a, begin, count, a);
    stage<kB>(tiles.b, begin, count, b);
    __syncthreads();
#pragma unroll 4
    for (int k = 0; k < count; ++k) {
      const auto rows = load_pack<4>(&tiles.a[k][row]), columns = load_pack<4>(&tiles.b[k][column]);
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) sums[i][j] = fmaf(rows.value[i], columns.value[j], sums[i][j]);
    }
    __syncthreads();
  }
}

// A row of a tile: the sum over its columns of what each thread gives, in all 16 threads that share it.
__device__ inline float row_sum(float x) {
  for (int offset = 8; offset > 0; offset /= 2) x += __shfl_xor_sync(kFullWarp, x, offset);
  return x;
}

// Four neighbouring columns of a row with `columns` of them; the row begins at a multiple of four elements if their
// number is one.
template <class T>
__device__ void store_four(T* row, int column, int columns, const float (&values)[4]) {
  if (columns % 4 == 0) {
    if (column >= columns) return;
    Pack<T, 4> pack;
#pragma unroll
    for (int j = 0; j < 4; ++j) pack.value[j] = from_float<T>(values[j]);
    store_pack<4>(row + column, pack);
  } else {
#pragma unroll
    for (int j = 0; j < 4; ++j)
      if (column + j < columns) row[column + j] = from_float<T>(values[j]);
  }
}

inline unsigned tiles(int64_t n) { return static_cast<unsigned>(ceil_div(n, kTile)); }
inline dim3 chunk_grid(int64_t batch, int chunks, int heads, unsigned tile_count = 1) {
  return dim3(static_cast<unsigned>(batch * chunks), static_cast<unsigned>(heads), tile_count);
}

// ---- kernels of both directions (mamba2_scan_chunks_cuda.cu) ----

// Hands out the scratch of a launch piece by piece.
struct Scratch {
  float* next;
  template <class T = float>
  T* take(int64_t count) {  // of four bytes each
    float* piece = next;
    next += count;
    return reinterpret_cast<T*>(piece);
  }
};

Work take_work(const Mamba2ScanInputs& in, Scratch& scratch);
int64_t work_size(const Mamba2ScanInputs& in);

// Fills problem.work.
template <class T>
void launch_chunk_numbers(const Problem<T>& problem, int64_t batch);

// states [B,K,H,P,N] = sum over the steps j of each chunk of w_j left_j right_j^T; left [B,T,H,P], right [B,T,G,N].
// forward: w = to_end dt', what the chunk adds to the state; backward: w = from_start, to its gradient.
template <class T>
void launch_chunk_sums(const Problem<T>& problem, int64_t batch, Rows<const T> left, Rows<const T> right, bool backward,
                       float* states);

// From chunk to chunk: in what each adds, out the state before it; backward, the gradient of the state behind it.
// start, end [B,H,P,N] may be null.
template <class T>
void launch_carries(const Problem<T>& problem, int64_t batch, float* states, const float* start, float* end,
                    bool backward);

}  // namespace vigor::mamba2
