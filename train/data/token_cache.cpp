#include "train/data/token_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "models/tokenizer/content_hash.h"
#include "tensor/check.h"
#include "train/data/file_blocks.h"

namespace vigor {
namespace {

namespace fs = std::filesystem;

constexpr std::array<char, 8> kMagic = {'V', 'I', 'G', 'O', 'R', 'I', 'D', 'S'};
constexpr uint32_t kVersion = 1;
constexpr uint64_t kProgressBytes = uint64_t{8} << 20;

// The last bytes of a cache file; at the end, so that the ids can be written while their number is unknown.
struct Footer {
  std::array<char, 8> magic = kMagic;
  uint32_t version = kVersion;
  uint32_t id_bytes;
  TokenCacheKey key;
  uint64_t tokens, ids_hash, footer_hash;  // the last is over everything before it
};
static_assert(sizeof(Footer) == 64);

uint64_t hash_of(const Footer& footer) {
  ContentHash hash;
  hash.update(std::as_bytes(std::span(&footer, 1)).first(offsetof(Footer, footer_hash)));
  return hash.value();
}

int id_bytes_for(int64_t vocab_size) { return vocab_size <= 65536 ? 2 : 4; }

class TokenWriter {
 public:
  TokenWriter(const fs::path& path, const TokenCacheKey& key, int64_t vocab_size) : file_(path) {
    footer_.id_bytes = static_cast<uint32_t>(id_bytes_for(vocab_size));
    footer_.key = key;
    footer_.tokens = 0;
  }
  void add(const std::vector<int32_t>& ids) {
    if (footer_.id_bytes == 2) {
      narrow_.assign(ids.begin(), ids.end());
      put(std::as_bytes(std::span(narrow_)));
    } else {
      put(std::as_bytes(std::span(ids)));
    }
    footer_.tokens += ids.size();
  }
  void commit() {
    footer_.ids_hash = hash_.value();
    footer_.footer_hash = hash_of(footer_);
    file_.write(std::as_bytes(std::span(&footer_, 1)));
    file_.commit();
  }

 private:
  void put(std::span<const std::byte> bytes) {
    hash_.update(bytes);
    file_.write(bytes);
  }
  AtomicFile file_;
  Footer footer_;
  ContentHash hash_;
  std::vector<uint16_t> narrow_;
};

template <class Id>
uint32_t largest_id(std::span<const std::byte> ids) {
  uint32_t largest = 0;  // of the ids as unsigned numbers: a negative one is too large
  for (size_t i = 0; i + sizeof(Id) <= ids.size(); i += sizeof(Id)) {
    Id id;
    std::memcpy(&id, ids.data() + i, sizeof(Id));
    largest = std::max(largest, static_cast<uint32_t>(id));
  }
  return largest;
}

class ProgressReport {
 public:
  ProgressReport(const DataSource& source, const DataProgress& report) : source_(source), report_(report) {}
  void add(size_t nbytes) {
    const uint64_t before = nbytes_;
    nbytes_ += nbytes;
    if (report_ && before / kProgressBytes != nbytes_ / kProgressBytes) report_(source_, nbytes_);
  }

 private:
  const DataSource& source_;
  const DataProgress& report_;
  uint64_t nbytes_ = 0;
};

void create_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (!fs::is_directory(folder)) {
    throw std::runtime_error(
        fmt::format("token cache: cannot create the folder {}: {}", folder.string(), error.message()));
  }
}

fs::path file_of(const fs::path& folder, const TokenCacheKey& key) {
  constexpr const char* kSplitNames[] = {"all", "train", "valid"};
  return folder / fmt::format("{:016x}-{:016x}-{}.ids", key.source, key.tokenizer, kSplitNames[key.split]);
}

}  // namespace

TokenStream::TokenStream(std::vector<int32_t> ids)
    : values_(std::make_shared<const std::vector<int32_t>>(std::move(ids))),
      data_(values_->data()),
      size_(static_cast<int64_t>(values_->size())),
      id_bytes_(4) {}

TokenStream::TokenStream(std::shared_ptr<const MappedFile> file, int64_t count, int id_bytes)
    : file_(std::move(file)), data_(file_->bytes().data()), size_(count), id_bytes_(id_bytes) {
  check(static_cast<uint64_t>(count) * id_bytes <= file_->bytes().size(), "token stream: {} has {} bytes, not {} ids",
        file_->path().string(), file_->bytes().size(), count);
}

void TokenStream::read(int64_t first, std::span<int32_t> ids) const {
  const int64_t count = static_cast<int64_t>(ids.size());
  check(first >= 0 && first <= size_ - count, "token stream: has {} ids; asked for {} from {}", size_, count, first);
  if (count == 0) return;
  if (id_bytes_ == 2) {
    const uint16_t* narrow = static_cast<const uint16_t*>(data_) + first;
    std::copy(narrow, narrow + count, ids.begin());
  } else {
    const int32_t* wide = static_cast<const int32_t*>(data_) + first;
    std::copy(wide, wide + count, ids.begin());
  }
}

