#include "train/profile/machine.h"

#include <omp.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <functional>
#include <memory>

#include "kernels/linear/linear.h"
#include "tensor/primitives.h"
#include "train/profile/fma_peak.h"
#include "train/profile/read_probe.h"

namespace vigor {
namespace {

constexpr int64_t kMemoryFloats = int64_t{1} << 26;  // 256 MB: beyond the caches

// The compiler must not see that nobody wants the result.
void keep(float value) {
  [[maybe_unused]] static volatile float kept;
  kept = value;
}

double best_of(int rounds, const std::function<double()>& seconds) {
  double best = seconds();
  for (int i = 1; i < rounds; ++i) best = std::min(best, seconds());
  return best;
}

// Calls part(begin, end) on every thread for its share of `floats`, and returns the seconds until all are done.
template <class Part>
double shared_out(int64_t floats, int threads, Part&& part) {
  const double start = seconds_on(CLOCK_MONOTONIC);
#pragma omp parallel num_threads(threads)
  {
    const int64_t thread = omp_get_thread_num();
    part(floats * thread / threads, floats * (thread + 1) / threads);
  }
  return seconds_on(CLOCK_MONOTONIC) - start;
}

// Bytes a second of reading the first `floats` of x over and over.
double read_rate(const float* x, int64_t floats, int threads) {
  const int64_t passes = std::max<int64_t>(1, (int64_t{1} << 22) / floats);
  const double seconds = best_of(5, [&] {
    return shared_out(floats, threads, [&](int64_t begin, int64_t end) {
      float sum = 0;
      for (int64_t pass = 0; pass < passes; ++pass) sum += VIGOR_PICK(read_probe)(x + begin, end - begin);
      keep(sum);
    });
  });
  return static_cast<double>(passes * floats) * sizeof(float) / seconds;
}

}  // namespace

double measure_peak(int threads, clockid_t clock) {
  constexpr int passes = 40;
  const double start = seconds_on(clock);
#pragma omp parallel num_threads(threads)
  {
    float sum = 0;
    for (int i = 0; i < passes; ++i) sum += VIGOR_PICK(fma_peak_pass)(0.5f);
    keep(sum);
  }
  return 2.0 * threads * passes * static_cast<double>(VIGOR_PICK(fma_peak_count)()) / (seconds_on(clock) - start);
}

double MachinePeaks::bandwidth(double bytes) const {
  double found = reads.empty() ? read_bytes_per_s : reads.front().bytes_per_s;
  for (const Bandwidth& size : reads)
    if (size.bytes <= bytes) found = size.bytes_per_s;
  return found;
}

double MachinePeaks::seconds(double flops, double bytes) const {
  return std::max(flops / fma_flops, bytes / bandwidth(bytes));
}

MachinePeaks measure_machine(int threads) {
  MachinePeaks peaks;
  peaks.threads = threads;
  const std::unique_ptr<float[]> memory(new float[kMemoryFloats]);
  shared_out(kMemoryFloats, threads,
             [&](int64_t begin, int64_t end) { std::fill(memory.get() + begin, memory.get() + end, 1.0f); });
  for (int64_t floats = int64_t{1} << 16; floats <= kMemoryFloats; floats *= 4)
    peaks.reads.push_back({static_cast<double>(floats) * sizeof(float), read_rate(memory.get(), floats, threads)});
  // What other programs do must not make a larger size look faster than a smaller one.
  for (size_t i = peaks.reads.size() - 1; i > 0; --i)
    peaks.reads[i - 1].bytes_per_s = std::max(peaks.reads[i - 1].bytes_per_s, peaks.reads[i].bytes_per_s);
  peaks.read_bytes_per_s = peaks.reads.back().bytes_per_s;
  constexpr int64_t kHalf = kMemoryFloats / 2;
  const double copy_seconds = best_of(3, [&] {
    return shared_out(kHalf, threads, [&](int64_t begin, int64_t end) {
      std::memcpy(memory.get() + kHalf + begin, memory.get() + begin, static_cast<size_t>(end - begin) * sizeof(float));
    });
  });
  peaks.copy_bytes_per_s = 2.0 * kHalf * sizeof(float) / copy_seconds;
  for (int i = 0; i < 20; ++i) peaks.fma_flops = std::max(peaks.fma_flops, measure_peak(threads, CLOCK_MONOTONIC));
  return peaks;
}

MachinePeaks measure_gpu(Device device, Dtype dtype, bool quick) {
  const auto best_seconds = [&](int rounds, const std::function<void()>& work) {
    return best_of(rounds, [&] {
      synchronize(device);
      const double start = seconds_on(CLOCK_MONOTONIC);
      work();
      synchronize(device);
      return seconds_on(CLOCK_MONOTONIC) - start;
    });
  };
  const int64_t elements = quick ? 1 << 16 : 1 << 28, side = quick ? 64 : 8192;
  MachinePeaks peaks;
  const Tensor from = zeros({elements}, Dtype::f32, device), to = empty_like(from);
  peaks.copy_bytes_per_s = 2.0 * static_cast<double>(from.nbytes()) / best_seconds(10, [&] { copy(to, from); });
  peaks.read_bytes_per_s = peaks.copy_bytes_per_s;
  const Tensor a = zeros({side, side}, dtype, device), b = zeros({side, side}, dtype, device);
  const double flops = 2.0 * static_cast<double>(side) * static_cast<double>(side) * static_cast<double>(side);
  peaks.fma_flops = flops / best_seconds(5, [&] { linear(a, b); });
  return peaks;
}

std::string cpu_name() {
  std::ifstream lines("/proc/cpuinfo");
  for (std::string line; std::getline(lines, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

}  // namespace vigor
