// The token cache: right ids, found again, never trusted when damaged, nothing left behind when the disk is full.
#include "train/data/token_cache.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <fstream>

namespace vigor {
namespace {

namespace fs = std::filesystem;

std::vector<int32_t> all_ids(const TokenStream& stream) {
  std::vector<int32_t> ids(static_cast<size_t>(stream.size()));
  stream.read(0, ids);
  return ids;
}

std::string content_of(const fs::path& path) { return read_text(path, size_t{1} << 30); }

class TokenCacheTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / "vigor_token_cache_test";
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    std::string text;
    for (int i = 0; i < 1000; ++i) text += "story number " + std::to_string(i) + " of the fox\n\n";
    write_file(folder_ / "a.txt", text);
    source_ = {(folder_ / "a.txt").string(), std::nullopt};
    tokenizer_ = build_chunk_vocabulary({source_}, HoldOut::none, {});
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::vector<int32_t> expected_ids(bool held_out_only, bool train_only) const {
    std::vector<int32_t> ids;
    const auto reader = open_documents(source_);
    for (Document document; reader->next(document);) {
      if (document.held_out ? !train_only : !held_out_only) tokenizer_->encode(document.text, ids);
    }
    return ids;
  }
  std::vector<fs::path> cache_files() const {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(cache_.folder())) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    return files;
  }

  fs::path folder_;
  DataSource source_;
  std::unique_ptr<ChunkTokenizer> tokenizer_;
  TokenCache cache_{fs::path(testing::TempDir()) / "vigor_token_cache_test" / "cache" / "nested"};
};

TEST_F(TokenCacheTest, IdsOfBothSplits) {
  const SourceTokens tokens = cache_.open(source_, *tokenizer_, HoldOut::one_percent);
  EXPECT_EQ(all_ids(tokens.train), expected_ids(false, true));
  EXPECT_EQ(all_ids(tokens.valid), expected_ids(true, false));
  EXPECT_GT(tokens.valid.size(), 0);
  EXPECT_EQ(cache_files().size(), 2u);
  const SourceTokens whole = cache_.open(source_, *tokenizer_, HoldOut::none);
  EXPECT_EQ(all_ids(whole.train), expected_ids(false, false));
  EXPECT_EQ(whole.valid.size(), 0);
  EXPECT_EQ(cache_files().size(), 3u);
}

TEST_F(TokenCacheTest, FoundAgainAndMadeAnewForOtherTextOrTokenizer) {
  cache_.open(source_, *tokenizer_, HoldOut::none);
  const fs::path file = cache_files().at(0);
  const auto written = fs::last_write_time(file);
  int reports = 0;
  cache_.open(source_, *tokenizer_, HoldOut::none, [&](const DataSource&, uint64_t) { ++reports; });
  EXPECT_EQ(fs::last_write_time(file), written);
  EXPECT_EQ(reports, 0);
  const auto capped = build_chunk_vocabulary({source_}, HoldOut::none, {/*max_size=*/10, 1, false});
  EXPECT_NE(all_ids(cache_.open(source_, *capped, HoldOut::none).train), expected_ids(false, false));
  std::ofstream(source_.path, std::ios::app) << "one more\n";
  EXPECT_EQ(all_ids(cache_.open(source_, *tokenizer_, HoldOut::none).train), expected_ids(false, false));
  EXPECT_EQ(cache_files().size(), 3u);
}

TEST_F(TokenCacheTest, DamagedFilesAreMadeAnew) {
  const std::vector<int32_t> expected = expected_ids(false, false);
  cache_.open(source_, *tokenizer_, HoldOut::none);
  const fs::path file = cache_files().at(0);
  const std::string good = content_of(file);
  std::vector<std::string> damaged = {"",
                                      "x",
                                      good.substr(0, good.size() / 2),
                                      good.substr(0, good.size() - 1),
                                      good + "x",
                                      good.substr(2),
                                      std::string(good.size(), '\0')};
  for (size_t position :
       {size_t{0}, good.size() / 3, good.size() - 64, good.size() - 50, good.size() - 30, good.size() - 1}) {
    damaged.push_back(good);
    damaged.back()[position] ^= 0x10;
  }
  for (const std::string& content : damaged) {
    write_file(file, content);
    EXPECT_EQ(all_ids(cache_.open(source_, *tokenizer_, HoldOut::none).train), expected);
    EXPECT_EQ(content_of(file), good);
  }
}