void TokenStream::prefetch(int64_t first, int64_t count) const {
  check(first >= 0 && count >= 0 && first <= size_ - count, "token stream: has {} ids; asked for {} from {}", size_,
        count, first);
  const auto id_bytes = static_cast<size_t>(id_bytes_);
  if (file_ != nullptr && count > 0)
    file_->prefetch(
        file_->bytes().subspan(static_cast<size_t>(first) * id_bytes, static_cast<size_t>(count) * id_bytes));
}

std::optional<TokenStream> read_token_cache(const fs::path& path, const TokenCacheKey& key, int64_t vocab_size) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return std::nullopt;
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  if (file->bytes().size() < sizeof(Footer)) return std::nullopt;
  const size_t nbytes = file->bytes().size() - sizeof(Footer);
  Footer footer;
  std::memcpy(&footer, file->bytes().data() + nbytes, sizeof footer);
  const bool right = footer.magic == kMagic && footer.version == kVersion && footer.footer_hash == hash_of(footer) &&
                     footer.key.source == key.source && footer.key.tokenizer == key.tokenizer &&
                     footer.key.split == key.split &&
                     footer.id_bytes == static_cast<uint32_t>(id_bytes_for(vocab_size)) &&
                     footer.tokens == nbytes / footer.id_bytes && nbytes % footer.id_bytes == 0;
  if (!right) return std::nullopt;

  ContentHash hash;
  uint32_t largest = 0;
  size_t left = nbytes;
  for_each_block(path, [&](std::span<const std::byte> block) {
    const std::span<const std::byte> ids = block.first(std::min(left, block.size()));
    left -= ids.size();
    hash.update(ids);
    largest = std::max(largest, footer.id_bytes == 2 ? largest_id<uint16_t>(ids) : largest_id<uint32_t>(ids));
  });
  if (left != 0 || hash.value() != footer.ids_hash || largest >= static_cast<uint64_t>(vocab_size)) return std::nullopt;
  return TokenStream(file, static_cast<int64_t>(footer.tokens), static_cast<int>(footer.id_bytes));
}

SourceTokens TokenCache::open(const DataSource& source, const Tokenizer& tokenizer, HoldOut hold_out,
                              const DataProgress& progress) const {
  const bool split = hold_out != HoldOut::none;
  TokenCacheKey train_key{source_hash(source), tokenizer.fingerprint(), split ? 1u : 0u};
  TokenCacheKey valid_key{train_key.source, train_key.tokenizer, 2};
  const fs::path train_file = file_of(folder_, train_key), valid_file = file_of(folder_, valid_key);
  const int64_t vocab_size = tokenizer.vocab_size();

  const auto read = [&]() -> std::optional<SourceTokens> {
    const std::optional<TokenStream> train = read_token_cache(train_file, train_key, vocab_size);
    if (!train) return std::nullopt;
    if (!split) return SourceTokens{source, *train, TokenStream()};
    const std::optional<TokenStream> valid = read_token_cache(valid_file, valid_key, vocab_size);
    return valid ? std::optional(SourceTokens{source, *train, *valid}) : std::nullopt;
  };
  std::optional<SourceTokens> tokens = read();
  if (!tokens) {
    create_folder(folder_);
    TokenWriter train(train_file, train_key, vocab_size);
    std::optional<TokenWriter> valid;
    if (split) valid.emplace(valid_file, valid_key, vocab_size);
    ProgressReport report(source, progress);
    const std::unique_ptr<DocumentReader> reader = open_documents(source);
    std::vector<int32_t> ids;
    for (Document document; reader->next(document);) {
      ids.clear();
      tokenizer.encode(document.text, ids);
      if (const std::optional<int32_t> end = tokenizer.end_id()) ids.push_back(*end);
      (split && document.held_out ? *valid : train).add(ids);
      report.add(document.text.size());
    }
    train.commit();
    if (split) valid->commit();
    tokens = read();
    if (!tokens)
      throw std::runtime_error(fmt::format("token cache: {} was damaged while written", train_file.string()));
  }
  // A text of one document that falls into the hold-out would leave nothing to train on.
  if (split && tokens->train.size() == 0) return open(source, tokenizer, HoldOut::none, progress);
  return *tokens;
}

fs::path default_cache_folder() {
  const auto variable = [](const char* name) -> fs::path {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
  };
  if (const fs::path cache = variable("XDG_CACHE_HOME"); cache.is_absolute()) return cache / "vigor";
  if (const fs::path home = variable("HOME"); !home.empty()) return home / ".cache" / "vigor";
  return fs::temp_directory_path() / "vigor-cache";
}

std::unique_ptr<ChunkTokenizer> build_chunk_vocabulary(const std::vector<DataSource>& sources, HoldOut hold_out,
                                                       const ChunkVocabularyBuilder::Options& options,
                                                       const DataProgress& progress) {
  ChunkVocabularyBuilder builder;
  for (const DataSource& source : sources) {
    ProgressReport report(source, progress);
    const std::unique_ptr<DocumentReader> reader = open_documents(source);
    for (Document document; reader->next(document);) {
      if (hold_out == HoldOut::none || !document.held_out) builder.add(document.text);
      report.add(document.text.size());
    }
  }
  return builder.build(options);
}

}  // namespace vigor
