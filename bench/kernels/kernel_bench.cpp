// Times of the operations in kernels/ at the sizes of the presets' models, forward and backward, in f32 and bf16; a
// step is batch 4 x 256.
//
//   kernel_bench --benchmark_filter=layer_norm
//   OMP_NUM_THREADS=1 VIGOR_SIMD=avx2 kernel_bench --benchmark_filter=mamba2_scan/.*/backward --samples=21
//   kernel_bench --batch=1 --seq=2048 --samples=3      # at most so many tokens
//   kernel_bench --check                               # no times: whether all results are right
//
// Names are operation/preset/dtype/pass. bench/run runs it for several numbers of threads and writes one JSON file.
//
// Each result is first compared with its definition (check_kernel.h); a wrong one gives an error and no time. The
// profiler (train/profile) counts the work, from what each operation states: the floating-point operations of its
// formulas, and the bytes that must be read and written. The roofline's share is the time that this work takes at the
// machine's limits (train/profile/machine.h: multiply-adds on registers; reading or updating memory) over the time it
// took. Processors change their clock with the load, so multiply-adds are measured again before every sample; numbers
// are medians. Where memory is the limit, the caches are emptied before every sample.
// "backward" adds the gradients of parameters to existing ones, as in training.
#include <benchmark/benchmark.h>
#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "autograd/engine.h"
#include "autograd/variable.h"
#include "bench/kernels/check_kernel.h"
#include "bench/kernels/clear_caches.h"
#include "bench/kernels/kernel_case.h"
#include "bench/measure.h"
#include "tensor/threads.h"
#include "train/profile/profiler.h"

namespace vigor {
namespace {

std::string name_of(const KernelCase& c, Dtype dtype, Pass pass) {
  return fmt::format("{}/{}/{}", c.name, name_of(dtype), pass == Pass::forward ? "forward" : "backward");
}

template <class F>
void for_each_pass(const std::vector<KernelCase>& cases, F&& f) {
  for (const KernelCase& c : cases)
    for (const Dtype dtype : c.dtypes) {
      f(c, dtype, Pass::forward);
      if (c.has_backward) f(c, dtype, Pass::backward);
    }
}

struct Settings {
  int64_t samples = 11;
  Tokens limit{1 << 20, 1 << 20};  // no case is larger
};

// The random numbers of a case, made once for all its passes, which follow each other.
const Operands& operands_of(const KernelCase& c, Tokens limit) {
  static const KernelCase* made_for = nullptr;
  static Operands operands;
  if (made_for != &c)
    operands = c.operands({std::min(c.measured.batch, limit.batch), std::min(c.measured.time, limit.time)});
  made_for = &c;
  return operands;
}

// One case with its operands, and its passes.
class Kernel {
 public:
  Kernel(const KernelCase& c, Dtype dtype, Pass pass, Tokens limit)
      : case_(c), pass_(pass), operands_(operands_of(c, limit)), inputs_(values_of(operands_, dtype)) {
    if (!c.has_backward) return;
    for (size_t i = 0; i < inputs_.size(); ++i) {
      const Role role = operands_.list()[i].role;
      if (role != Role::weight && role != Role::full_weight) continue;
      set_requires_grad(inputs_[i]);
      set_grad_buffer(inputs_[i], zeros_like(inputs_[i]));
      materialize_grad(inputs_[i]);  // so that every pass adds to it
    }
  }

  // What is not timed: leaves that have no gradient yet, and for backward the forward pass.
  void prepare() {
    y_ = Tensor();
    if (!case_.has_backward) return;
    for (size_t i = 0; i < inputs_.size(); ++i)
      if (operands_.list()[i].role == Role::activation) inputs_[i] = set_requires_grad(inputs_[i].without_slot());
    if (pass_ == Pass::forward) return;
    y_ = case_.run(inputs_);
    if (!dy_.defined()) dy_ = uniform(y_.shape(), -1, 1, {1, RandomStream::init, 99, 0}, y_.dtype());
  }

  void run() {
    if (pass_ == Pass::backward) {
      backward(std::span(&y_, 1), std::span(&dy_, 1));
    } else if (case_.has_backward) {
      y_ = case_.run(inputs_);
    } else {
      const NoGrad no_grad;
      y_ = case_.run(inputs_);
    }
  }

