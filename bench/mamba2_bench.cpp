// The scan of Mamba-2 at the shapes of falcon-h1-tiny-90m and falcon-h1-0.5b, forward and backward, as GFLOP/s and as
// share of the multiply-add peak; and its decode step, as GB/s.
//
//   build/release/bench/mamba2_bench
//   VIGOR_SIMD=avx2 build/release/bench/mamba2_bench --benchmark_filter=backward
//
// On one core, in CPU time, so that other programs on the machine count little; the peak is measured again before every
// run, and the numbers are medians.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <vector>

#include "autograd/engine.h"
#include "autograd/variable.h"
#include "bench/measure.h"
#include "kernels/mamba2_scan/mamba2_scan.h"
#include "kernels/mamba2_scan/mamba2_scan_simd.h"

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace vigor {
namespace {

struct Sizes {
  int64_t B, T, H, P, G, N;
  explicit Sizes(const benchmark::State& state)
      : B(state.range(0)),
        T(state.range(1)),
        H(state.range(2)),
        P(state.range(3)),
        G(state.range(4)),
        N(state.range(5)) {}
};

// The floating-point operations that are counted: those of the matrix products of the chunked form that the gradients
// asked for need, two for every multiply-add, of triangular matrices only the triangle. Exponentials and all that is
// element by element, copies and transposes are not counted.
struct Flops {
  double forward = 0, backward = 0;

  explicit Flops(const Sizes& n) {
    for (int64_t first = 0; first < n.T; first += kMamba2Chunk) {
      const double q = static_cast<double>(std::min(kMamba2Chunk, n.T - first));
      const bool has_state = first > 0, has_later = first + kMamba2Chunk < n.T;  // else S, or its gradient, is zero
      const double triangle = q * (q + 1), square = 2 * q * static_cast<double>(n.P * n.N);
      const double groups = static_cast<double>(n.B * n.G * n.N), heads = static_cast<double>(n.B * n.H),
                   P = static_cast<double>(n.P);
      forward += groups * triangle;                      // C B^T
      forward += heads * triangle * P;                   // (M * C B^T * dt') X
      forward += heads * square * (has_state ? 2 : 1);   // the next state; C S^T
      backward += groups * triangle * 3;                 // C B^T, and from its gradient dB and dC
      backward += heads * triangle * P * 2;              // dY X^T, (M * C B^T)^T dY
      backward += heads * square * (has_state ? 2 : 0);  // dC = S dY^T, and the gradient of S
      backward += heads * square * (has_later ? 2 : 0);  // through the gradient G of the later state: B G^T, G X^T
    }
  }
};

struct Inputs {
  std::vector<Tensor> values;
  Inputs(const Sizes& n, Dtype dtype, bool leaves) {
    const auto add = [&](const Shape& sizes, double low, double high, Dtype type) {
      const RandomKey key{1, RandomStream::init, static_cast<uint32_t>(values.size()), 0};
      const Tensor x = uniform(sizes, low, high, key, type);
      values.push_back(leaves ? set_requires_grad(x) : x);
    };
    add({n.B, n.T, n.H, n.P}, -1, 1, dtype);
    add({n.B, n.T, n.H}, -1, 1, dtype);
    add({n.B, n.T, n.G, n.N}, -1, 1, dtype);
    add({n.B, n.T, n.G, n.N}, -1, 1, dtype);
    add({n.H}, 0, 3, Dtype::f32);    // a_log: log(1 .. H) at the start of training
    add({n.H}, -1, 1, Dtype::f32);   // D
    add({n.H}, -7, -2, Dtype::f32);  // dt_bias: dt' from 0.001 to 0.1
  }
  Mamba2ScanResult scan(const Mamba2ScanOptions& options = {}) const {
    return mamba2_scan(values[0], values[1], values[2], values[3], values[4], values[5], values[6], options);
  }
};

constexpr clockid_t kClock = CLOCK_THREAD_CPUTIME_ID;

void use_one_thread() {
#if defined(_OPENMP)
  omp_set_num_threads(1);
#endif
}

// `work` is timed; `before` is not.
template <class Before, class Work>
void measure(benchmark::State& state, double flops, Before before, Work work) {
  use_one_thread();
  std::vector<double> times, peaks;
  for (auto _ : state) {
    before();
    peaks.push_back(measure_peak(1, kClock));
    const double start = seconds_on(kClock);
    work();
    times.push_back(seconds_on(kClock) - start);
    state.SetIterationTime(times.back());
  }
  const double rate = flops / median(times);
  state.counters["GFLOP/s"] = rate * 1e-9;
  state.counters["%peak"] = 100 * rate / median(peaks);
}

void forward(benchmark::State& state, Dtype dtype) {
  const Sizes n(state);
  const Inputs inputs(n, dtype, false);
  measure(
      state, Flops(n).forward, [] {}, [&] { benchmark::DoNotOptimize(inputs.scan().y.raw()); });
}

void backward(benchmark::State& state, Dtype dtype) {
  const Sizes n(state);
  Inputs inputs(n, dtype, true);
  const Tensor dy = uniform({n.B, n.T, n.H, n.P}, -1, 1, {1, RandomStream::init, 99, 0}, dtype);
  Tensor y;
  measure(
      state, Flops(n).backward,
      [&] {
        for (Tensor& x : inputs.values)
          x = set_requires_grad(x.without_slot());  // its gradient is not added to another
        y = inputs.scan().y;
      },
      [&] { vigor::backward(std::span(&y, 1), std::span(&dy, 1)); });
}

void step(benchmark::State& state) {
  const Sizes n(state);
  const Inputs inputs(n, Dtype::f32, false);
  use_one_thread();
  Mamba2ScanOptions options;
  options.state = zeros({n.B, n.H, n.P, n.N});
  for (auto _ : state) options.state = inputs.scan(options).last_state;
  state.SetBytesProcessed(state.iterations() * 2 * static_cast<int64_t>(options.state.nbytes()));
}

void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"B", "T", "H", "P", "G", "N"})->Args({4, 256, 24, 32, 1, 64})->Args({4, 256, 24, 64, 1, 128});
  b->Args({1, 2048, 24, 64, 1, 128})->UseManualTime()->Unit(benchmark::kMicrosecond);
}
BENCHMARK_CAPTURE(forward, f32, Dtype::f32)->Apply(shapes);
BENCHMARK_CAPTURE(backward, f32, Dtype::f32)->Apply(shapes);
BENCHMARK_CAPTURE(forward, bf16, Dtype::bf16)->Apply(shapes);
BENCHMARK_CAPTURE(backward, bf16, Dtype::bf16)->Apply(shapes);
BENCHMARK(step)
    ->ArgNames({"B", "T", "H", "P", "G", "N"})
    ->Args({1, 1, 24, 32, 1, 64})
    ->Args({1, 1, 24, 64, 1, 128})
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace vigor

BENCHMARK_MAIN();
