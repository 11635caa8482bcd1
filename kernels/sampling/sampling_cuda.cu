// Sampling on a GPU: a block a row, and no sort. In falling order of the logits, top_k, top_p and the draw each ask
// where a running sum passes a goal. A histogram of the highest bits of the logits finds the bin that holds the place,
// one of the next bits within that bin narrows it down, until one logit is left, and of equal ones the lowest ids come
// first.
//
// Probabilities are summed as integers, in units of 2^-44 of the largest for 2^17 tokens: such sums do not depend on
// their order, so that threads may add as they come.
#include <bit>
#include <cmath>

#include "kernels/sampling/sampling_kernels.h"
#include "tensor/cuda_kernel.cuh"

namespace vigor {
namespace {

constexpr int kThreads = 1024;
constexpr int kWarps = kThreads / kWarpSize;
constexpr int kMassBits = 62;   // of the sum over a row
constexpr int kDigitBits = 11;  // of a logit's 32: three histograms
constexpr int kBins = 1 << kDigitBits;

using Mass = unsigned long long;

struct Shared {
  Mass bins[kBins];
  Mass sums[kWarps];
  int64_t found;
  Mass rest;
};

template <class T>
struct Row {
  const T* logits;  // [V]
  Mass* masses;     // [V]
  int64_t V;
};

// Larger logits have larger keys; +0 and -0 are equal.
__device__ unsigned key_of(float logit) {
  const unsigned bits = __float_as_uint(logit + 0.0f);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

// The tokens that are left: those with a larger key, and of the equal ones those up to `last`.
struct Kept {
  unsigned key = 0;
  int64_t last = 0x7fffffff;
  __device__ bool has(unsigned k, int64_t id) const { return k > key || (k == key && id <= last); }
};

// The first i for which measure(0) + ... + measure(i) > goal, in every thread; there must be one. `rest` becomes goal
// less what comes before i. Each warp sums a stretch; the one in which the goal lies walks through it again.
template <class F>
__device__ int64_t first_above(int64_t n, Mass goal, Mass& rest, Shared& shared, F&& measure) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize, warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const int64_t stretch = (n + kThreads - 1) / kThreads * kWarpSize, begin = warp * stretch;
  const int64_t end = min(n, begin + stretch);
  Mass sum = 0;
  for (int64_t i = begin + lane; i < end; i += kWarpSize) sum += measure(i);
  sum = warp_sum(sum);
  __syncthreads();
  if (lane == 0) shared.sums[warp] = sum;
  __syncthreads();
  Mass before = 0;
  for (int w = 0; w < warp; ++w) before += shared.sums[w];
  if (before <= goal && goal < before + sum) {  // one warp
    for (int64_t start = begin;; start += kWarpSize) {
      const Mass own = start + lane < end ? measure(start + lane) : 0;
      Mass upto = own;  // inclusive sums of the lanes
      for (int offset = 1; offset < kWarpSize; offset *= 2) {
        const Mass other = __shfl_up_sync(kFullWarp, upto, offset);
        if (lane >= offset) upto += other;
      }
      const unsigned above = __ballot_sync(kFullWarp, before + upto > goal);
      if (above != 0) {
        if (lane == __ffs(static_cast<int>(above)) - 1) {
          shared.found = start + lane;
          shared.rest = goal - (before + upto - own);
        }
        break;
      }
      before += __shfl_sync(kFullWarp, upto, kWarpSize - 1);
    }
  }
  __syncthreads();
  rest = shared.rest;
  return shared.found;
}

// Where, in falling order of the logits, the sum of measure(id) over the kept tokens first passes the goal: what is
// kept if that token is the last.
template <class T, class F>
__device__ Kept cut(const Row<T>& row, const Kept& kept, Mass goal, Shared& shared, F&& measure) {
  unsigned prefix = 0, decided = 0;  // the highest bits of the key, and a mask of them
  for (int bits = 32; bits > 0; bits -= kDigitBits) {
    const int shift = bits > kDigitBits ? bits - kDigitBits : 0;
    for (int bin = static_cast<int>(threadIdx.x); bin < kBins; bin += kThreads) shared.bins[bin] = 0;
    __syncthreads();
    for (int64_t id = threadIdx.x; id < row.V; id += kThreads) {
      const unsigned key = key_of(to_float(row.logits[id]));
      if ((key & decided) != prefix || !kept.has(key, id)) continue;
      if (const Mass mass = measure(id); mass > 0) atomicAdd(&shared.bins[(key & ~decided) >> shift], mass);
    }
    __syncthreads();
    const auto falling = [&](int64_t i) { return shared.bins[kBins - 1 - i]; };
    const int64_t bin = kBins - 1 - first_above(kBins, goal, goal, shared, falling);
    prefix |= static_cast<unsigned>(bin) << shift;
    decided = 0xffffffffu << shift;
  }
  const auto of_equals = [&](int64_t id) -> Mass {
    const unsigned key = key_of(to_float(row.logits[id]));
    return key == prefix && kept.has(key, id) ? measure(id) : 0;
  };
  return {prefix, first_above(row.V, goal, goal, shared, of_equals)};
}

// The id of the largest logit, the lowest of equals, in every thread; -1 when it is not finite or the row holds a NaN.
template <class T>
__device__ int argmax(const T* logits, int64_t V, Shared& shared) {
  // Key and id in one number, of which the largest is wanted: the lowest id has the largest complement.
  Mass best = 0;
  for (int64_t id = threadIdx.x; id < V; id += kThreads) {
    const float logit = to_float(logits[id]);
    const unsigned key = isnan(logit) ? 0xffffffffu : key_of(logit);  // above +infinity
    best = max(best, Mass{key} << 32 | ~static_cast<unsigned>(id));
  }
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2) best = max(best, __shfl_xor_sync(kFullWarp, best, offset));
  if (threadIdx.x % kWarpSize == 0) shared.sums[threadIdx.x / kWarpSize] = best;
  __syncthreads();
  for (int w = 0; w < kWarps; ++w) best = max(best, shared.sums[w]);
  const auto key = static_cast<unsigned>(best >> 32);
  if (key <= key_of(-INFINITY) || key >= key_of(INFINITY)) return -1;
  return static_cast<int>(~static_cast<unsigned>(best));
}

// [0, 1) with 53 bits, as on a CPU.
__device__ double uniform_of(const RandomKey& key, uint64_t row) {
  const PhiloxWords words = random_block(key, row);
  return (static_cast<double>(words.word[0] >> 5) * 0x1p26 + static_cast<double>(words.word[1] >> 6)) * 0x1p-53;
}

// Kept below the total, from which rounding may have brought it.
__device__ Mass goal_within(double goal, Mass total) { return goal < 0 ? 0 : min(static_cast<Mass>(goal), total - 1); }

template <class T>
__device__ Mass total_mass(const Row<T>& row, const Kept& kept, Shared& shared) {
  Mass total = 0;
  for (int64_t id = threadIdx.x; id < row.V; id += kThreads)
    if (kept.has(key_of(to_float(row.logits[id])), id)) total += row.masses[id];
  return block_sum(total, shared.sums);
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    sample_kernel(int32_t* ids, const T* logits, Mass* masses, int64_t V, double mass_of_largest,
                  double kept_below_largest, SamplingOptions options, RandomKey key) {
  __shared__ Shared shared;
  const Row<T> row{logits + int64_t{blockIdx.x} * V, masses + int64_t{blockIdx.x} * V, V};
  const int best = argmax(row.logits, V, shared);
  if (best < 0 || options.greedy || options.temperature == 0) {
    if (threadIdx.x == 0) ids[blockIdx.x] = best;
    return;
  }
  const double largest = to_float(row.logits[best]);
  for (int64_t id = threadIdx.x; id < V; id += kThreads) {
    const double weight = exp((static_cast<double>(to_float(row.logits[id])) - largest) / options.temperature);
    row.masses[id] = static_cast<Mass>(rint(weight * mass_of_largest));
  }
  __syncthreads();
  const auto mass = [&](int64_t id) { return row.masses[id]; };
  Kept kept;
  const bool by_rank = options.top_k > 0 && options.top_k < V;
  if (by_rank) kept = cut(row, kept, static_cast<Mass>(options.top_k - 1), shared, [](int64_t) { return Mass{1}; });
  if (options.top_p < 1) {  // the first place where the sum reaches top_p of all: passes one unit less
    const Mass total = total_mass(row, kept, shared);
    const double wanted = ceil(options.top_p * static_cast<double>(total)) - 1;
    kept = cut(row, kept, goal_within(wanted, total), shared, mass);
  }
  if (options.min_p > 0) {
    const unsigned least = key_of(__double2float_ru(largest + kept_below_largest));
    if (least > kept.key) kept = {least, 0x7fffffff};
  }
  const Mass total = total_mass(row, kept, shared);
  const Mass goal = goal_within(uniform_of(key, blockIdx.x) * static_cast<double>(total), total);
  // In falling order where something was left out, else in order of ids: as on a CPU.
  Mass rest;
  const bool filtered = by_rank || options.top_p < 1 || options.min_p > 0;
  const int64_t id = filtered ? cut(row, kept, goal, shared, mass).last : first_above(V, goal, rest, shared, mass);
  if (threadIdx.x == 0) ids[blockIdx.x] = static_cast<int32_t>(id);
}

}  // namespace

void sample_cuda(const TensorView& ids, const TensorView& logits, const SamplingOptions& options, const RandomKey& key,
                 Candidate* candidates) {
  static_assert(sizeof(Mass) == sizeof(Candidate));
  const int64_t V = logits.sizes[1];
  const double mass_of_largest =
      std::ldexp(1.0, kMassBits - static_cast<int>(std::bit_width(static_cast<uint64_t>(V))));
  visit_cuda_float(logits.dtype, "sample", [&]<class T>() {
    sample_kernel<<<static_cast<unsigned>(logits.sizes[0]), kThreads, 0, cuda_stream()>>>(
        ids.as<int32_t>(), static_cast<const T*>(logits.data), reinterpret_cast<Mass*>(candidates), V, mass_of_largest,
        lowest_kept(options), options, key);
  });
  VIGOR_CUDA_CHECK_LAUNCH("sample");
}

}  // namespace vigor
