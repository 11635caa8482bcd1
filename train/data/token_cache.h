#pragma once
// Token ids of whole corpora, tokenised once, kept on disk and memory-mapped.
//
// A cache file holds the ids of one source and split: u16 when the vocabulary has at most 65,536 entries, else i32, and
// a footer with the key (hash of the source's content, fingerprint of the tokenizer, split), the counts and a hash of
// the ids. It is written under a temporary name, synced and renamed. When opened it is checked in full (footer, sizes,
// hash, every id below the vocabulary size); a file that fails is made anew, never trusted. Deleting the folder is
// safe.
//
// Memory does not depend on the size of the corpus: documents come one by one, ids go to the file in blocks.
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "models/tokenizer/chunk_tokenizer.h"
#include "tensor/file.h"
#include "train/data/documents.h"

namespace vigor {

// Ids of documents joined with nothing between (after an end token each, if the tokenizer has one). Cheap to copy.
class TokenStream {
 public:
  TokenStream() : TokenStream(std::vector<int32_t>{}) {}
  explicit TokenStream(std::vector<int32_t> ids);
  // `count` ids of `id_bytes` (2 or 4) each, from the start of the file.
  TokenStream(std::shared_ptr<const MappedFile> file, int64_t count, int id_bytes);

  int64_t size() const { return size_; }
  void read(int64_t first, std::span<int32_t> ids) const;  // ids first .. first + ids.size() - 1, which must exist
  // Has the system read the pages of `count` ids from `first` on in the background, so that read() need not wait for
  // the disk. They must exist. Does nothing for ids that are no file.
  void prefetch(int64_t first, int64_t count) const;

 private:
  std::shared_ptr<const MappedFile> file_;  // the ids are in it, or in
  std::shared_ptr<const std::vector<int32_t>> values_;
  const void* data_;
  int64_t size_;
  int id_bytes_;
};

enum class HoldOut { none, one_percent };  // of the documents, for validation

struct SourceTokens {
  DataSource source;
  TokenStream train;
  TokenStream valid;  // empty without hold-out, or when the data have too few documents for one to fall into it
};

// Called now and then during the long parts, with the bytes of text done so far.
using DataProgress = std::function<void(const DataSource& source, uint64_t nbytes)>;

class TokenCache {
 public:
  explicit TokenCache(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // Opens the ids of a source; tokenises it first when no valid cache file is there. Errors: those of documents.h;
  // std::runtime_error when the folder or a file cannot be written (full disk), with nothing left behind.
  SourceTokens open(const DataSource& source, const Tokenizer& tokenizer, HoldOut hold_out,
                    const DataProgress& progress = {}) const;

  const std::filesystem::path& folder() const { return folder_; }

 private:
  std::filesystem::path folder_;
};

// $XDG_CACHE_HOME/vigor, else ~/.cache/vigor, else vigor-cache in the folder for temporary files.
std::filesystem::path default_cache_folder();

// The identity of one cache file.
struct TokenCacheKey {
  uint64_t source, tokenizer;
  uint64_t split;  // 0: all documents, 1: training, 2: validation
};
// The ids in a cache file if it is complete, undamaged and made for `key`; nothing otherwise.
std::optional<TokenStream> read_token_cache(const std::filesystem::path& path, const TokenCacheKey& key,
                                            int64_t vocab_size);

// Counts the chunks of all sources (of their training documents, with a hold-out) into a vocabulary.
std::unique_ptr<ChunkTokenizer> build_chunk_vocabulary(const std::vector<DataSource>& sources, HoldOut hold_out,
                                                       const ChunkVocabularyBuilder::Options& options,
                                                       const DataProgress& progress = {});

}  // namespace vigor
