// The parts of the checker without a kernel: what an access costs, and what happened before what.
#include <gtest/gtest.h>

#include <array>

#include "kernels/emulator/clocks.h"
#include "kernels/emulator/counters.h"

namespace vigor::emulator {
namespace {

constexpr uint32_t kEveryLane = ~0u;

// What a warp's access costs when lane i is at begin + i * step.
Counts cost_of(Space space, AccessKind kind, uint32_t bytes, uint64_t begin, uint64_t step,
               uint32_t lanes = kEveryLane) {
  std::array<uint64_t, 32> addresses;
  for (uint64_t lane = 0; lane < 32; ++lane) addresses[lane] = begin + lane * step;
  Counts counts;
  count_access({space, kind, bytes, lanes, addresses.data(), 0, 0}, counts);
  return counts;
}

TEST(Counters, SectorsOfDeviceMemory) {
  const auto sectors = [](uint32_t bytes, uint64_t begin, uint64_t step) {
    return cost_of(Space::global, AccessKind::read, bytes, begin, step).global_sectors;
  };
  EXPECT_EQ(sectors(4, 1024, 4), 4u);     // 128 neighbouring bytes
  EXPECT_EQ(sectors(4, 1028, 4), 5u);     // the same, between sectors
  EXPECT_EQ(sectors(16, 1024, 16), 16u);  // packs
  EXPECT_EQ(sectors(4, 1024, 32), 32u);   // every lane its own
  EXPECT_EQ(sectors(4, 1024, 0), 1u);     // all the same
  EXPECT_EQ(sectors(2, 1024, 64), 32u);
}

TEST(Counters, BytesAreCountedOnceARequest) {
  EXPECT_EQ(cost_of(Space::global, AccessKind::read, 4, 1024, 0).global_bytes_read, 4u);
  EXPECT_EQ(cost_of(Space::global, AccessKind::write, 8, 1024, 8).global_bytes_written, 256u);
  EXPECT_EQ(cost_of(Space::global, AccessKind::read, 4, 1024, 4, 0xff).global_bytes_read, 32u);
  const Counts atomic = cost_of(Space::global, AccessKind::atomic, 4, 1024, 4);
  EXPECT_EQ(atomic.global_bytes_read, 128u);
  EXPECT_EQ(atomic.global_bytes_written, 128u);
  EXPECT_EQ(atomic.global_sectors, 8u);
  EXPECT_EQ(atomic.atomics, 32u);
}

TEST(Counters, BankConflicts) {
  const auto conflicts = [](uint32_t bytes, uint64_t step) {
    return cost_of(Space::shared, AccessKind::read, bytes, 0, step).bank_conflicts;
  };
  EXPECT_EQ(conflicts(4, 4), 0u);
  EXPECT_EQ(conflicts(4, 0), 0u);     // one word for all
  EXPECT_EQ(conflicts(2, 2), 0u);     // two lanes a word
  EXPECT_EQ(conflicts(4, 8), 1u);     // every other bank
  EXPECT_EQ(conflicts(4, 128), 31u);  // one bank
  EXPECT_EQ(conflicts(4, 132), 0u);   // a padded column
  EXPECT_EQ(conflicts(8, 8), 0u);     // two halves of a warp
  EXPECT_EQ(conflicts(16, 16), 0u);   // four quarters
  EXPECT_EQ(conflicts(16, 32), 4u);
  EXPECT_EQ(cost_of(Space::shared, AccessKind::read, 16, 0, 16).shared_wavefronts, 4u);
  EXPECT_EQ(cost_of(Space::shared, AccessKind::atomic, 4, 0, 0).shared_wavefronts, 32u);  // one after the other
}

// A block of four warps; by(thread) is the stamp of an access that the thread makes now.
class ClocksTest : public ::testing::Test {
 protected:
  ClocksTest() { clocks_.begin({{0, 0, 0}, 0}, 4); }
  Stamp by(uint32_t thread) const { return make_stamp(clocks_.now(thread / 32), thread, 0, false); }

  BlockClocks clocks_;
};

TEST_F(ClocksTest, BarriersOrderTheWarpsThatMeet) {
  const Stamp first = by(0), last = by(100);
  EXPECT_FALSE(clocks_.ordered(first, 40));
  EXPECT_TRUE(clocks_.ordered(first, 0));  // the thread's own
  clocks_.barrier(false, 0b0011);
  EXPECT_TRUE(clocks_.ordered(first, 40));
  EXPECT_FALSE(clocks_.ordered(first, 70));
  clocks_.barrier(false, 0b0110);  // warp 1 has seen warp 0 and tells warp 2
  EXPECT_TRUE(clocks_.ordered(first, 70));
  EXPECT_FALSE(clocks_.ordered(last, 0));
  clocks_.barrier(true, 0);
  EXPECT_TRUE(clocks_.ordered(last, 0));
}

TEST_F(ClocksTest, SyncwarpOrdersLanesOfItsMask) {
  const Stamp write = by(3);
  EXPECT_FALSE(clocks_.ordered(write, 4));
  clocks_.warp_sync(0, 0x000000ff, kEveryLane);
  EXPECT_TRUE(clocks_.ordered(write, 4));
  EXPECT_FALSE(clocks_.ordered(write, 20));
  clocks_.warp_sync(0, 0xffff0080, kEveryLane);  // lane 7 brings it to the upper half
  EXPECT_TRUE(clocks_.ordered(write, 20));
  EXPECT_FALSE(clocks_.ordered(write, 10));
  clocks_.warp_sync(0, kEveryLane, kEveryLane);
  EXPECT_TRUE(clocks_.ordered(write, 10));
  EXPECT_FALSE(clocks_.ordered(write, 40));  // another warp
}

TEST_F(ClocksTest, BlocksAreOrderedByFencesAndAtomics) {
  const uint64_t counter = 4096;
  const Stamp before = by(5);
  clocks_.release(0, counter);  // no fence: nothing is visible
  clocks_.fence(0);
  const Stamp after = by(5);
  clocks_.release(0, counter);
  clocks_.begin({{1, 0, 0}, 1}, 4);
  EXPECT_FALSE(clocks_.ordered(before, 5));
  clocks_.acquire(2, counter + 4);
  EXPECT_FALSE(clocks_.ordered(before, 5));
  clocks_.acquire(2, counter);
  EXPECT_TRUE(clocks_.ordered(before, 70));
  EXPECT_FALSE(clocks_.ordered(after, 70));  // between the fence and the atomic
  clocks_.fence(2);
  clocks_.release(2, counter + 8);
  clocks_.begin({{2, 0, 0}, 2}, 4);
  clocks_.acquire(0, counter + 8);  // through block 1
  EXPECT_TRUE(clocks_.ordered(before, 5));
}

}  // namespace
}  // namespace vigor::emulator
