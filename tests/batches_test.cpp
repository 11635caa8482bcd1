// Training rows are a pure function of seed, step and row, with the right distribution; evaluation sees every id once.
#include "train/data/batches.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <map>
#include <numeric>
#include <set>
#include <thread>

#include "tests/support/temporary_folder.h"

namespace vigor {
namespace {

// Ids first, first + 1, ...: an id tells its stream and position.
TokenStream counting(int32_t first, int64_t size) {
  std::vector<int32_t> ids(static_cast<size_t>(size));
  std::iota(ids.begin(), ids.end(), first);
  return TokenStream(std::move(ids));
}

TEST(BatchSampler, TargetsFollowIds) {
  const BatchSampler sampler({{"a", counting(1000, 50), std::nullopt}}, 1, 7);
  std::vector<int32_t> ids(4 * 7), targets(4 * 7);
  for (uint32_t step = 0; step < 50; ++step) {
    sampler.sample(step, 0, ids, targets);
    for (size_t i = 0; i < ids.size(); ++i) {
      EXPECT_EQ(targets[i], ids[i] + 1);
      if (i % 7 != 0) {
        EXPECT_EQ(ids[i], ids[i - 1] + 1);
      }
    }
  }
}

TEST(BatchSampler, RowsDependOnSeedStepAndRowOnly) {
  const std::vector<WeightedStream> streams = {{"a", counting(0, 5000), 1.0}, {"b", counting(10000, 5000), 2.0}};
  const BatchSampler sampler(streams, 9, 16), same(streams, 9, 16), other(streams, 10, 16);
  std::vector<int32_t> ids(4 * 16), targets(4 * 16), again(4 * 16), half(2 * 16), half_targets(2 * 16);
  sampler.sample(3, 0, ids, targets);
  same.sample(7, 0, again, targets);
  EXPECT_NE(ids, again);
  same.sample(3, 0, again, targets);
  EXPECT_EQ(ids, again);
  other.sample(3, 0, again, targets);
  EXPECT_NE(ids, again);
  sampler.sample(3, 2, half, half_targets);  // accumulation: rows 2 and 3 as a second batch
  EXPECT_TRUE(std::equal(half.begin(), half.end(), ids.begin() + 2 * 16));
}

TEST(BatchSampler, WindowStartsAreUniformAndReachBothEnds) {
  const int64_t size = 20, length = 4;
  const BatchSampler sampler({{"a", counting(0, size), std::nullopt}}, 4, length);
  std::map<int32_t, int> starts;
  std::vector<int32_t> ids(100 * length), targets(100 * length);
  for (uint32_t step = 0; step < 160; ++step) {
    sampler.sample(step, 0, ids, targets);
    for (size_t row = 0; row < 100; ++row) ++starts[ids[row * length]];
  }
  ASSERT_EQ(starts.size(), 16u);  // 0 .. size - length - 1: the last target is the last id
  EXPECT_EQ(starts.begin()->first, 0);
  EXPECT_EQ(starts.rbegin()->first, 15);
  for (const auto& [start, count] : starts) EXPECT_NEAR(count, 1000, 160) << start;
}

TEST(BatchSampler, SourcesAreDrawnByWeightOrBySize) {
  const auto share_of_first = [](std::optional<double> a, std::optional<double> b) {
    const BatchSampler sampler({{"a", counting(0, 3000), a}, {"b", counting(100000, 1000), b}}, 2, 8);
    std::vector<int32_t> ids(1000 * 8), targets(1000 * 8);
    int first = 0;
    for (uint32_t step = 0; step < 10; ++step) {
      sampler.sample(step, 0, ids, targets);
      for (size_t row = 0; row < 1000; ++row) first += ids[row * 8] < 100000;
    }
    return first / 10000.0;
  };
  EXPECT_NEAR(share_of_first(0.6, 0.4), 0.6, 0.02);
  EXPECT_NEAR(share_of_first(1, 9), 0.1, 0.02);
  EXPECT_NEAR(share_of_first(std::nullopt, std::nullopt), 0.75, 0.02);
}

TEST(BatchSampler, ShortTextIsRefused) {
  const auto error = [](int64_t size, int64_t length) -> std::string {
    try {
      const BatchSampler sampler({{"tiny.txt", counting(0, size), std::nullopt}}, 1, length);
    } catch (const std::invalid_argument& e) {
      return e.what();
    }
    return "no error";
  };
  EXPECT_EQ(error(9, 8), "no error");
  EXPECT_EQ(error(8, 8), "data: a sequence of 8 needs 9 ids; tiny.txt has only 8");
  EXPECT_NE(error(8, 0).find("at least 1"), std::string::npos);
  EXPECT_THROW(BatchSampler({}, 1, 8), std::invalid_argument);
}

// Every (stream, position) predicted in a pass, in order.
std::vector<int32_t> targets_of_a_pass(EvaluationBatches& batches, int64_t batch_size, int64_t seq_len) {
  std::vector<int32_t> ids(batch_size * seq_len), targets(batch_size * seq_len), all;
  while (const auto size = batches.next(ids, targets)) {
    EXPECT_LE(size->rows, batch_size);
    EXPECT_LE(size->length, seq_len);
    for (int64_t i = 0; i < size->rows * size->length; ++i) {
      EXPECT_EQ(targets[i], ids[i] + 1);
      all.push_back(targets[i]);
    }
  }
  return all;
}

TEST(EvaluationBatches, EveryIdIsPredictedOnce) {
  EvaluationBatches batches({{"a", counting(0, 24), std::nullopt},
                             {"b", counting(100, 2), std::nullopt},
                             {"c", counting(200, 1), std::nullopt},
                             {"d", counting(300, 11), std::nullopt}},
                            2, 5);
  std::vector<int32_t> expected(23);
  std::iota(expected.begin(), expected.end(), 1);
  expected.push_back(101);
  for (int32_t id = 301; id <= 310; ++id) expected.push_back(id);
  EXPECT_EQ(targets_of_a_pass(batches, 2, 5), expected);
  EXPECT_EQ(batches.token_count(), static_cast<int64_t>(expected.size()));
  batches.reset();
  EXPECT_EQ(targets_of_a_pass(batches, 2, 5), expected);
}

// Which pages of a mapped file are in memory.
std::vector<unsigned char> pages_in_memory(const MappedFile& file) {
  const size_t page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> pages((file.bytes().size() + page - 1) / page);
  EXPECT_EQ(::mincore(const_cast<std::byte*>(file.bytes().data()), file.bytes().size(), pages.data()), 0);
  for (unsigned char& flags : pages) flags &= 1;
  return pages;
}

TEST(BatchSampler, PrefetchReadsTheRowsOfAStepAndLittleElse) {
  // Each id is the number of the page that it lies in, so the rows of an equal stream in memory tell the pages.
  constexpr int64_t kPages = 4096, kRows = 6, kLength = 40;
  const int64_t ids_in_page = ::sysconf(_SC_PAGESIZE) / 2;
  std::vector<uint16_t> ids;
  for (int64_t i = 0; i < kPages * ids_in_page; ++i) ids.push_back(static_cast<uint16_t>(i / ids_in_page));
  const testing::TemporaryFolder folder;
  AtomicFile written(folder.path() / "ids");
  written.write(std::as_bytes(std::span(ids)));
  written.commit();
  const int descriptor = ::open((folder.path() / "ids").c_str(), O_RDONLY);
  ASSERT_GE(descriptor, 0);
  ::posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED);
  ::close(descriptor);
  const auto file = MappedFile::open(folder.path() / "ids");
  const std::vector<unsigned char> before = pages_in_memory(*file);
  if (std::accumulate(before.begin(), before.end(), int64_t{0}) > kPages / 2)
    GTEST_SKIP() << "this file system keeps its files in memory";

