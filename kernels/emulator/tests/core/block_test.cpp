// Shared memory, barriers, atomics and launch limits.
#include <algorithm>
#include <cstdint>
#include <numeric>

#include "test_device.h"

namespace vigor::emulator {
namespace {

class Blocks : public testing::Test {
 protected:
  TestDevice device_{"block"};
};

TEST_F(Blocks, SumThroughSharedMemory) {
  std::vector<float> x(1000);
  std::iota(x.begin(), x.end(), 0.0f);
  const uint64_t in = device_.upload(x), out = device_.zeros<float>(4);
  device_.launch("block_sum", {{4}, {256}}, out, in, 1000);
  const auto sums = device_.download<float>(out, 4);
  for (size_t b = 0; b < 4; ++b) {
    EXPECT_EQ(std::accumulate(x.begin() + 256 * static_cast<long>(b),
                              x.begin() + std::min<long>(1000, 256 * static_cast<long>(b + 1)), 0.0f),
              sums[b]);
  }
}

TEST_F(Blocks, DynamicSharedMemory) {
  std::vector<int> x(200);
  std::iota(x.begin(), x.end(), 5);
  const uint64_t in = device_.upload(x), out = device_.zeros<int>(200);
  device_.launch("reverse_scan", {{1}, {200}, 200 * sizeof(int)}, out, in);
  const auto got = device_.download<int>(out, 200);
  int sum = 1000;
  for (size_t i = 0; i < 200; ++i) EXPECT_EQ(sum += x[199 - i], got[i]);
  // 4 bytes short of what the block writes.
  const std::string report = device_.fault(FaultKind::illegal_address, "reverse_scan", {{1}, {200}, 796}, out, in);
  EXPECT_NE(std::string::npos, report.find("out of bounds: write of 4 bytes at shared address")) << report;
  EXPECT_NE(std::string::npos, report.find("thread (199,0,0)")) << report;
}

TEST_F(Blocks, Transpose) {
  const int rows = 45, columns = 70;
  std::vector<float> x(rows * columns);
  std::iota(x.begin(), x.end(), 0.0f);
  const uint64_t in = device_.upload(x), out = device_.zeros<float>(x.size());
  device_.launch("transpose", {{3, 2}, {32, 8}}, out, in, rows, columns);
  const auto got = device_.download<float>(out, x.size());
  for (int r = 0; r < rows; ++r) {
    for (int c = 0; c < columns; ++c) {
      ASSERT_EQ(x[static_cast<size_t>(r * columns + c)], got[static_cast<size_t>(c * rows + r)]);
    }
  }
}

TEST_F(Blocks, BarriersThatReduce) {
  const uint64_t out = device_.zeros<int>(80);
  device_.launch("barrier_reductions", {{1}, {80}}, out);
  for (const int value : device_.download<int>(out, 80)) EXPECT_EQ(271010, value);
}

TEST_F(Blocks, NamedBarriers) {
  for (uint64_t seed = 0; seed < 4; ++seed) {
    if (seed != 0) device_.options.order_seed = seed;
    const uint64_t out = device_.zeros<int>(320);
    device_.launch("producer_consumer", {{1}, {64}}, out, 10);
    const auto got = device_.download<int>(out, 320);
    for (int i = 0; i < 320; ++i) ASSERT_EQ(i / 32 * 100 + 31 - i % 32, got[static_cast<size_t>(i)]);
  }
}

TEST_F(Blocks, ExitedThreadsAreNotWaitedFor) {
  const uint64_t out = device_.zeros<int>(40);
  device_.launch("some_exit", {{1}, {128}}, out);
  for (const int value : device_.download<int>(out, 40)) EXPECT_EQ(12, value);
}

TEST_F(Blocks, Atomics) {
  struct alignas(8) Atomics {
    int add, low, high, exchanged, increments;
    unsigned ands, ors, xors;
    unsigned long long wide;
    float f32;
    double f64;
    uint32_t bf16, f16;
  };
  for (const int threads : {1, 3}) {
    device_.options.threads = threads;
    Atomics start{};
    start.ands = ~0u;
    const uint64_t at = device_.upload(std::vector<Atomics>{start}), old = device_.zeros<unsigned>(256);
    device_.launch("atomics", {{4}, {64}}, at, old);
    const Atomics got = device_.download<Atomics>(at, 1)[0];
    EXPECT_EQ(512, got.add);
    EXPECT_EQ(-255, got.low);
    EXPECT_EQ(100, got.high);
    EXPECT_EQ(77, got.exchanged);
    EXPECT_EQ(256 % 10, got.increments);
    EXPECT_EQ(~0x7fu, got.ands);
    EXPECT_EQ(0x7ffu, got.ors);
    EXPECT_EQ(0u, got.xors);
    EXPECT_EQ(256ull << 33, got.wide);
    EXPECT_EQ(128.0f, got.f32);
    EXPECT_EQ(64.0, got.f64);
    EXPECT_EQ(0x43004280u, got.bf16);  // 64 and 128
    EXPECT_EQ(0x50005400u, got.f16);   // 64 and 32
    auto values = device_.download<unsigned>(old, 256);
    std::sort(values.begin(), values.end());
    for (unsigned i = 0; i < 256; ++i) ASSERT_EQ(2 * i, values[i]);
  }
}

TEST_F(Blocks, AtomicsInSharedMemory) {
  std::vector<uint8_t> data(5000);
  std::vector<int> want(16);
  for (size_t i = 0; i < data.size(); ++i) {
    data[i] = static_cast<uint8_t>(i * i / 3);
    want[data[i] % 16] += 2;  // two blocks count the same data
  }
  const uint64_t in = device_.upload(data), out = device_.zeros<int>(16);
  device_.launch("shared_histogram", {{2}, {160}}, out, in, 5000);
  EXPECT_EQ(want, device_.download<int>(out, 16));
}

TEST_F(Blocks, LastBlockAddsUp) {
  for (const int threads : {1, 4}) {
    device_.options.threads = threads;
    device_.options.order_seed = 3;
    const uint64_t total = device_.zeros<float>(1), parts = device_.zeros<float>(40), tickets = device_.zeros<int>(1);
    device_.launch("last_block", {{40}, {64}}, total, parts, tickets);
    EXPECT_EQ(820.0f, device_.download<float>(total, 1)[0]);
  }
}

TEST_F(Blocks, LaunchLimits) {
  const uint64_t out = device_.zeros<int>(2048);
  device_.launch("bounded", {{1}, {64}}, out);
  EXPECT_NE(std::string::npos,
            device_.fault(FaultKind::out_of_resources, "bounded", {{1}, {65}}, out).find("64 threads"));
  device_.fault(FaultKind::invalid_configuration, "some_exit", {{1}, {1025}}, out);
  device_.fault(FaultKind::invalid_configuration, "some_exit", {{1}, {0}}, out);
  device_.fault(FaultKind::invalid_configuration, "some_exit", {{1, 65536}, {1}}, out);
  device_.fault(FaultKind::invalid_configuration, "some_exit", {{1}, {1, 1, 65}}, out);
  const uint64_t in = device_.zeros<int>(1024);
  // 48 KB without asking; 99 KB here, or what the profile says, with.
  device_.fault(FaultKind::invalid_value, "reverse_scan", {{1}, {32}, (48 << 10) + 4}, out, in);
  device_.launch("reverse_scan", {{1}, {32}, 64 << 10, 64 << 10}, out, in);
  device_.fault(FaultKind::invalid_value, "reverse_scan", {{1}, {32}, 120 << 10, 120 << 10}, out, in);
  device_.options.shared_limit_bytes = 163 << 10;
  device_.launch("reverse_scan", {{1}, {32}, 120 << 10, 120 << 10}, out, in);
}

TEST_F(Blocks, Faults) {
  const uint64_t out = device_.zeros<int>(64);
  const LaunchConfig two_warps{{1}, {64}};
  std::string report = device_.fault(FaultKind::launch_failure, "divergent_barrier", two_warps, out);
  EXPECT_NE(std::string::npos, report.find("block.cu:")) << report;
  report = device_.fault(FaultKind::launch_failure, "warps_at_two_barriers", two_warps, out);
  EXPECT_NE(std::string::npos, report.find("divergent barrier")) << report;
  report = device_.fault(FaultKind::launch_failure, "missing_partner", two_warps);
  EXPECT_NE(std::string::npos, report.find("deadlock")) << report;
  EXPECT_NE(std::string::npos, report.find("32 threads have exited")) << report;
  report = device_.fault(FaultKind::launch_failure, "trapped", two_warps, 40);
  EXPECT_NE(std::string::npos, report.find("thread (41,0,0)")) << report;
}

}  // namespace
}  // namespace vigor::emulator
