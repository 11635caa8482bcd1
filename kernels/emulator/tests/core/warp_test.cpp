// What the lanes of a warp do together, against plain C++.
#include <bit>
#include <cstdint>

#include "test_device.h"

namespace vigor::emulator {
namespace {

class WarpLevel : public testing::Test {
 protected:
  template <class T>
  std::vector<T> run(const std::string& kernel, size_t count, uint32_t threads = 32) {
    const uint64_t out = device_.zeros<T>(count);
    device_.launch(kernel, {{1}, {threads}}, out);
    return device_.download<T>(out, count);
  }
  TestDevice device_{"warp"};
};

TEST_F(WarpLevel, Shuffles) {
  for (const int width : {32, 16, 8, 2}) {
    const uint64_t out = device_.zeros<int>(128);
    device_.launch("shuffles", {{1}, {32}}, out, width);
    const auto got = device_.download<int>(out, 128);
    for (int lane = 0; lane < 32; ++lane) {
      const int first = lane / width * width, last = first + width - 1;
      const auto value = [](int l) { return l * l + 1; };
      const auto at = [&](int row) { return got[static_cast<size_t>(32 * row + lane)]; };
      EXPECT_EQ(value(first + lane * 7 % 32 % width), at(0)) << lane << " width " << width;
      EXPECT_EQ(value(lane - 3 >= first ? lane - 3 : lane), at(1)) << lane << " width " << width;
      EXPECT_EQ(value(lane + 5 <= last ? lane + 5 : lane), at(2)) << lane << " width " << width;
      // Beyond the segment's end a lane keeps its own; below the segment it may read.
      EXPECT_EQ(value((lane ^ 6) <= last ? lane ^ 6 : lane), at(3)) << lane << " width " << width;
    }
  }
}

TEST_F(WarpLevel, ShuffleOf64Bits) {
  const auto got = run<double>("shuffle_wide", 32);
  for (int lane = 0; lane < 32; ++lane) EXPECT_EQ(1.0 / (1 + (31 - lane)), got[static_cast<size_t>(lane)]);
}

TEST_F(WarpLevel, VotesAndReductions) {
  const auto got = run<uint32_t>("votes", 224);
  uint32_t ballot = 0, sum = 0, most = 0, parity = 0;
  for (uint32_t lane = 0; lane < 32; ++lane) {
    ballot |= (lane % 3 == 1) << lane;
    sum += lane;
    most = std::max(most, lane * 37 % 41);
    parity ^= lane * lane;
  }
  for (uint32_t lane = 0; lane < 32; ++lane) {
    uint32_t same = 0;
    for (uint32_t other = 0; other < 32; ++other) same |= uint32_t{other / 5 == lane / 5} << other;
    EXPECT_EQ(ballot, got[lane]);
    EXPECT_EQ(1u | 4u, got[32 + lane]);
    EXPECT_EQ(same, got[64 + lane]);
    EXPECT_EQ(0u, got[96 + lane]);  // all lanes, 0xffffffff, plus one
    EXPECT_EQ(sum, got[128 + lane]);
    EXPECT_EQ(most, got[160 + lane]);
    EXPECT_EQ(parity, got[192 + lane]);
  }
}

TEST_F(WarpLevel, MasksOfBranches) {
  const auto got = run<uint32_t>("branches", 32);
  for (uint32_t lane = 0; lane < 32; ++lane) {
    uint32_t value = 7;
    if (lane % 4 == 0) {
      value = 0x11111111u & ~0x7ffu;
      ++value;
    } else if (lane < 20) {
      value = 500 + 15;
    }
    EXPECT_EQ(value + 31 - lane, got[lane]) << lane;
  }
}

TEST_F(WarpLevel, Tiles) {
  const auto got = run<int>("tiles", 64, 64);
  for (int i = 0; i < 64; ++i) EXPECT_EQ(4 * (i / 4 * 4) + 6, got[static_cast<size_t>(i)]);
}

TEST_F(WarpLevel, ExitedLanesAreNotWaitedFor) { EXPECT_EQ(0x000aaaaau, run<uint32_t>("early_exit", 32)[7]); }

TEST_F(WarpLevel, SpecialRegisters) {
  const auto got = run<uint32_t>("special_registers", 96, 96);
  for (uint32_t i = 0; i < 96; ++i) EXPECT_EQ(i % 32 + i / 32 * 100 + 11000, got[i]);
}

TEST_F(WarpLevel, Faults) {
  const uint64_t out = device_.zeros<int>(32);
  const LaunchConfig one_warp{{1}, {32}};
  std::string report = device_.fault(FaultKind::launch_failure, "foreign_member_mask", one_warp, out);
  EXPECT_NE(std::string::npos, report.find("wrong member mask")) << report;
  EXPECT_NE(std::string::npos, report.find("thread (16,0,0)")) << report;
  EXPECT_NE(std::string::npos, report.find("warp.cu:")) << report;
  report = device_.fault(FaultKind::launch_failure, "read_from_inactive_lane", one_warp, out);
  EXPECT_NE(std::string::npos, report.find("lane 0 reads the value of lane 8")) << report;
  report = device_.fault(FaultKind::launch_failure, "lanes_miss_each_other", one_warp, out);
  EXPECT_NE(std::string::npos, report.find("deadlock")) << report;
  EXPECT_NE(std::string::npos, report.find("16 threads wait at")) << report;
}

}  // namespace
}  // namespace vigor::emulator
