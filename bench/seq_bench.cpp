// Times of the sequence operations, the loss, the optimizer and sampling at the shapes of i3-80M: batch 4 x 256 tokens,
// d 512, 16 heads of 32, n 32, V 35,560.
//   seq_bench --benchmark_filter=mixer
#include <benchmark/benchmark.h>

#include "autograd/engine.h"
#include "autograd/variable.h"
#include "kernels/adamw/adamw.h"
#include "kernels/attention/attention.h"
#include "kernels/global_norm/global_norm.h"
#include "kernels/hybrid_mixer/hybrid_mixer.h"
#include "kernels/linear_cross_entropy/linear_cross_entropy.h"
#include "kernels/sampling/sampling.h"

namespace vigor {
namespace {

Tensor random(const Shape& sizes, uint32_t salt) { return normal(sizes, 0, 0.1, {1, RandomStream::init, salt, 0}); }
Tensor leaf(const Shape& sizes, uint32_t salt) { return set_requires_grad(random(sizes, salt)); }

struct HybridMixerParameters {
  Tensor w_mix = leaf({512}, 1), a = leaf({32, 32}, 2), b = leaf({32, 512}, 3), c = leaf({512, 32}, 4);
  Tensor skip_d = leaf({512}, 5);
  HybridMixerResult operator()(const Tensor& x) const { return hybrid_mixer(x, w_mix, a, b, c, skip_d); }
};

void hybrid_mixer_forward(benchmark::State& state) {
  const HybridMixerParameters mixer;
  const Tensor x = random({state.range(0), state.range(1), 512}, 6);
  const NoGrad no_grad;
  for (auto _ : state) benchmark::DoNotOptimize(mixer(x).y.raw());
}
BENCHMARK(hybrid_mixer_forward)->Args({4, 256})->Args({1, 1})->UseRealTime()->Unit(benchmark::kMicrosecond);

void hybrid_mixer_both(benchmark::State& state) {
  const HybridMixerParameters mixer;
  const Tensor x = leaf({4, 256, 512}, 6), dy = random({4, 256, 512}, 7);
  for (auto _ : state) {
    const Tensor y = mixer(x).y;
    backward(std::span(&y, 1), std::span(&dy, 1));
  }
}
BENCHMARK(hybrid_mixer_both)->UseRealTime()->Unit(benchmark::kMicrosecond);

void attention_forward(benchmark::State& state) {
  const Tensor qkv = random({4, 256, 48, 32}, 1);
  for (auto _ : state) benchmark::DoNotOptimize(attention_qkv(qkv, 16).y.raw());
}
BENCHMARK(attention_forward)->UseRealTime()->Unit(benchmark::kMicrosecond);

void attention_both(benchmark::State& state) {
  const Tensor qkv = leaf({4, 256, 48, 32}, 1), dy = random({4, 256, 16, 32}, 2);
  for (auto _ : state) {
    const Tensor y = attention_qkv(qkv, 16).y;
    backward(std::span(&y, 1), std::span(&dy, 1));
  }
}
BENCHMARK(attention_both)->UseRealTime()->Unit(benchmark::kMicrosecond);

// One token after `keys` others, as in generation: i3's heads, then those of falcon-h1-0.5b.
void attention_decode(benchmark::State& state) {
  const int64_t keys = state.range(0), heads = state.range(1), kv_heads = state.range(2), width = state.range(3);
  const Tensor q = random({1, 1, heads, width}, 1);
  const Tensor k = random({1, keys, kv_heads, width}, 2), v = random({1, keys, kv_heads, width}, 3);
  AttentionOptions options;
  options.offsets = full({1}, static_cast<double>(keys - 1), Dtype::i32);
  for (auto _ : state) benchmark::DoNotOptimize(attention(q, k, v, options).y.raw());
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(k.nbytes() + v.nbytes()));
}
BENCHMARK(attention_decode)
    ->Args({256, 16, 16, 32})
    ->Args({16384, 8, 2, 64})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

void linear_cross_entropy_forward(benchmark::State& state) {
  const Tensor x = random({1024, 512}, 1), weight = random({35560, 512}, 2), bias = random({35560}, 3);
  const Tensor targets = full({1024}, 7, Dtype::i32);
  for (auto _ : state) benchmark::DoNotOptimize(linear_cross_entropy(x, weight, bias, targets).raw());
  state.counters["GFLOP/s"] =
      benchmark::Counter(2e-9 * 1024 * 35560 * 512, benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(linear_cross_entropy_forward)->UseRealTime()->Unit(benchmark::kMillisecond);

void linear_cross_entropy_both(benchmark::State& state) {
  const Tensor x = leaf({1024, 512}, 1), weight = leaf({35560, 512}, 2), bias = leaf({35560}, 3);
  for (const Tensor& parameter : {weight, bias}) set_grad_buffer(parameter, zeros(parameter.shape()));
  const Tensor targets = full({1024}, 7, Dtype::i32);
  for (auto _ : state) {
    for (const Tensor& t : {x, weight, bias}) zero_grad(t);
    backward(linear_cross_entropy(x, weight, bias, targets));
  }
  state.counters["GFLOP/s"] =
      benchmark::Counter(6e-9 * 1024 * 35560 * 512, benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(linear_cross_entropy_both)->UseRealTime()->Unit(benchmark::kMillisecond);

constexpr int64_t kParameters = 76'861'160;

void adamw(benchmark::State& state) {
  const Tensor p = zeros({kParameters}), g = full({kParameters}, 1e-3), m = zeros({kParameters}),
               v = zeros({kParameters});
  StepState step;
  step.learning_rate = 1e-4f;
  for (auto _ : state) adamw_update(p, g, m, v, &step);
  state.SetBytesProcessed(state.iterations() * kParameters * 28);
}
BENCHMARK(adamw)->UseRealTime()->Unit(benchmark::kMillisecond);

void gradient_norm(benchmark::State& state) {
  const Tensor g = full({kParameters}, 1e-3);
  StepState step;
  for (auto _ : state) global_norm(std::span(&g, 1), 1.0, &step);
  state.SetBytesProcessed(state.iterations() * kParameters * 4);
}
BENCHMARK(gradient_norm)->UseRealTime()->Unit(benchmark::kMillisecond);

// Vocabulary, top_k, top_p in percent.
void sampling(benchmark::State& state) {
  const Tensor logits = normal({1, state.range(0)}, 0, 3, {});
  const SamplingOptions options{0.8, state.range(1), static_cast<double>(state.range(2)) / 100};
  RandomKey key;
  for (auto _ : state) {
    benchmark::DoNotOptimize(sample(logits, options, key).raw());
    ++key.step;
  }
}
BENCHMARK(sampling)
    ->Args({35'560, 40, 100})
    ->Args({261'120, 40, 100})
    ->Args({261'120, 0, 90})
    ->Args({261'120, 0, 100})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace vigor

BENCHMARK_MAIN();