TEST_F(TokenCacheTest, AnIntactFileOfAnotherKeyOrVocabularyIsRefused) {
  cache_.open(source_, *tokenizer_, HoldOut::none);
  const fs::path file = cache_files().at(0);
  const TokenCacheKey key{source_hash(source_), tokenizer_->fingerprint(), 0};
  const int64_t vocab_size = tokenizer_->vocab_size();
  EXPECT_TRUE(read_token_cache(file, key, vocab_size));
  EXPECT_FALSE(read_token_cache(file, {key.source + 1, key.tokenizer, 0}, vocab_size));
  EXPECT_FALSE(read_token_cache(file, {key.source, key.tokenizer + 1, 0}, vocab_size));
  EXPECT_FALSE(read_token_cache(file, {key.source, key.tokenizer, 1}, vocab_size));
  EXPECT_FALSE(read_token_cache(file, key, vocab_size - 1));  // the last id is in the text, so it would not fit
  EXPECT_FALSE(read_token_cache(file, key, 100000));          // ids of four bytes are expected
  EXPECT_FALSE(read_token_cache(folder_, key, vocab_size));
}

TEST_F(TokenCacheTest, WideIdsForLargeVocabularies) {
  const auto padded = build_chunk_vocabulary({source_}, HoldOut::none, {/*max_size=*/70000, 1, /*pad=*/true});
  EXPECT_EQ(padded->vocab_size(), 70000);
  const SourceTokens tokens = cache_.open(source_, *padded, HoldOut::none);
  EXPECT_EQ(all_ids(tokens.train), expected_ids(false, false));
  EXPECT_EQ(fs::file_size(cache_files().at(0)), 4u * tokens.train.size() + 64);
}

TEST_F(TokenCacheTest, AFullDiskIsOneErrorAndLeavesNothing) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{4096, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  std::string message;
  try {
    cache_.open(source_, *tokenizer_, HoldOut::one_percent);
  } catch (const std::runtime_error& error) {
    message = error.what();
  }
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_NE(message.find("cannot write"), std::string::npos) << message;
  EXPECT_TRUE(cache_files().empty());
}

TEST_F(TokenCacheTest, AFolderThatCannotBeMade) {
  const TokenCache cache(folder_ / "a.txt" / "cache");
  EXPECT_THROW(cache.open(source_, *tokenizer_, HoldOut::none), std::runtime_error);
}

TEST_F(TokenCacheTest, VocabularyAndHoldOut) {
  const auto whole = build_chunk_vocabulary({source_}, HoldOut::none, {});
  ChunkVocabularyBuilder counts;
  const auto reader = open_documents(source_);
  for (Document document; reader->next(document);) {
    if (!document.held_out) counts.add(document.text);
  }
  EXPECT_EQ(build_chunk_vocabulary({source_}, HoldOut::one_percent, {})->fingerprint(),
            counts.build({})->fingerprint());
  EXPECT_EQ(whole->fingerprint(), tokenizer_->fingerprint());
}

TEST_F(TokenCacheTest, ATextThatIsHeldOutAsAWholeIsTrainedOn) {
  for (int i = 0;; ++i) {
    write_file(folder_ / "one.txt", "running text " + std::to_string(i));
    const DataSource one{(folder_ / "one.txt").string(), std::nullopt};
    Document document;
    open_documents(one)->next(document);
    if (!document.held_out) continue;
    const SourceTokens tokens = cache_.open(one, *tokenizer_, HoldOut::one_percent);
    EXPECT_EQ(all_ids(tokens.train), tokenizer_->encode(document.text));
    EXPECT_EQ(tokens.valid.size(), 0);
    break;
  }
}

TEST(TokenStream, ReadsAreChecked) {
  const TokenStream stream({1, 2, 3});
  std::vector<int32_t> two(2);
  stream.read(1, two);
  EXPECT_EQ(two, (std::vector<int32_t>{2, 3}));
  EXPECT_THROW(stream.read(2, two), std::invalid_argument);
  EXPECT_THROW(stream.read(-1, two), std::invalid_argument);
}

TEST(TokenCache, DefaultFolder) {
  setenv("XDG_CACHE_HOME", "/x/cache", 1);
  EXPECT_EQ(default_cache_folder(), "/x/cache/vigor");
  setenv("XDG_CACHE_HOME", "relative", 1);  // the XDG specification says to ignore it
  setenv("HOME", "/home/me", 1);
  EXPECT_EQ(default_cache_folder(), "/home/me/.cache/vigor");
}

}  // namespace
}  // namespace vigor
