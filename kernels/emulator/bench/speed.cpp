// emulator_speed [threads] [full]: how fast ordinary kernels run, in lane instructions a second, with bounds checks or
// under the full checker.
#include <fmt/format.h>

#include <bit>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "kernels/emulator/checker.h"
#include "kernels/emulator/instruction_table.h"
#include "kernels/emulator/launch.h"

namespace {

using namespace vigor::emulator;

template <class T>
void put(std::vector<std::byte>& parameters, size_t offset, T value) {
  std::memcpy(parameters.data() + offset, &value, sizeof(T));
}

// Runs for about half a second and prints the rate.
void measure(const Module& module, const std::string& kernel, const LaunchConfig& config,
             const std::vector<std::byte>& parameters, const LaunchOptions& options) {
  launch(module, kernel, config, parameters, options);  // translates, touches memory
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  LaunchCounts counts;
  double seconds = 0;
  int runs = 0;
  for (; seconds < 0.5; ++runs) {
    counts = launch(module, kernel, config, parameters, options);
    seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  }
  const double lanes = static_cast<double>(counts.lane_instructions) * runs / seconds;
  const double warps = static_cast<double>(counts.warp_instructions) * runs / seconds;
  fmt::print("{:14s} {:8.0f} M lane instructions/s  {:6.1f} ns a warp instruction  {:8.2f} ms a launch\n", kernel,
             lanes / 1e6, 1e9 / warps, 1e3 * seconds / runs);
}

}  // namespace

int main(int argc, char** argv) {
  std::ifstream file(VIGOR_EMULATOR_SPEED_PTX);
  DeviceMemory memory(uint64_t{1} << 30);
  const Module module({std::istreambuf_iterator<char>(file), {}}, "speed.ptx", memory);
  LaunchOptions options;
  options.threads = argc > 1 ? std::atoi(argv[1]) : 1;
  const bool full = argc > 2 && std::string(argv[2]) == "full";
  options.check = full ? CheckLevel::full : CheckLevel::bounds;
  options.checker = full ? &process_checker() : nullptr;
  fmt::print("{} instructions, {} thread(s), check={}\n", instruction_set(), options.threads, full ? "full" : "bounds");

  const int n = 1 << 19;
  const uint64_t x = memory.allocate(n * sizeof(float)), y = memory.allocate(n * sizeof(float)),
                 z = memory.allocate(n * sizeof(float));
  auto* values = reinterpret_cast<float*>(memory.translate(x, n * sizeof(float), "x"));
  for (int i = 0; i < n; ++i) values[i] = static_cast<float>(i % 1000) * 0.004f - 2.0f;
  std::memcpy(memory.translate(z, n * sizeof(float), "z"), values, n * sizeof(float));

  // The same numbers in bf16: the upper halves.
  const uint64_t halves = memory.allocate(n * sizeof(uint16_t));
  auto* bits = reinterpret_cast<uint16_t*>(memory.translate(halves, n * sizeof(uint16_t), "halves"));
  for (int i = 0; i < n; ++i) bits[i] = static_cast<uint16_t>(std::bit_cast<uint32_t>(values[i]) >> 16);

  for (const MemoryRange& range : memory.ranges()) {
    process_checker().allocated(range);
    process_checker().host_wrote(range.begin, range.bytes());
  }

  std::vector<std::byte> p(20);
  put(p, 0, y), put(p, 8, x), put(p, 16, n);
  measure(module, "elementwise", {{n / 256}, {256}}, p, options);
  p.assign(36, {});
  put(p, 0, y), put(p, 8, x), put(p, 16, z), put(p, 24, z), put(p, 32, 512);
  measure(module, "layer_norm", {{1024}, {256}}, p, options);
  p.assign(28, {});
  put(p, 0, y), put(p, 8, x), put(p, 16, z), put(p, 24, 256);
  measure(module, "tiled_matmul", {{4, 4}, {256}}, p, options);
  p.assign(24, {});
  put(p, 0, y), put(p, 8, halves), put(p, 16, 0.5f), put(p, 20, n);
  measure(module, "bf16_scale", {{n / 2048}, {256}}, p, options);
  p.assign(20, {});
  put(p, 0, y), put(p, 8, halves), put(p, 16, 1000);
  measure(module, "tensor_core", {{4}, {128}}, p, options);
}
