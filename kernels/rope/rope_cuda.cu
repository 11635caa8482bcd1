// Rotary position embedding. A block owns some steps: its threads first compute sine and cosine of every pair of these
// steps, one each, into shared memory, then turn all heads with them, a pack of 16 bytes of both halves at a time.
#include <algorithm>

#include "kernels/cuda_rows.cuh"
#include "kernels/rope/rope_kernels.h"

namespace vigor {
namespace {

constexpr int kThreads = 256;
static_assert(kThreads >= kRopeMaxPairs);  // a thread for each pair of one step at least

template <class T>
struct Rope {
  int64_t steps;          // of all sequences, B T
  int64_t steps_each;     // of one, T
  Divisor by_steps_each;  // unless that is 1
  int steps_per_block, heads, pairs;
  T* y;                                  // [B,T,H,P]
  const T* x;                            // [B,T,H,P]
  int64_t b_stride, t_stride, h_stride;  // of x
  const int32_t* offsets;                // [B] or null
  float scale, sine_scale;               // the second is negative for negative angles
};

template <int N, class T>
__global__ void __launch_bounds__(kThreads) rope_kernel(Rope<T> p, const __grid_constant__ RopeAngles angles) {
  __shared__ alignas(kPackBytes) float cosines[kThreads], sines[kThreads];  // [steps of the block, pairs]
  __shared__ int64_t x_start[kThreads];                                     // of these steps
  const int64_t first = int64_t{blockIdx.x} * p.steps_per_block;
  const int steps = static_cast<int>(min(int64_t{p.steps_per_block}, p.steps - first));
  const int thread = static_cast<int>(threadIdx.x);
  if (thread < steps * p.pairs) {
    const int step = thread / p.pairs, pair = thread - step * p.pairs;
    const int64_t b = p.steps_each > 1 ? p.by_steps_each.quotient(first + step) : first + step;
    const int64_t t = first + step - b * p.steps_each;
    const uint32_t turn = angles.turn((p.offsets != nullptr ? p.offsets[b] : 0) + t, pair);
    float sine, cosine;
    sincospif(static_cast<float>(static_cast<int32_t>(turn)) * 0x1p-31f, &sine, &cosine);
    cosines[thread] = p.scale * cosine;
    sines[thread] = p.sine_scale * sine;
    if (pair == 0) x_start[step] = b * p.b_stride + t * p.t_stride;
  }
  __syncthreads();
  const int packs = p.pairs / N;  // of a half
  for (int i = thread; i < steps * p.heads * packs; i += kThreads) {
    const int row = i / packs, j = (i - row * packs) * N;  // row: a head of a step
    const int step = row / p.heads, head = row - step * p.heads;
    const T* x = p.x + x_start[step] + head * p.h_stride + j;
    T* y = p.y + (first * p.heads + row) * 2 * p.pairs + j;
    const Pack<T, N> low = load_pack<N>(x), high = load_pack<N>(x + p.pairs);
    float cosine[N], sine[N];
    load_floats(cosine, cosines + step * p.pairs + j);
    load_floats(sine, sines + step * p.pairs + j);
    Pack<T, N> low_out, high_out;
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const float a = to_float(low.value[k]), b = to_float(high.value[k]);
      low_out.value[k] = from_float<T>(a * cosine[k] - b * sine[k]);
      high_out.value[k] = from_float<T>(b * cosine[k] + a * sine[k]);
    }
    store_pack<N>(y, low_out);
    store_pack<N>(y + p.pairs, high_out);
  }
}

template <class T>
bool packs_fit_everywhere(const Rope<T>& p) {
  constexpr int64_t N = kPackElements<T>;
  return packs_fit<T>(p.x, p.pairs) && packs_fit<T>(p.y, p.pairs) && p.b_stride % N == 0 && p.t_stride % N == 0 &&
         p.h_stride % N == 0;
}

}  // namespace

void rope_cuda(const RopeInputs& in, const TensorView& y) {
  if (y.numel() == 0) return;
  const int64_t pairs = y.sizes[3] / 2;
  const RopeAngles angles = rope_angles(in.theta, pairs, in.transformers_angles);
  visit_cuda_float(y.dtype, "rope", [&]<class T>() {
    Rope<T> p;
    p.steps = y.sizes[0] * y.sizes[1];
    p.steps_each = y.sizes[1];
    if (p.steps_each > 1) p.by_steps_each = Divisor(p.steps_each);
    p.steps_per_block = static_cast<int>(kThreads / pairs);
    p.heads = static_cast<int>(y.sizes[2]);
    p.pairs = static_cast<int>(pairs);
    p.y = static_cast<T*>(y.data);
    p.x = static_cast<const T*>(in.x.data);
    p.b_stride = in.x.strides[0], p.t_stride = in.x.strides[1], p.h_stride = in.x.strides[2];
    p.offsets = in.offsets.as<const int32_t>();
    p.scale = static_cast<float>(in.scale);
    p.sine_scale = in.negative ? -p.scale : p.scale;
    const auto kernel = packs_fit_everywhere(p) ? rope_kernel<kPackElements<T>, T> : rope_kernel<1, T>;
    const auto blocks = static_cast<unsigned>(ceil_div(p.steps, p.steps_per_block));
    kernel<<<blocks, kThreads, 0, cuda_stream()>>>(p, angles);
  });
  VIGOR_CUDA_CHECK_LAUNCH("rope");
}

}  // namespace vigor
