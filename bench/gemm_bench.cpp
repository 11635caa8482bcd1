// The matrix products of one i3-80M step (4 sequences of 256 tokens) and of decoding, by every library built in, with
// 1 and 2 threads (or --threads=N), as GFLOP/s and as share of the multiply-add peak.
//
//   build/release/bench/gemm_bench --benchmark_filter=2_threads/own
//   VIGOR_SIMD=avx2 build/release/bench/gemm_bench
//
// Processors change their clock with the load, so the peak is measured again before every product, and both are
// medians. The table at the end weighs each product by how often a step computes it.
#include <benchmark/benchmark.h>
#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "bench/measure.h"
#include "kernels/gemm/gemm_plan.h"
#include "tensor/simd.h"
#include "tensor/storage.h"

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace vigor {
namespace {

struct Product {
  std::string name;
  GemmShape shape;
  Accumulate accumulate;
  int count;  // in one step; 0 for decoding, which is no part of it
};

// Forward, input gradient and weight gradient of y = x W^T with x [tokens,in] and W [out,in].
void add_linear(std::vector<Product>& products, int64_t tokens, int64_t in, int64_t out, int count) {
  const std::string name = fmt::format("{}_to_{}", in, out);
  products.push_back({name + "/y", {tokens, out, in, Transpose::no, Transpose::yes}, Accumulate::no, count});
  products.push_back({name + "/dx", {tokens, in, out, Transpose::no, Transpose::no}, Accumulate::no, count});
  products.push_back({name + "/dw", {out, in, tokens, Transpose::yes, Transpose::no}, Accumulate::yes, count});
}

std::vector<Product> all_products() {
  std::vector<Product> products;
  add_linear(products, 1024, 512, 2048, 16);
  add_linear(products, 1024, 2048, 512, 16);
  add_linear(products, 1024, 512, 1536, 6);
  add_linear(products, 1024, 512, 512, 6);
  add_linear(products, 342, 512, 35560, 3);  // the head, in chunks of 340 or 342 tokens
  add_linear(products, 1024, 512, 32, 10);   // the mixer
  add_linear(products, 1024, 32, 512, 10);
  add_linear(products, 1024, 512, 138, 0);  // low-rank linear
  add_linear(products, 1024, 138, 2048, 0);
  for (int64_t rows : {1, 8})
    products.push_back(
        {fmt::format("decode_{}", rows), {rows, 35560, 512, Transpose::no, Transpose::yes}, Accumulate::no, 0});
  return products;
}

void use_threads([[maybe_unused]] int threads) {
#if defined(_OPENMP)
  omp_set_num_threads(threads);
#endif
}

struct Result {
  double flops, seconds, peak;  // of all its occurrences in a step; peak in FLOP/s
};
using Results = std::map<std::string, Result>;  // by product; a repeated measurement replaces the earlier one
std::map<std::string, Results> results;         // by number of threads and library

struct Matrix {
  Storage storage;
  explicit Matrix(int64_t count) : storage(static_cast<size_t>(count) * sizeof(float), kCpu) {
    std::fill_n(reinterpret_cast<float*>(storage.data()), count, 0.5f);
  }
  void* data() const { return storage.data(); }
};

void run(benchmark::State& state, const Product& product, GemmBackend backend, int threads) {
  const GemmShape& s = product.shape;
  use_threads(threads);
  GemmPlan plan;
  plan.set(s, backend);
  const GemmPlanScope scope(plan);
  const Matrix a(s.m * s.k), b(s.k * s.n), c(s.m * s.n);
  const GemmInput left(a.data(), Dtype::f32, s.transpose_a == Transpose::yes ? s.m : s.k, s.transpose_a);
  const GemmInput right(b.data(), Dtype::f32, s.transpose_b == Transpose::yes ? s.k : s.n, s.transpose_b);
  const GemmOutput out(c.data(), Dtype::f32, s.n, product.accumulate);
  gemm(s.m, s.n, s.k, left, right, out);
  std::vector<double> times, peaks;
  for (auto _ : state) {
    peaks.push_back(measure_peak(threads, CLOCK_MONOTONIC));
    const double start = seconds_on(CLOCK_MONOTONIC);
    gemm(s.m, s.n, s.k, left, right, out);
    times.push_back(seconds_on(CLOCK_MONOTONIC) - start);
    state.SetIterationTime(times.back());
  }
  const double flops = 2.0 * static_cast<double>(s.m * s.n) * static_cast<double>(s.k);
  const double seconds = median(times), peak = median(peaks), share = flops / seconds / peak;
  state.counters["GFLOP/s"] = flops / seconds * 1e-9;
  state.counters["%peak"] = 100 * share;
  if (product.count == 0) {
    state.counters["GB/s"] = 4e-9 * static_cast<double>(s.m * s.k + s.k * s.n + s.m * s.n) / seconds;
    return;
  }
  results[fmt::format("{} thread(s), {}", threads, name_of(backend))][product.name] = {product.count * flops,
                                                                                       product.count * seconds, peak};
}

void print_step(const std::string& name, const Results& products) {
  double flops = 0, seconds = 0, seconds_at_peak = 0, worst = 1e9;
  for (const auto& [product, r] : products) {
    flops += r.flops;
    seconds += r.seconds;
    seconds_at_peak += r.flops / r.peak;
    worst = std::min(worst, r.flops / r.seconds / r.peak);
  }
  fmt::print("  {:20} {:6.1f} GFLOP in {:.3f} s: {:6.1f} GFLOP/s, {:.1f} % of peak, worst product {:.1f} %\n", name,
             flops * 1e-9, seconds, flops / seconds * 1e-9, 100 * seconds_at_peak / seconds, 100 * worst);
}

}  // namespace
}  // namespace vigor

int main(int argc, char** argv) {
  using namespace vigor;
  std::vector<int> thread_counts{1, 2};
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]).rfind("--threads=", 0) != 0) continue;
    thread_counts = {std::max(1, std::atoi(argv[i] + 10))};
    std::rotate(argv + i, argv + i + 1, argv + argc--);
    break;
  }
  const std::vector<Product> products = all_products();
  for (int threads : thread_counts)
    for (const Product& product : products)
      for (GemmBackend backend : {GemmBackend::own, GemmBackend::onednn, GemmBackend::cblas})
        if (is_available(backend))
          benchmark::RegisterBenchmark(fmt::format("{}_threads/{}/{}", threads, name_of(backend), product.name).c_str(),
                                       [=](benchmark::State& state) { run(state, product, backend, threads); })
              ->UseManualTime()
              ->MinTime(0.1)
              ->Unit(benchmark::kMicrosecond);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::AddCustomContext("instruction_set", name_of(current_isa()));
  benchmark::RunSpecifiedBenchmarks();
  fmt::print("\nProducts of one step, {}, measured ones only:\n", name_of(current_isa()));
  for (const auto& [name, products_of_step] : results) print_step(name, products_of_step);
  return 0;
}
