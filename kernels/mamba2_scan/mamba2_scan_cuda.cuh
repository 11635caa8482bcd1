#pragma once
// What the CUDA kernels of the scan share: sizes and pointers, the scalars of a chunk, and a product of tiles.
//
// A block works on one chunk of kQ steps of one sequence, for one head or one group: blockIdx.x counts sequences and
// chunks together (bk = b K + k), blockIdx.y heads or groups, blockIdx.z tiles of the result.
#include <cstdint>

#include "kernels/kernel_version.h"
#include "kernels/mamba2_scan/mamba2_scan_kernels.h"
#include "kernels/sequence_cuda.cuh"
#include "kernels/tensor_core_cuda.cuh"

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
  DeviceSequences time;
  const float *a_log, *skip_d, *dt_bias;
  int H, P, G, N, group, chunks;
  float dt_min, dt_max;
  Work work;

  Problem(const Mamba2ScanInputs& in, const Work& all_work)
      : x(in.x),
        dt(in.dt),
        b(in.ssm_b),
        c(in.ssm_c),
        time(in.x, in.lengths, in.resets),
        a_log(in.a_log.as<float>()),
        skip_d(in.skip_d.as<float>()),
        dt_bias(in.dt_bias.as<float>()),
        H(static_cast<int>(in.x.sizes[2])),
        P(static_cast<int>(in.x.sizes[3])),
        G(static_cast<int>(in.ssm_b.sizes[2])),
        N(static_cast<int>(in.ssm_b.sizes[3])),
        group(H / G),
        chunks(static_cast<int>(mamba2_scan_chunks_cuda(in))),
        dt_min(static_cast<float>(in.dt_min)),
        dt_max(static_cast<float>(in.dt_max)),
        work(all_work) {}
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
    all_rows = static_cast<int>(min(p.time.steps - begin, int64_t{kQ}));
    rows = static_cast<int>(max(min(p.time.length(b) - begin, int64_t{kQ}), int64_t{0}));
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

inline constexpr int kFloatPitch = kTile + 4;  // of a row of floats: no two of four rows begin in one bank
inline constexpr int kHalfPitch = kDepth + 8;  // of a row of bf16: the eight rows that ldmatrix reads lie in all banks

// Shared memory for the factors; with tensor cores also for their sums.
struct Tiles {
  alignas(16) float memory[kTile * kFloatPitch];
  static_assert(kTile == 2 * kDepth && kHalfPitch <= kFloatPitch);
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
__device__ void stage(float* tile, int begin, int count, F factor) {
  for (int e = static_cast<int>(threadIdx.x); e < kTile * kDepth; e += kThreads) {
    const int k = kNeighbours == Neighbours::along_depth ? e % kDepth : e / kTile;
    const int i = kNeighbours == Neighbours::along_depth ? e / kDepth : e % kTile;
    if (k < count) tile[k * kFloatPitch + i] = factor(i, begin + k);
  }
}

// Version 1, any type: products and sums in f32.
template <Neighbours kA, Neighbours kB, class A, class B>
__device__ void multiply_floats(Sums& sums, Tiles& tiles, int depth, A a, B b) {
  float *tile_a = tiles.memory, *tile_b = tiles.memory + kDepth * kFloatPitch;
  for (int begin = 0; begin < depth; begin += kDepth) {
    const int count = min(depth - begin, kDepth);
    stage<kA>(tile_a, begin, count, a);
    stage<kB>(tile_b, begin, count, b);
    __syncthreads();
#pragma unroll 4
    for (int k = 0; k < count; ++k) {
      const auto rows = load_pack<4>(tile_a + k * kFloatPitch + tile_row());
      const auto columns = load_pack<4>(tile_b + k * kFloatPitch + tile_column());
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) sums[i][j] = fmaf(rows.value[i], columns.value[j], sums[i][j]);
    }
    __syncthreads();
  }
}

// A row of the tile holds the factors of all depths, in pairs; zeros up to a multiple of 16.
template <Neighbours kNeighbours, class F>
__device__ void stage_halves(__nv_bfloat16* tile, int begin, int count, F factor) {
  constexpr int kPairs = kDepth / 2;
  for (int e = static_cast<int>(threadIdx.x); e < kTile * kPairs; e += kThreads) {
    const int k = 2 * (kNeighbours == Neighbours::along_depth ? e % kPairs : e / kTile);
    const int i = kNeighbours == Neighbours::along_depth ? e / kPairs : e % kTile;
    if (k >= (count + 15) / 16 * 16) continue;
    const float first = k < count ? factor(i, begin + k) : 0, second = k + 1 < count ? factor(i, begin + k + 1) : 0;
    *reinterpret_cast<__nv_bfloat162*>(tile + i * kHalfPitch + k) = __floats2bfloat162_rn(first, second);
  }
}

