// Control flow: divergence, loops, switches, functions, local arrays.

// Lanes take different numbers of rounds, with branches inside.
extern "C" __global__ void collatz(int* steps, const int* start, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  int x = start[i], count = 0;
  while (x != 1) {
    if (x % 2 == 0) {
      x /= 2;
    } else {
      x = 3 * x + 1;
    }
    ++count;
  }
  steps[i] = count;
}

// A switch that becomes a table of branches.
extern "C" __global__ void dispatch(int* out, const int* in, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  volatile int* slot = out + i;
  const int x = in[i];
  switch (x) {
    case 0:
      *slot = 17;
      break;
    case 1:
      *slot = x * 5;
      *slot = *slot + 1;
      break;
    case 2:
      *slot = -x;
    case 3:
      *slot = 40 + x;
      break;
    case 4:
      *slot = x << 4;
      break;
    case 5:
      *slot = i;
      break;
    case 6:
      *slot = i * i;
      *slot = *slot - 6;
      break;
    case 7:
      *slot = 1000 / (i + 1);
      break;
    case 8:
      return;
    default:
      *slot = -1;
  }
}

struct Pair {
  double sum;
  int count;
  char tag;
};

// Structures go in and out through memory; lanes call from two places.
__noinline__ __device__ Pair combine(Pair a, int n, const float* extra) {
  a.sum += n > 3 ? extra[0] : -extra[0];
  a.count += n;
  a.tag = static_cast<char>('a' + n % 26);
  return a;
}
__noinline__ __device__ int depth_two(int x, const float* extra) {
  const Pair p = combine({1.0 * x, x, 'z'}, x % 7, extra);
  return static_cast<int>(p.sum) + p.count + p.tag;
}

extern "C" __global__ void calls(int* out, const float* extra, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  if (i % 3 == 0) {
    out[i] = depth_two(i, extra);
  } else if (i % 3 == 1) {
    const Pair p = combine({0.5, 2, 'q'}, i, extra);
    out[i] = p.count * 1000 + p.tag;
  } else {
    out[i] = -depth_two(2 * i, extra);
  }
}

// A local array that is indexed by data.
extern "C" __global__ void local_histogram(int* most, const unsigned char* data, int per_thread, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  int counts[16];
  for (int k = 0; k < 16; ++k) counts[k] = 0;
  for (int k = 0; k < per_thread; ++k) ++counts[data[i * per_thread + k] % 16];
  int best = 0;
  for (int k = 1; k < 16; ++k) {
    if (counts[k] > counts[best]) best = k;
  }
  most[i] = best * 100 + counts[best];
}

// A lock in shared memory that lanes of one warp fight for: needs progress of lanes that parted.
extern "C" __global__ void spin_lock(int* total) {
  __shared__ int lock, sum;
  if (threadIdx.x == 0) lock = sum = 0;
  __syncthreads();
  bool done = false;
  while (!done) {
    if (atomicCAS(&lock, 0, 1) == 0) {
      sum = *static_cast<volatile int*>(&sum) + static_cast<int>(threadIdx.x);
      __threadfence_block();
      atomicExch(&lock, 0);
      done = true;
    }
  }
  __syncthreads();
  if (threadIdx.x == 0) *total = sum;
}

// One warp waits for a word that another writes.
extern "C" __global__ void wait_for_warp(int* out) {
  __shared__ volatile int flag;
  if (threadIdx.x == 0) flag = 0;
  __syncthreads();
  if (threadIdx.x < 32) {
    while (flag == 0) {
    }
    out[threadIdx.x] = flag + static_cast<int>(threadIdx.x);
  } else if (threadIdx.x == 32) {
    flag = 5;
  }
}

extern "C" __global__ void indices(unsigned* out) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  out[block * blockDim.x * blockDim.y * blockDim.z + thread] =
      threadIdx.x | threadIdx.y << 8 | threadIdx.z << 12 | blockIdx.x << 16 | blockIdx.y << 20 | blockIdx.z << 24;
}

struct Big {
  int values[20];
  float scale;
};
// A parameter by value, indexed at run time.
extern "C" __global__ void by_value(float* out, __grid_constant__ const Big big, char step) {
  out[threadIdx.x] = static_cast<float>(big.values[threadIdx.x % 20]) * big.scale + step;
}
