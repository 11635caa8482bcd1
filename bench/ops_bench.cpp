// Times of the fused operations that are not matrix products, and of the linear layers, at the shapes of one i3-80M
// step: 4 sequences of 256 tokens, width 512, hidden 2048, vocabulary 35560; those of Falcon-H1 at the same width.
// "backward" computes all gradients, those of parameters added into existing buffers. Bytes/s counts each tensor once.
//
//   OMP_NUM_THREADS=2 build/bench/ops_bench --benchmark_filter=layer_norm
#include <benchmark/benchmark.h>

#include <functional>
#include <string>
#include <vector>

#include "autograd/engine.h"
#include "autograd/variable.h"
#include "kernels/causal_conv1d/causal_conv1d.h"
#include "kernels/dropout/dropout.h"
#include "kernels/embedding/embedding.h"
#include "kernels/gated_rms_norm/gated_rms_norm.h"
#include "kernels/gelu/gelu.h"
#include "kernels/layer_norm/layer_norm.h"
#include "kernels/linear/linear.h"
#include "kernels/low_rank_linear/low_rank_linear.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/rope/rope.h"
#include "kernels/softmax/softmax.h"
#include "kernels/swiglu/swiglu.h"

namespace vigor {
namespace {

constexpr int64_t kBatch = 4, kTime = 256, kWidth = 512, kHidden = 2048, kVocabulary = 35560, kRank = 138;

using Operation = std::function<Tensor(const std::vector<Tensor>&)>;

// One operation with its inputs; activations come first, then parameters.
struct Case {
  std::string name;
  Operation f;
  std::vector<Tensor> inputs;
  size_t activations;  // how many of the inputs
  double forward_bytes, backward_bytes;
  double forward_flops = 0;  // the backward of a product costs twice as much
};

// Sizes as in a model: normalised activations, small weights. (Far larger ones would make the gradient of GELU
// underflow, and products of subnormal numbers are slow.)
Tensor random(const Shape& sizes, uint32_t salt, double stddev = 0.02) {
  return normal(sizes, 0, stddev, {1, RandomStream::init, salt, 0});
}

void report(benchmark::State& state, double nbytes, double flops) {
  const auto rate = benchmark::Counter::kIsIterationInvariantRate;
  state.counters["GB/s"] = benchmark::Counter(nbytes * 1e-9, rate);
  if (flops > 0) state.counters["GFLOP/s"] = benchmark::Counter(flops * 1e-9, rate);
}

void forward_time(benchmark::State& state, const Case& c) {
  const NoGrad no_grad;
  for (auto _ : state) benchmark::DoNotOptimize(c.f(c.inputs).raw());
  report(state, c.forward_bytes, c.forward_flops);
}

void backward_time(benchmark::State& state, const Case& c) {
  for (size_t i = c.activations; i < c.inputs.size(); ++i) {
    set_requires_grad(c.inputs[i]);
    set_grad_buffer(c.inputs[i], zeros_like(c.inputs[i]));
    materialize_grad(c.inputs[i]);  // so that every pass adds to it
  }
  const Tensor dy = random(c.f(c.inputs).shape(), 100);
  for (auto _ : state) {
    state.PauseTiming();
    std::vector<Tensor> inputs = c.inputs;
    for (size_t i = 0; i < c.activations; ++i)  // new leaves: their gradients are not added up
      if (is_floating(inputs[i].dtype())) inputs[i] = set_requires_grad(detach(inputs[i]));
    const Tensor y = c.f(inputs);
    state.ResumeTiming();
    backward(std::span(&y, 1), std::span(&dy, 1));
  }
  report(state, c.backward_bytes, 2 * c.forward_flops);
}

std::vector<Case> make_cases() {
  const Shape tokens{kBatch, kTime, kWidth}, hidden{kBatch, kTime, kHidden};
  const double x = 4.0 * static_cast<double>(tokens.numel()), h = 4.0 * static_cast<double>(hidden.numel());
  const double tokens_count = static_cast<double>(kBatch * kTime);
  const auto product = [&](int64_t in, int64_t out) { return 2.0 * tokens_count * static_cast<double>(in * out); };
  const auto weight_bytes = [](int64_t in, int64_t out) { return 4.0 * static_cast<double>(in * out); };
  const Tensor ids = empty({kBatch, kTime}, Dtype::i32);
  for (int64_t i = 0; i < ids.numel(); ++i) {
    const double u = random_uniform({2, RandomStream::init, 0, 0}, static_cast<uint64_t>(i));
    ids.data<int32_t>()[i] = static_cast<int32_t>(u * u * u * static_cast<double>(kVocabulary));  // few ids are common
  }
  const RandomKey key{1, RandomStream::dropout, 1, 1};
  const Tensor narrow = random(tokens, 1, 1.0), wide = random(hidden, 2, 1.0);
  const Tensor scale = random({kWidth}, 3), offset = random({kWidth}, 4);
  std::vector<Case> cases;
  cases.push_back({"layer_norm",
                   [](const std::vector<Tensor>& in) { return layer_norm(in[0], in[1], in[2]); },
                   {narrow, scale, offset},
                   1,
                   2 * x,
                   3 * x});
  cases.push_back({"rms_norm",
                   [](const std::vector<Tensor>& in) { return rms_norm(in[0], in[1]); },
                   {narrow, scale},
                   1,
                   2 * x,
                   3 * x});
  cases.push_back({"gated_rms_norm",
                   [](const std::vector<Tensor>& in) { return gated_rms_norm(in[0], in[1], in[2], 1, false); },
                   {narrow, random(tokens, 14, 1.0), scale},
                   2,
                   3 * x,
                   5 * x});
  cases.push_back({"swiglu",
                   [](const std::vector<Tensor>& in) { return swiglu(in[0], in[1]); },
                   {narrow, random(tokens, 14, 1.0)},
                   2,
                   3 * x,
                   5 * x});
  cases.push_back({"rope",
                   [](const std::vector<Tensor>& in) { return rope(in[0], {.theta = 1e11}); },
                   {random({kBatch, kTime, 8, kWidth / 8}, 15, 1.0)},
                   1,
                   2 * x,
                   2 * x});
  cases.push_back({"causal_conv1d",
                   [](const std::vector<Tensor>& in) { return causal_conv1d(in[0], in[1], in[2]).y; },
                   {wide, random({kHidden, 1, 4}, 16, 0.3), random({kHidden}, 17)},
                   1,
                   2 * h,
                   3 * h});
  cases.push_back({"gelu_erf", [](const std::vector<Tensor>& in) { return gelu(in[0]); }, {wide}, 1, 2 * h, 3 * h});
  cases.push_back({"gelu_tanh",
                   [](const std::vector<Tensor>& in) { return gelu(in[0], GeluKind::tanh); },
                   {wide},
                   1,
                   2 * h,
                   3 * h});
  cases.push_back(
      {"softmax_2048", [](const std::vector<Tensor>& in) { return softmax(in[0]); }, {wide}, 1, 2 * h, 3 * h});
  cases.push_back({"dropout",
                   [key](const std::vector<Tensor>& in) { return dropout(in[0], 0.1, key); },
                   {narrow},
                   1,
                   2 * x,
                   2 * x});
  cases.push_back({"embedding_with_positions",
                   [](const std::vector<Tensor>& in) { return embedding_with_positions(in[0], in[1], in[2]); },
                   {ids, random({kVocabulary, kWidth}, 5), random({kTime, kWidth}, 6)},
                   1,
                   3 * x,
                   5 * x});
  cases.push_back({"linear_512_512",
                   [](const std::vector<Tensor>& in) { return linear(in[0], in[1], in[2]); },
                   {narrow, random({kWidth, kWidth}, 7), offset},
                   1,
                   2 * x + weight_bytes(kWidth, kWidth),
                   3 * x + 3 * weight_bytes(kWidth, kWidth),
                   product(kWidth, kWidth)});
  cases.push_back({"linear_2048_512",
                   [](const std::vector<Tensor>& in) { return linear(in[0], in[1], in[2]); },
                   {wide, random({kWidth, kHidden}, 8), offset},
                   1,
                   x + h + weight_bytes(kHidden, kWidth),
                   x + 2 * h + 3 * weight_bytes(kHidden, kWidth),
                   product(kHidden, kWidth)});
  cases.push_back({"linear_gelu_512_2048",
                   [](const std::vector<Tensor>& in) { return linear_gelu(in[0], in[1], in[2]); },
                   {narrow, random({kHidden, kWidth}, 9), random({kHidden}, 10)},
                   1,
                   x + 2 * h + weight_bytes(kWidth, kHidden),
                   2 * x + 3 * h + 3 * weight_bytes(kWidth, kHidden),
                   product(kWidth, kHidden)});
  cases.push_back({"low_rank_linear_512_138_2048",
                   [](const std::vector<Tensor>& in) { return low_rank_linear(in[0], in[1], in[2], in[3]); },
                   {narrow, random({kHidden, kRank}, 11), random({kRank, kWidth}, 12), random({kHidden}, 13)},
                   1,
                   x + h,
                   2 * x + h,
                   product(kWidth, kRank) + product(kRank, kHidden)});
  return cases;
}

}  // namespace
}  // namespace vigor

int main(int argc, char** argv) {
  const std::vector<vigor::Case> cases = vigor::make_cases();
  for (const vigor::Case& c : cases) {
    benchmark::RegisterBenchmark((c.name + "/forward").c_str(), vigor::forward_time, c)
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
    benchmark::RegisterBenchmark((c.name + "/backward").c_str(), vigor::backward_time, c)
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