  const TokenStream in_memory(std::vector<int32_t>(ids.begin(), ids.end()));
  std::vector<int32_t> rows(kRows * kLength), targets(rows.size());
  BatchSampler({{"m", in_memory, std::nullopt}}, 3, kLength).sample(11, 0, rows, targets);
  std::set<int32_t> wanted(rows.begin(), rows.end());
  wanted.insert(targets.begin(), targets.end());

  const TokenStream on_disk(file, static_cast<int64_t>(ids.size()), 2);
  BatchSampler({{"d", on_disk, std::nullopt}}, 3, kLength).prefetch(11, kRows);
  std::vector<unsigned char> after;
  const auto all_wanted = [&] {
    after = pages_in_memory(*file);
    return std::all_of(wanted.begin(), wanted.end(), [&](int32_t page) { return after[static_cast<size_t>(page)]; });
  };
  for (int wait = 0; wait < 1000 && !all_wanted(); ++wait) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_TRUE(all_wanted());
  EXPECT_LT(std::accumulate(after.begin(), after.end(), int64_t{0}), kPages / 2);
}

TEST(EvaluationBatches, ALimitSpreadsWholeWindowsOverAllStreams) {
  EvaluationBatches batches({{"a", counting(0, 1001), std::nullopt}, {"b", counting(10000, 1001), std::nullopt}}, 2, 10,
                            5);
  const std::vector<int32_t> targets = targets_of_a_pass(batches, 2, 10);
  EXPECT_EQ(targets.size(), 100u);
  EXPECT_EQ(batches.token_count(), 100);
  EXPECT_EQ(std::count_if(targets.begin(), targets.end(), [](int32_t id) { return id < 10000; }), 50);
}

TEST(EvaluationBatches, TooLittleText) {
  EXPECT_THROW(EvaluationBatches({}, 2, 5), std::invalid_argument);
  EXPECT_THROW(EvaluationBatches({{"a", counting(0, 1), std::nullopt}}, 2, 5), std::invalid_argument);
  EXPECT_THROW(EvaluationBatches({{"a", counting(0, 5), std::nullopt}}, 2, 5, 1), std::invalid_argument);
}

}  // namespace
}  // namespace vigor
