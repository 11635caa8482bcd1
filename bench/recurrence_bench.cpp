// Times of the recurrences that hybrids are compared against, and of their whole blocks: batch 4 x 256 tokens, d 512;
// Mamba-1 with 1024 inner channels of 16 states.
//   recurrence_bench --benchmark_filter=selective_scan
#include <benchmark/benchmark.h>

#include "autograd/engine.h"
#include "autograd/variable.h"
#include "kernels/selective_scan/selective_scan.h"
#include "kernels/token_shift/token_shift.h"
#include "kernels/wkv/wkv.h"
#include "nn/mamba1.h"
#include "nn/parameter_arena.h"
#include "nn/rwkv.h"

namespace vigor {
namespace {

constexpr int64_t B = 4, T = 256, d = 512, E = 1024, N = 16;

Tensor leaf(const Shape& sizes, uint32_t salt) {
  return set_requires_grad(normal(sizes, 0, 0.5, {1, RandomStream::init, salt, 0}));
}

struct SelectiveScan {
  Tensor a_log = leaf({E, N}, 1), skip_d = leaf({E}, 2), bias = leaf({E}, 3);
  std::vector<Tensor> in;

  explicit SelectiveScan(int64_t batch, int64_t steps)
      : in{leaf({batch, steps, E}, 4), leaf({batch, steps, E}, 5), leaf({batch, steps, N}, 6),
           leaf({batch, steps, N}, 7)} {}
  Tensor operator()() const { return selective_scan(in[0], in[1], in[2], in[3], a_log, skip_d, bias).y; }
};

struct Wkv {
  Tensor k, v, time_decay = leaf({d}, 3), time_first = leaf({d}, 4);

  explicit Wkv(int64_t batch, int64_t steps) : k(leaf({batch, steps, d}, 1)), v(leaf({batch, steps, d}, 2)) {}
  Tensor operator()() const { return wkv(k, v, time_decay, time_first).y; }
};

struct TokenShift {
  Tensor x, mix = leaf({d}, 2);

  explicit TokenShift(int64_t batch, int64_t steps) : x(leaf({batch, steps, d}, 1)) {}
  Tensor operator()() const { return token_shift(x, mix).y; }
};

template <class Module, class Options>
struct Block {
  Module module;
  ParameterArena arena;
  Tensor x;

  Block(const Options& options, int64_t batch, int64_t steps)
      : module(options), arena(module), x(leaf({batch, steps, d}, 1)) {
    arena.initialize(1);
    arena.allocate_gradients();
  }
  Tensor operator()() const { return module.forward(x); }
};

struct Mamba1Block : Block<Mamba1, Mamba1Options> {
  explicit Mamba1Block(int64_t batch, int64_t steps)
      : Block(
            [] {
              Mamba1Options options;
              options.channels = d;
              options.inner = E;
              return options;
            }(),
            batch, steps) {}
};

struct TimeMixingBlock : Block<RwkvTimeMixing, RwkvTimeMixingOptions> {
  explicit TimeMixingBlock(int64_t batch, int64_t steps)
      : Block(
            [] {
              RwkvTimeMixingOptions options;
              options.channels = d;
              return options;
            }(),
            batch, steps) {}
};

template <class Operation>
void forward(benchmark::State& state) {
  const Operation operation(state.range(0), state.range(1));
  const NoGrad no_grad;
  for (auto _ : state) benchmark::DoNotOptimize(operation().raw());
}

template <class Operation>
void forward_and_backward(benchmark::State& state) {
  const Operation operation(B, T);
  const Tensor dy = normal(operation().shape(), 0, 1, {1, RandomStream::init, 9, 0});
  for (auto _ : state) {
    const Tensor y = operation();
    backward(std::span(&y, 1), std::span(&dy, 1));
  }
}

#define RECURRENCE_BENCH(type)                                                                        \
  BENCHMARK(forward<type>)->Args({B, T})->Args({1, 1})->UseRealTime()->Unit(benchmark::kMicrosecond); \
  BENCHMARK(forward_and_backward<type>)->UseRealTime()->Unit(benchmark::kMicrosecond)

RECURRENCE_BENCH(SelectiveScan);
RECURRENCE_BENCH(Wkv);
RECURRENCE_BENCH(TokenShift);
RECURRENCE_BENCH(Mamba1Block);
RECURRENCE_BENCH(TimeMixingBlock);

}  // namespace
}  // namespace vigor

BENCHMARK_MAIN();