// Version 2, for bf16 activations: factors are rounded to bf16 and multiplied by tensor cores, with sums in f32. A warp
// owns 16 rows and 32 columns; at the end the sums go to the threads that version 1 has them in.
template <Neighbours kA, Neighbours kB, class A, class B>
__device__ void multiply_halves(Sums& sums, Tiles& tiles, int depth, A a, B b) {
  auto *tile_a = reinterpret_cast<__nv_bfloat16*>(tiles.memory), *tile_b = tile_a + kTile * kHalfPitch;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize, warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const int row = warp % 4 * 16, column = warp / 4 * 32;
  float c[4][4] = {};  // [8 columns each][as multiply_add() has them]
  for (int begin = 0; begin < depth; begin += kDepth) {
    const int count = min(depth - begin, kDepth);
    stage_halves<kA>(tile_a, begin, count, a);
    stage_halves<kB>(tile_b, begin, count, b);
    __syncthreads();
    for (int k = 0; k < count; k += 16) {
      uint32_t fragment_a[4];
      load_matrices<false>(fragment_a, tile_a + (row + lane % 16) * kHalfPitch + k + lane / 16 * 8);
#pragma unroll
      for (int pair = 0; pair < 2; ++pair) {
        uint32_t fragment_b[4];
        const int b_row = column + pair * 16 + lane / 16 * 8 + lane % 8;
        load_matrices<false>(fragment_b, tile_b + b_row * kHalfPitch + k + lane / 8 % 2 * 8);
        multiply_add(c[2 * pair], fragment_a, fragment_b[0], fragment_b[1]);
        multiply_add(c[2 * pair + 1], fragment_a, fragment_b[2], fragment_b[3]);
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int n = 0; n < 4; ++n)
#pragma unroll
    for (int half = 0; half < 2; ++half)
      store_pack<2>(tiles.memory + (row + lane / 4 + half * 8) * kFloatPitch + column + n * 8 + lane % 4 * 2,
                    Pack<float, 2>{c[n][2 * half], c[n][2 * half + 1]});
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const auto added = load_pack<4>(tiles.memory + (tile_row() + i) * kFloatPitch + tile_column());
#pragma unroll
    for (int j = 0; j < 4; ++j) sums[i][j] += added.value[j];
  }
  __syncthreads();
}

// sums += A [kTile,depth] B [depth,kTile]: a(row, k) and b(column, k) give the factors, zeros outside of them. Starts
// and ends so that the tiles may be used again.
template <bool kTensorCores, Neighbours kA, Neighbours kB, class A, class B>
__device__ void multiply(Sums& sums, Tiles& tiles, int depth, A a, B b) {
  if constexpr (kTensorCores) multiply_halves<kA, kB>(sums, tiles, depth, a, b);
  else multiply_floats<kA, kB>(sums, tiles, depth, a, b);
}

// sums += rows of B or C (zeros for the steps i of the chunk without counts(i)) times those of a state [P,N] from p0
// on: what each step reads of, or adds to, each of kTile channels.
template <bool kTensorCores, class T, class Counts>
__device__ void multiply_by_state(Sums& sums, Tiles& tiles, const Problem<T>& p, const Chunk& chunk,
                                  const Rows<const T>& rows, int g, const float* state, int p0, Counts counts) {
  multiply<kTensorCores, Neighbours::along_depth, Neighbours::along_depth>(
      sums, tiles, p.N,
      [&](int i, int n) {
        return i < chunk.rows && counts(i) ? to_float(rows.row(chunk.b, chunk.begin + i, g)[n]) : 0;
      },
      [&](int channel, int n) { return p0 + channel < p.P ? state[(p0 + channel) * p.N + n] : 0; });
}

// Calls launch.template operator()<T, tensor cores>() for activations of `dtype`.
template <class F>
void choose_products(Dtype dtype, const char* op, F&& launch) {
  visit_cuda_float(dtype, op, [&]<class T>() {
    if constexpr (sizeof(T) == 2)
      if (kernel_version("mamba2_scan", 2) == 2) return launch.template operator()<T, true>();
    launch.template operator()<T, false>();
  });
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
template <class T>
dim3 chunk_grid(const Problem<T>& p, int heads, unsigned tile_count = 1) {
  return dim3(static_cast<unsigned>(p.time.batch * p.chunks), static_cast<unsigned>(heads), tile_count);
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
template <bool kTensorCores, class T>
void launch_chunk_numbers(const Problem<T>& problem);

// states [B,K,H,P,N] = sum over the steps j of each chunk of w_j left_j right_j^T; left [B,T,H,P], right [B,T,G,N].
// forward: w = to_end dt', what the chunk adds to the state; backward: w = from_start, to its gradient.
template <bool kTensorCores, class T>
void launch_chunk_sums(const Problem<T>& problem, Rows<const T> left, Rows<const T> right, bool backward,
                       float* states);

// From chunk to chunk: in what each adds, out the state before it; backward, the gradient of the state behind it.
// start, end [B,H,P,N] may be null.
template <class T>
void launch_carries(const Problem<T>& problem, float* states, const float* start, float* end, bool backward);

}  // namespace vigor::mamba2
