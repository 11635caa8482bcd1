#include "tensor/allocator.h"

#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "tests/support/testing.h"

namespace vigor {
namespace {

using namespace vigor::testing;

constexpr size_t kMegabyte = size_t{1} << 20;

// Counts what the allocator holds, and has no more than `limit` bytes.
class CountingSystem : public Allocator::System {
 public:
  explicit CountingSystem(size_t* held, size_t limit = ~size_t{0}) : held_(held), limit_(limit) {}
  void* reserve(size_t nbytes) override {
    if (*held_ + nbytes > limit_) return nullptr;
    *held_ += nbytes;
    return std::aligned_alloc(64, nbytes);
  }
  void release(void* data, size_t nbytes) override {
    *held_ -= nbytes;
    std::free(data);
  }

 private:
  size_t* held_;
  size_t limit_;
};

TEST(Allocator, SameSizesAgainAskTheSystemForNothing) {
  size_t held = 0;
  {
    Allocator allocator(std::make_unique<CountingSystem>(&held));
    const std::vector<size_t> sizes = {1, 100, 5000, 70000, 3 * kMegabyte, 40 * kMegabyte, 0, 64, 65536, 65537};
    uint64_t requests = 0;
    for (int step = 0; step < 5; ++step) {
      std::vector<Allocator::Allocation> all;
      for (size_t nbytes : sizes) {
        all.push_back(allocator.allocate(nbytes));
        EXPECT_EQ(reinterpret_cast<uintptr_t>(all.back().data) % 64, 0u);
        std::memset(all.back().data, step, nbytes);
      }
      for (const Allocator::Allocation& a : all) allocator.free(a.block);
      if (step == 0) requests = allocator.stats().system_requests;
    }
    EXPECT_EQ(allocator.stats().system_requests, requests);
    EXPECT_EQ(allocator.stats().current_bytes, 0u);
    EXPECT_EQ(allocator.stats().reserved_bytes, held);
  }
  EXPECT_EQ(held, 0u);
}

TEST(Allocator, UnusedSegmentsMakeRoomForALargerRequest) {
  size_t held = 0;
  Allocator allocator(std::make_unique<CountingSystem>(&held, 100 * kMegabyte));
  allocator.free(allocator.allocate(60 * kMegabyte).block);  // kept, and too small for what comes
  const Allocator::Allocation large = allocator.allocate(80 * kMegabyte);
  EXPECT_EQ(allocator.stats().reserved_bytes, 80 * kMegabyte);
  allocator.free(large.block);

  size_t held_by_graph = 0;
  Allocator of_graph(std::make_unique<CountingSystem>(&held_by_graph, 100 * kMegabyte), false);
  of_graph.free(of_graph.allocate(60 * kMegabyte).block);
  EXPECT_THROW(of_graph.allocate(80 * kMegabyte), std::runtime_error);
  EXPECT_EQ(held_by_graph, 60 * kMegabyte);
}

TEST(Allocator, FreeNeighboursBecomeOne) {
  size_t held = 0;
  Allocator allocator(std::make_unique<CountingSystem>(&held));
  // Eight blocks fill a segment; freed in any order they serve a request of the whole segment.
  for (const std::vector<size_t>& order :
       {std::vector<size_t>{0, 1, 2, 3, 4, 5, 6, 7}, {7, 6, 5, 4, 3, 2, 1, 0}, {1, 3, 5, 7, 0, 2, 4, 6}}) {
    std::vector<Allocator::Allocation> blocks;
    for (int i = 0; i < 8; ++i) blocks.push_back(allocator.allocate(4 * kMegabyte));
    EXPECT_EQ(allocator.stats().system_requests, 1u);
    for (size_t i : order) allocator.free(blocks[i].block);
    const Allocator::Allocation whole = allocator.allocate(32 * kMegabyte);
    EXPECT_EQ(allocator.stats().system_requests, 1u);
    allocator.free(whole.block);
  }
}

TEST(Allocator, CurrentAndPeakBytes) {
  size_t held = 0;
  Allocator allocator(std::make_unique<CountingSystem>(&held));
  const Allocator::Allocation a = allocator.allocate(kMegabyte), b = allocator.allocate(2 * kMegabyte);
  EXPECT_EQ(allocator.stats().current_bytes, 3 * kMegabyte);
  allocator.free(a.block);
  EXPECT_EQ(allocator.stats().current_bytes, 2 * kMegabyte);
  EXPECT_EQ(allocator.stats().peak_bytes, 3 * kMegabyte);
  allocator.reset_peak();
  EXPECT_EQ(allocator.stats().peak_bytes, 2 * kMegabyte);
  allocator.free(b.block);
}

TEST(Allocator, SaysWhenThereIsNoMore) {
  size_t held = 0;
  Allocator allocator(std::make_unique<CountingSystem>(&held, 40 * kMegabyte));
  const Allocator::Allocation a = allocator.allocate(20 * kMegabyte);
  expect_error<std::runtime_error>([&] { allocator.allocate(30 * kMegabyte); }, {"out of memory", "30 MB", "20 MB"});
  const Allocator::Allocation b = allocator.allocate(kMegabyte / 2);  // a whole segment would be too much
  EXPECT_NE(b.data, nullptr);
  allocator.free(a.block);
  allocator.free(b.block);
}

// Live blocks never overlap: each is filled with a pattern of its own, which must still be there when it is freed.
void use_at_random(Allocator& allocator, uint32_t seed, int steps) {
  std::mt19937 random(seed);
  struct Live {
    Allocator::Allocation allocation;
    size_t nbytes;
    uint8_t pattern;
  };
  std::vector<Live> live;
  for (int step = 0; step < steps; ++step) {
    if (live.size() < 40 && random() % 5 < 3) {
      const size_t nbytes = random() % 4 == 0 ? random() % (3 * kMegabyte) : random() % 100000;
      const auto pattern = static_cast<uint8_t>(random());
      live.push_back({allocator.allocate(nbytes), nbytes, pattern});
      std::memset(live.back().allocation.data, pattern, nbytes);
    } else if (!live.empty()) {
      const size_t i = random() % live.size();
      const auto* bytes = static_cast<const uint8_t*>(live[i].allocation.data);
      size_t wrong = 0;
      for (size_t k = 0; k < live[i].nbytes; ++k) wrong += bytes[k] != live[i].pattern;
      EXPECT_EQ(wrong, 0u);
      allocator.free(live[i].allocation.block);
      live.erase(live.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  for (const Live& block : live) allocator.free(block.allocation.block);
}

TEST(Allocator, LiveBlocksNeverOverlap) {
  size_t held = 0;
  Allocator allocator(std::make_unique<CountingSystem>(&held));
  use_at_random(allocator, 1, 2000);
  EXPECT_EQ(allocator.stats().current_bytes, 0u);
}

TEST(Allocator, Threads) {
  size_t held = 0;
  Allocator allocator(std::make_unique<CountingSystem>(&held));
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < 4; ++i) threads.emplace_back([&allocator, i] { use_at_random(allocator, 10 + i, 400); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(allocator.stats().current_bytes, 0u);
}

TEST(Allocator, TensorsReturnTheirMemory) {
  const size_t before = allocator_of(kCpu).stats().current_bytes;
  uint64_t requests = 0;
  for (int step = 0; step < 4; ++step) {
    const Tensor x = empty({1000, 1000});
    const Tensor row = x.with_view(sliced(x, 0, 0, 1, 1, "test"));
    EXPECT_GE(allocator_of(kCpu).stats().current_bytes, before + x.nbytes());
    if (step == 0) requests = allocator_of(kCpu).stats().system_requests;
  }
  EXPECT_EQ(allocator_of(kCpu).stats().system_requests, requests);
  EXPECT_EQ(allocator_of(kCpu).stats().current_bytes, before);
}

}  // namespace
}  // namespace vigor
