// What the lanes of a warp do together.
#include <cooperative_groups.h>

constexpr unsigned kAll = 0xffffffffu;

extern "C" __global__ void shuffles(int* out, int width) {
  const int lane = threadIdx.x;
  const int value = lane * lane + 1;
  out[lane] = __shfl_sync(kAll, value, (lane * 7) % 32, width);
  out[32 + lane] = __shfl_up_sync(kAll, value, 3, width);
  out[64 + lane] = __shfl_down_sync(kAll, value, 5, width);
  out[96 + lane] = __shfl_xor_sync(kAll, value, 6, width);
}

extern "C" __global__ void shuffle_wide(double* out) {
  out[threadIdx.x] = __shfl_xor_sync(kAll, 1.0 / (1 + threadIdx.x), 31);
}

extern "C" __global__ void votes(unsigned* out) {
  const unsigned lane = threadIdx.x;
  out[lane] = __ballot_sync(kAll, lane % 3 == 1);
  out[32 + lane] = __all_sync(kAll, lane < 32) | __all_sync(kAll, lane < 31) << 1 | __any_sync(kAll, lane == 9) << 2 |
                   __any_sync(kAll, lane > 40) << 3;
  out[64 + lane] = __match_any_sync(kAll, lane / 5);
  int same;
  out[96 + lane] = __match_all_sync(kAll, lane / 32, &same) + same;
  out[128 + lane] = __reduce_add_sync(kAll, lane);
  out[160 + lane] = __reduce_max_sync(kAll, lane * 37 % 41);
  out[192 + lane] = __reduce_xor_sync(kAll, lane * lane);
}

// Parts of the warp that work apart: lanes in branches, with the masks of their branch.
extern "C" __global__ void branches(unsigned* out) {
  const unsigned lane = threadIdx.x;
  unsigned value;
  if (lane % 4 == 0) {
    value = __ballot_sync(0x11111111u, lane > 10);
    value += __activemask() == 0x11111111u;
  } else if (lane < 20) {
    const unsigned members = 0x000eeeeeu;
    value = __shfl_sync(members, lane, 5) * 100 + __popc(__activemask());
  } else {
    value = 7;
  }
  __syncwarp();
  out[lane] = value + __shfl_sync(kAll, lane, 31 - lane);
}

// Eight sums of four lanes each, at the same instruction with eight different masks.
extern "C" __global__ void tiles(int* out) {
  const auto tile = cooperative_groups::tiled_partition<4>(cooperative_groups::this_thread_block());
  int sum = static_cast<int>(threadIdx.x);
  for (int step = 2; step > 0; step /= 2) sum += tile.shfl_down(sum, step);
  out[threadIdx.x] = tile.shfl(sum, 0);
}

// Lanes leave before the others vote.
extern "C" __global__ void early_exit(unsigned* out) {
  if (threadIdx.x >= 20) return;
  out[threadIdx.x] = __ballot_sync(0x000fffffu, threadIdx.x % 2);
}

extern "C" __global__ void special_registers(unsigned* out) {
  unsigned lane, below, warp;
  asm("mov.u32 %0, %%laneid;" : "=r"(lane));
  asm("mov.u32 %0, %%lanemask_lt;" : "=r"(below));
  asm("mov.u32 %0, %%warpid;" : "=r"(warp));
  const long long before = clock64();
  out[threadIdx.x] = lane + warp * 100 + (__popc(below) == lane) * 1000 + (clock64() > before) * 10000;
}

// Faults.
extern "C" __global__ void foreign_member_mask(int* out) {
  out[threadIdx.x] = __shfl_sync(0x0000ffffu, threadIdx.x, 0);  // lanes 16 to 31 are not members
}
extern "C" __global__ void read_from_inactive_lane(int* out) {
  if (threadIdx.x < 8) out[threadIdx.x] = __shfl_down_sync(0x000000ffu, threadIdx.x, 8);
}
extern "C" __global__ void lanes_miss_each_other(int* out) {
  int value = threadIdx.x;
  if (threadIdx.x < 16) {
    value = __shfl_sync(kAll, value * 2, 3);
  } else {
    out[threadIdx.x] = value;
    value = __shfl_sync(kAll, value * 3, 4);
  }
  out[threadIdx.x] = value;
}
