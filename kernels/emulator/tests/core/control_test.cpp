// Control flow on the device against plain C++.
#include <algorithm>
#include <cstdint>

#include "test_device.h"

namespace vigor::emulator {
namespace {

class Control : public testing::Test {
 protected:
  TestDevice device_{"control"};
};

TEST_F(Control, LoopsOfDifferentLengths) {
  std::vector<int> start(300), want;
  for (int i = 0; i < 300; ++i) {
    start[static_cast<size_t>(i)] = i + 1;
    int steps = 0;
    for (int x = i + 1; x != 1; ++steps) x = x % 2 == 0 ? x / 2 : 3 * x + 1;
    want.push_back(steps);
  }
  const uint64_t out = device_.zeros<int>(300), in = device_.upload(start);
  device_.launch("collatz", {{3}, {128}}, out, in, 300);
  EXPECT_EQ(want, device_.download<int>(out, 300));
}

TEST_F(Control, Switch) {
  const int n = 500;
  std::vector<int> in, want;
  for (int i = 0; i < n; ++i) {
    const int x = i * 7 % 11 - 1;
    in.push_back(x);
    const int cases[] = {17, 6, 42, 43, 64, i, i * i - 6, 1000 / (i + 1), 0};
    want.push_back(x >= 0 && x <= 8 ? cases[x] : -1);
  }
  const uint64_t out = device_.zeros<int>(n), from = device_.upload(in);
  device_.launch("dispatch", {{4}, {128}}, out, from, n);
  EXPECT_EQ(want, device_.download<int>(out, n));
}

TEST_F(Control, FunctionCalls) {
  struct Pair {
    double sum;
    int count;
    char tag;
  };
  const float extra = 2.5f;
  const auto combine = [&](Pair a, int n) {
    return Pair{a.sum + (n > 3 ? 2.5 : -2.5), a.count + n, static_cast<char>('a' + n % 26)};
  };
  const auto depth_two = [&](int x) {
    const Pair p = combine({1.0 * x, x, 'z'}, x % 7);
    return static_cast<int>(p.sum) + p.count + p.tag;
  };
  const int n = 200;
  std::vector<int> want;
  for (int i = 0; i < n; ++i) {
    const Pair p = combine({0.5, 2, 'q'}, i);
    want.push_back(i % 3 == 0 ? depth_two(i) : i % 3 == 1 ? p.count * 1000 + p.tag : -depth_two(2 * i));
  }
  const uint64_t out = device_.zeros<int>(n), in = device_.upload(std::vector<float>{extra});
  device_.launch("calls", {{2}, {128}}, out, in, n);
  EXPECT_EQ(want, device_.download<int>(out, n));
}

TEST_F(Control, LocalArray) {
  const int n = 70, each = 33;
  std::vector<uint8_t> data;
  for (int i = 0; i < n * each; ++i) data.push_back(static_cast<uint8_t>(i * i * 31 + i / 5));
  std::vector<int> want;
  for (int i = 0; i < n; ++i) {
    int counts[16] = {};
    for (int k = 0; k < each; ++k) ++counts[data[static_cast<size_t>(i * each + k)] % 16];
    const int best = static_cast<int>(std::max_element(counts, counts + 16) - counts);
    want.push_back(best * 100 + counts[best]);
  }
  const uint64_t out = device_.zeros<int>(n), in = device_.upload(data);
  device_.launch("local_histogram", {{3}, {32}}, out, in, each, n);
  EXPECT_EQ(want, device_.download<int>(out, n));
}

TEST_F(Control, LanesThatWaitForEachOther) {
  const uint64_t total = device_.zeros<int>(1);
  device_.launch("spin_lock", {{1}, {64}}, total);
  EXPECT_EQ(63 * 64 / 2, device_.download<int>(total, 1)[0]);
}

TEST_F(Control, WarpsThatWaitForEachOther) {
  const uint64_t out = device_.zeros<int>(32);
  device_.launch("wait_for_warp", {{1}, {64}}, out);
  EXPECT_EQ(5 + 31, device_.download<int>(out, 32)[31]);
}

TEST_F(Control, ThreadAndBlockIndices) {
  const Dim3 grid{2, 3, 2}, block{5, 3, 4};
  const uint64_t out = device_.zeros<uint32_t>(12 * 60);
  device_.launch("indices", {grid, block}, out);
  const auto got = device_.download<uint32_t>(out, 12 * 60);
  size_t at = 0;
  for (uint32_t bz = 0; bz < 2; ++bz)
    for (uint32_t by = 0; by < 3; ++by)
      for (uint32_t bx = 0; bx < 2; ++bx)
        for (uint32_t tz = 0; tz < 4; ++tz)
          for (uint32_t ty = 0; ty < 3; ++ty)
            for (uint32_t tx = 0; tx < 5; ++tx)
              ASSERT_EQ(tx | ty << 8 | tz << 12 | bx << 16 | by << 20 | bz << 24, got[at++]);
}

TEST_F(Control, ParameterByValue) {
  struct Big {
    int values[20];
    float scale;
  } big{};
  for (int i = 0; i < 20; ++i) big.values[i] = i * i;
  big.scale = 0.5f;
  const uint64_t out = device_.zeros<float>(64);
  device_.launch("by_value", {{1}, {64}}, out, big, char{3});
  const auto got = device_.download<float>(out, 64);
  for (int i = 0; i < 64; ++i) {
    const int v = i % 20;
    ASSERT_EQ(static_cast<float>(v * v) * 0.5f + 3, got[static_cast<size_t>(i)]);
  }
}

// The same results whatever the order of warps and blocks, and on several CPU threads.
TEST_F(Control, RandomOrderAndThreads) {
  for (uint64_t seed = 0; seed < 6; ++seed) {
    device_.options.order_seed = seed;
    device_.options.threads = 1 + static_cast<int>(seed % 3);
    const uint64_t total = device_.zeros<int>(1);
    device_.launch("spin_lock", {{1}, {96}}, total);
    EXPECT_EQ(95 * 96 / 2, device_.download<int>(total, 1)[0]);
    const uint64_t out = device_.zeros<uint32_t>(12 * 60);
    device_.launch("indices", {{2, 3, 2}, {5, 3, 4}}, out);
    EXPECT_EQ(4u | 2u << 8 | 3u << 12 | 1u << 16 | 2u << 20 | 1u << 24, device_.download<uint32_t>(out, 720).back());
  }
}

}  // namespace
}  // namespace vigor::emulator
