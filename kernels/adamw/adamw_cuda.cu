#include "kernels/adamw/adamw_kernels.h"
#include "tensor/cuda_kernel.cuh"

namespace vigor {
namespace {

constexpr int kThreads = 256;
constexpr int kElements = 4;  // that a thread updates at a time: one Philox block, 16 bytes of float

// The arrays of one arena. G is the type of the gradients; with bf16 ones, p is the master and `rounded` the parameter.
// M is the type of the moments.
template <class G, class M>
struct Arena {
  float* p;
  const G* g;
  M* m;
  M* v;
  __nv_bfloat16* rounded;
  int64_t n;
};

// As on the CPU, where subnormal numbers are slow: both devices find the same moments.
__device__ float flush_tiny(float x) { return fabsf(x) < 1e-36f ? 0.0f : x; }

template <int N>
__device__ void round_pack(__nv_bfloat16* to, const Pack<float, N>& value, int64_t i, const Bf16Rounding& rounding,
                           const RandomKey& key) {
  Pack<__nv_bfloat16, N> out;
  if (rounding.stochastic) {
    const PhiloxWords words = random_block(key, static_cast<uint64_t>(i) / 4);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const uint32_t word = words.word[N == 4 ? j : i % 4];
      out.value[j] = __ushort_as_bfloat16(round_stochastically(value.value[j], word));
    }
  } else {
#pragma unroll
    for (int j = 0; j < N; ++j) out.value[j] = __float2bfloat16_rn(value.value[j]);
  }
  store_pack<N>(to + i, out);
}

// m and v as they are kept, from what is computed: f32 as it is, bf16 rounded with the two halves of one word.
__device__ void keep_moments(float& m, float& v, float mean, float square, uint32_t) {
  m = mean;
  v = square;
}
__device__ void keep_moments(__nv_bfloat16& m, __nv_bfloat16& v, float mean, float square, uint32_t word) {
  m = __ushort_as_bfloat16(round_stochastically(mean, word << 16));
  v = __ushort_as_bfloat16(round_stochastically(square, word));
}

// Elements i .. i + N - 1.
template <int N, class G, class M>
__device__ void update_pack(const Arena<G, M>& arena, int64_t i, const AdamWFactors<float>& f,
                            const Bf16Rounding& rounding, const RandomKey& key, const MomentsKey& key_of_moments) {
  const Pack<G, N> g = load_pack<N>(arena.g + i);
  Pack<float, N> p = load_pack<N>(arena.p + i);
  Pack<M, N> m = load_pack<N>(arena.m + i), v = load_pack<N>(arena.v + i);
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const float gradient = to_float(g.value[j]) * f.clip;
    const float mean = flush_tiny(fmaf(to_float(m.value[j]), f.beta1, gradient * f.one_minus_beta1));
    const float square = flush_tiny(fmaf(to_float(v.value[j]), f.beta2, gradient * gradient * f.one_minus_beta2));
    keep_moments(m.value[j], v.value[j], mean, square, moments_word(key_of_moments, i + j));
    const float denominator = fmaf(sqrtf(square), f.denominator_scale, f.eps);
    p.value[j] = fmaf(mean / denominator, -f.step_size, p.value[j] * f.decay);
  }
  store_pack<N>(arena.p + i, p);
  store_pack<N>(arena.m + i, m);
  store_pack<N>(arena.v + i, v);
  if constexpr (sizeof(G) == 2) round_pack<N>(arena.rounded, p, i, rounding, key);
}

// One thread updates packs of N elements, a whole grid apart; the last n % N elements one by one.
template <int N, class G, class M>
__global__ void __launch_bounds__(kThreads)
    adamw_kernel(Arena<G, M> arena, const StepState* state, AdamWOptions options, Bf16Rounding rounding) {
  if (state->failed_step >= 0) return;
  __shared__ AdamWFactors<float> factors;  // computed in double, which is slow on many GPUs: once a block
  __shared__ MomentsKey of_moments;
  if (threadIdx.x == 0) {
    factors = adamw_factors<float>(*state, options);
    of_moments = moments_key(rounding, *state);
  }
  __syncthreads();
  const AdamWFactors<float> f = factors;
  const RandomKey key = rounding_key(rounding, *state);
  const int64_t packs = arena.n / N;
  for (int64_t i = global_thread(); i < packs; i += global_threads())
    update_pack<N>(arena, i * N, f, rounding, key, of_moments);
  const int64_t rest = packs * N + global_thread();
  if (rest < arena.n) update_pack<1>(arena, rest, f, rounding, key, of_moments);
}

template <class G, class M>
void launch(const Arena<G, M>& arena, const StepState* state, const AdamWOptions& options,
            const Bf16Rounding& rounding) {
  if (arena.n == 0) return;
  const auto aligned = [](const auto* data) {
    return reinterpret_cast<uintptr_t>(data) % (kElements * sizeof(*data)) == 0;
  };
  const bool packs =
      aligned(arena.p) && aligned(arena.g) && aligned(arena.m) && aligned(arena.v) && aligned(arena.rounded);
  const unsigned blocks = grid_size(packs ? ceil_div(arena.n, kElements) : arena.n, kThreads);
  if (packs) adamw_kernel<kElements><<<blocks, kThreads, 0, cuda_stream()>>>(arena, state, options, rounding);
  else adamw_kernel<1><<<blocks, kThreads, 0, cuda_stream()>>>(arena, state, options, rounding);
  VIGOR_CUDA_CHECK_LAUNCH("adamw");
}

}  // namespace

void adamw_cuda(const TensorView& param, const TensorView& grad, const TensorView& m, const TensorView& v,
                const StepState* state, const AdamWOptions& options, const Bf16Rounding& rounding) {
  if (param.dtype != Dtype::f32)
    fail("adamw: on CUDA param must be f32, or bf16 beside a master; got {}", name_of(param.dtype));
  const auto run = [&]<class M>(M* first, M* second) {
    const Arena<float, M> arena{param.as<float>(), grad.as<float>(), first, second, nullptr, param.numel()};
    launch(arena, state, options, rounding);
  };
  if (m.dtype == Dtype::bf16) run(m.as<__nv_bfloat16>(), v.as<__nv_bfloat16>());
  else run(m.as<float>(), v.as<float>());
}

void adamw_mixed_cuda(const TensorView& param, const TensorView& master, const TensorView& grad, const TensorView& m,
                      const TensorView& v, const StepState* state, const AdamWOptions& options,
                      const Bf16Rounding& rounding) {
  const auto run = [&]<class M>(M* first, M* second) {
    const Arena<__nv_bfloat16, M> arena{
        master.as<float>(), grad.as<__nv_bfloat16>(), first, second, param.as<__nv_bfloat16>(), param.numel()};
    launch(arena, state, options, rounding);
  };
  if (m.dtype == Dtype::bf16) run(m.as<__nv_bfloat16>(), v.as<__nv_bfloat16>());
  else run(m.as<float>(), v.as<float>());
}

}  // namespace vigor