 private:
  const KernelCase& case_;
  Pass pass_;
  const Operands& operands_;
  std::vector<Tensor> inputs_;
  Tensor y_, dy_;
};

// What the profiler says of one run.
struct Work {
  double flops = 0, bytes = 0;
  std::string shapes;  // of the operation's operands
};

Work work_of(Kernel& kernel) {
  Profiler profiler(kCpu);
  kernel.prepare();
  profiler.begin_step();
  kernel.run();
  profiler.end_step();
  const RecordedStep& step = profiler.steps().back();
  Work work;
  for (const RecordedOp& op : step.ops) {
    work.flops += op.self_flops();
    work.bytes += op.self_bytes();
  }
  if (!step.ops.empty()) work.shapes = step.shapes_of(step.ops.front());
  return work;
}

// Half the distance between the quartiles, as a part of the median.
double spread(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return 0.5 * (values[3 * n / 4 < n ? 3 * n / 4 : n - 1] - values[n / 4]) / values[n / 2];
}

void measure(benchmark::State& state, const KernelCase& c, Dtype dtype, Pass pass, const Settings& settings) {
  if (const std::string wrong = check_kernel(c, dtype, pass); !wrong.empty()) {
    state.SkipWithError(wrong.c_str());
    return;
  }
  const int threads = static_cast<int>(max_threads());
  Kernel kernel(c, dtype, pass, settings.limit);
  const Work work = work_of(kernel);
  static const MachinePeaks machine = measure_machine(threads);
  const double bandwidth = machine.bandwidths.back().bytes_per_s;  // of memory
  const bool memory_bound = work.bytes / bandwidth > work.flops / machine.fma_flops;
  std::vector<double> times, peaks;
  for (auto _ : state) {
    kernel.prepare();
    if (memory_bound) clear_caches();
    peaks.push_back(measure_peak(threads, CLOCK_MONOTONIC));
    const double start = seconds_on(CLOCK_MONOTONIC);
    kernel.run();
    times.push_back(seconds_on(CLOCK_MONOTONIC) - start);
    state.SetIterationTime(times.back());
  }
  const double seconds = median(times);
  const double ideal = std::max(work.bytes / bandwidth, work.flops / median(peaks));
  state.SetLabel(work.shapes);
  state.counters["median_s"] = seconds;
  state.counters["spread"] = spread(times);
  if (work.flops > 0) state.counters["GFLOP/s"] = work.flops / seconds * 1e-9;
  state.counters["GB/s"] = work.bytes / seconds * 1e-9;
  state.counters["roofline"] = ideal / seconds;
  state.counters["memory_bound"] = memory_bound;
  state.counters["checked"] = 1;
}

// The result of every case: 0 when all are right.
int check_all(const std::vector<KernelCase>& cases) {
  int wrong = 0;
  for_each_pass(cases, [&](const KernelCase& c, Dtype dtype, Pass pass) {
    const std::string text = check_kernel(c, dtype, pass);
    if (text.empty()) return;
    ++wrong;
    fmt::print("{}: {}\n", name_of(c, dtype, pass), text);
  });
  fmt::print("{} results are wrong\n", wrong);
  return wrong == 0 ? 0 : 1;
}

// Takes --name=NUMBER out of the arguments.
void take_number(int& argc, char** argv, std::string_view name, int64_t* value) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument.size() <= name.size() || argument.substr(0, name.size()) != name || argument[name.size()] != '=')
      continue;
    *value = std::max<int64_t>(1, std::atoll(argv[i] + name.size() + 1));
    std::rotate(argv + i, argv + i + 1, argv + argc--);
    return;
  }
}

}  // namespace
}  // namespace vigor

int main(int argc, char** argv) {
  using namespace vigor;
  Settings settings;
  take_number(argc, argv, "--samples", &settings.samples);
  take_number(argc, argv, "--batch", &settings.limit.batch);
  take_number(argc, argv, "--seq", &settings.limit.time);
  std::vector<KernelCase> cases;
  for (const auto add : {add_norm_cases, add_activation_cases, add_product_cases, add_attention_cases,
                         add_recurrence_cases, add_vocabulary_cases, add_optimizer_cases, add_copy_cases})
    add(cases);
  if (argc == 2 && std::string_view(argv[1]) == "--check") return check_all(cases);
  for_each_pass(cases, [&](const KernelCase& c, Dtype dtype, Pass pass) {
    benchmark::RegisterBenchmark(
        name_of(c, dtype, pass).c_str(),
        [&c, dtype, pass, &settings](benchmark::State& state) { measure(state, c, dtype, pass, settings); })
        ->UseManualTime()
        ->Iterations(settings.samples)
        ->Unit(benchmark::kMicrosecond);
  });
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  add_context();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
