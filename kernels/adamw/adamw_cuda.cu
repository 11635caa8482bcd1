#include "kernels/adamw/adamw_kernels.h"
#include "tensor/cuda_kernel.cuh"

namespace vigor {
namespace {

constexpr int kThreads = 256;
constexpr int kElements = 4;  // that a thread updates at a time: one Philox block, 16 bytes of float

// The arrays of one arena. G is the type of the gradients; with bf16 ones, p is the master and `rounded` the parameter.
template <class G>
struct Arena {
  float* p;
  const G* g;
  float* m;
  float* v;
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

// Elements i .. i + N - 1.
template <int N, class G>
__device__ void update_pack(const Arena<G>& arena, int64_t i, const AdamWFactors<float>& f,
                            const Bf16Rounding& rounding, const RandomKey& key) {
  const Pack<G, N> g = load_pack<N>(arena.g + i);
  Pack<float, N> p = load_pack<N>(arena.p + i), m = load_pack<N>(arena.m + i), v = load_pack<N>(arena.v + i);
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const float gradient = to_float(g.value[j]) * f.clip;
    m.value[j] = flush_tiny(fmaf(m.value[j], f.beta1, gradient * f.one_minus_beta1));
    v.value[j] = flush_tiny(fmaf(v.value[j], f.beta2, gradient * gradient * f.one_minus_beta2));
    const float denominator = fmaf(sqrtf(v.value[j]), f.denominator_scale, f.eps);
    p.value[j] = fmaf(m.value[j] / denominator, -f.step_size, p.value[j] * f.decay);
  }
  store_pack<N>(arena.p + i, p);
  store_pack<N>(arena.m + i, m);
  store_pack<N>(arena.v + i, v);
  if constexpr (sizeof(G) == 2) round_pack<N>(arena.rounded, p, i, rounding, key);
}

// One thread updates packs of N elements, a whole grid apart; the last n % N elements one by one.
template <int N, class G>
__global__ void __launch_bounds__(kThreads)
    adamw_kernel(Arena<G> arena, const StepState* state, AdamWOptions options, Bf16Rounding rounding) {
  if (state->failed_step >= 0) return;
  __shared__ AdamWFactors<float> factors;  // computed in double, which is slow on many GPUs: once a block
  if (threadIdx.x == 0) factors = adamw_factors<float>(*state, options);
  __syncthreads();
  const AdamWFactors<float> f = factors;
  const RandomKey key = rounding_key(rounding, *state);
  const int64_t packs = arena.n / N;
  for (int64_t i = global_thread(); i < packs; i += global_threads()) update_pack<N>(arena, i * N, f, rounding, key);
  const int64_t rest = packs * N + global_thread();
  if (rest < arena.n) update_pack<1>(arena, rest, f, rounding, key);
}

template <class G>
void launch(const Arena<G>& arena, const StepState* state, const AdamWOptions& options, const Bf16Rounding& rounding) {
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
                const StepState* state, const AdamWOptions& options) {
  if (param.dtype != Dtype::f32)
    fail("adamw: on CUDA param must be f32, or bf16 beside a master; got {}", name_of(param.dtype));
  const Arena<float> arena{param.as<float>(), grad.as<float>(), m.as<float>(), v.as<float>(), nullptr, param.numel()};
  launch(arena, state, options, {});
}

void adamw_mixed_cuda(const TensorView& param, const TensorView& master, const TensorView& grad, const TensorView& m,
                      const TensorView& v, const StepState* state, const AdamWOptions& options,
                      const Bf16Rounding& rounding) {
  const Arena<__nv_bfloat16> arena{master.as<float>(), grad.as<__nv_bfloat16>(),  m.as<float>(),
                                   v.as<float>(),      param.as<__nv_bfloat16>(), param.numel()};
  launch(arena, state, options, rounding);
}

}  // namespace vigor
