#include "train/profile/machine.h"

#include <omp.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <functional>
#include <limits>

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

// What all threads together do in a second, when each does `amount` with work(thread, round). The best of many short
// rounds counts: one in which another program took a processor tells nothing about the machine.
template <class Work>
double rate_of_threads(int threads, int64_t rounds, double amount, Work&& work) {
  double best = std::numeric_limits<double>::infinity();
#pragma omp parallel num_threads(threads)
  for (int64_t round = 0; round < rounds; ++round) {
    const int thread = omp_get_thread_num();
#pragma omp barrier
    const double start = seconds_on(CLOCK_MONOTONIC);
    work(thread, round);
#pragma omp barrier
    if (thread == 0) best = std::min(best, seconds_on(CLOCK_MONOTONIC) - start);
  }
  return threads * amount / best;
}

constexpr int64_t kPiece = int64_t{1} << 21;  // floats that a thread reads or copies in a round, at most

// Bytes a second that move in the first `floats` of x, when each thread goes over its share again and again with
// work(begin, n), which moves `traffic` bytes for each byte there.
template <class Work>
double traffic_rate(float* x, int64_t floats, int threads, double traffic, Work&& work) {
  const int64_t share = floats / threads, piece = std::min(share, kPiece), pieces = share / piece;
  const int64_t passes = std::max<int64_t>(1, (int64_t{1} << 17) / piece);
  const double nbytes = traffic * static_cast<double>(passes * piece) * sizeof(float);
  return rate_of_threads(threads, std::max<int64_t>(20, 2 * pieces), nbytes, [&](int thread, int64_t round) {
    float* begin = x + thread * share + round % pieces * piece;
    for (int64_t pass = 0; pass < passes; ++pass) work(begin, piece);
  });
}

double read_rate(float* x, int64_t floats, int threads) {
  return traffic_rate(x, floats, threads, 1, [](float* begin, int64_t n) { keep(VIGOR_PICK(read_probe)(begin, n)); });
}

double update_rate(float* x, int64_t floats, int threads) {
  return traffic_rate(x, floats, threads, 2, [](float* begin, int64_t n) { VIGOR_PICK(update_probe)(begin, n); });
}

double copy_rate(float* to, const float* from, int64_t floats, int threads) {
  const int64_t share = floats / threads, piece = std::min(share, kPiece), pieces = share / piece;
  const double nbytes = 2.0 * static_cast<double>(piece) * sizeof(float);
  return rate_of_threads(threads, 2 * pieces, nbytes, [&](int thread, int64_t round) {
    const int64_t at = thread * share + round % pieces * piece;
    std::memcpy(to + at, from + at, static_cast<size_t>(piece) * sizeof(float));
  });
}

double fma_rate(int threads) {
  constexpr int kPasses = 32;
  const double flops = 2.0 * kPasses * static_cast<double>(VIGOR_PICK(fma_peak_count)());
  return rate_of_threads(threads, 100, flops, [](int, int64_t) {
    float sum = 0;
    for (int pass = 0; pass < kPasses; ++pass) sum += VIGOR_PICK(fma_peak_pass)(0.5f);
    keep(sum);
  });
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

double MachinePeaks::memory_seconds(double bytes, double read_bytes) const {
  Bandwidth found{0, std::max(read_bytes_per_s, copy_bytes_per_s), read_bytes_per_s};
  if (!bandwidths.empty()) found = bandwidths.front();
  for (const Bandwidth& size : bandwidths)
    if (size.bytes <= bytes) found = size;
  return std::max(bytes / found.bytes_per_s, read_bytes / found.read_bytes_per_s);
}

MachinePeaks measure_machine(int threads) {
  MachinePeaks peaks;
  peaks.threads = threads;
  const Tensor tensor = empty({kMemoryFloats}, Dtype::f32);  // on the large pages that the operations' memory has
  float* memory = tensor.data<float>();
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < kMemoryFloats; ++i) memory[i] = 1;
  for (int64_t floats = int64_t{1} << 16; floats <= kMemoryFloats; floats *= 4) {
    const double read = read_rate(memory, floats, threads), update = update_rate(memory, floats, threads);
    peaks.bandwidths.push_back({static_cast<double>(floats) * sizeof(float), std::max(read, update), read});
  }
  // What other programs do must not make a larger size look faster than a smaller one.
  for (size_t i = peaks.bandwidths.size() - 1; i > 0; --i) {
    MachinePeaks::Bandwidth &size = peaks.bandwidths[i - 1], &larger = peaks.bandwidths[i];
    size.bytes_per_s = std::max(size.bytes_per_s, larger.bytes_per_s);
    size.read_bytes_per_s = std::max(size.read_bytes_per_s, larger.read_bytes_per_s);
  }
  peaks.read_bytes_per_s = peaks.bandwidths.back().read_bytes_per_s;
  constexpr int64_t kHalf = kMemoryFloats / 2;
  peaks.copy_bytes_per_s = copy_rate(memory + kHalf, memory, kHalf, threads);
  peaks.fma_flops = fma_rate(threads);
  return peaks;
}

MachinePeaks measure_gpu(Device device, Dtype dtype, bool quick) {
  const auto best_seconds = [&](int rounds, const std::function<void()>& work) {
    double best = std::numeric_limits<double>::infinity();
    for (int i = 0; i < rounds; ++i) {
      synchronize(device);
      const double start = seconds_on(CLOCK_MONOTONIC);
      work();
      synchronize(device);
      best = std::min(best, seconds_on(CLOCK_MONOTONIC) - start);
    }
    return best;
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
