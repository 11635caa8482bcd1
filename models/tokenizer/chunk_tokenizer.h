#pragma once
// The chunk tokenizer of the i3 family: lower-cased text is cut into chunks of two or three code points.
//
// At position p of n code points, three are taken if p + 3 <= n and one of these holds, else two (or what is left):
//   - they are one of 34 common English trigrams;
//   - the code point at p - 1 is a space (U+0020 only), or the one at p + 3 is;
// A chunk that is not in the vocabulary is replaced by its longest known prefix; if it has none, the unknown token
// (id 0) is emitted and one code point is skipped.
#include "models/tokenizer/chunk_table.h"
#include "models/tokenizer/tokenizer.h"

namespace vigor {

// How many code points the chunk at `position` takes, 1 to 3; `position` must lie inside `points`.
size_t chunk_length(std::u32string_view points, size_t position);

class ChunkTokenizer : public Tokenizer {
 public:
  static constexpr std::string_view kFileName = "chunk_vocab_combined.json";
  static constexpr std::string_view kUnknown = "<UNK>";
  static constexpr int64_t kMaxVocabSize = int64_t{1} << 24;
  static constexpr size_t kMaxChunkBytes = 256;  // longer than any chunk; room for special tokens of other makers

  // `chunks[id]` is the text of each id; chunks[unknown_id] is the unknown token. `vocab_size` above the number of
  // chunks pads the vocabulary with ids that are never produced and decode as unknown; 0 means no padding.
  // std::invalid_argument: empty, over-long or repeated chunks, an id or size out of range.
  explicit ChunkTokenizer(std::vector<std::string> chunks, int64_t vocab_size = 0, int32_t unknown_id = 0);

  // Reads a vocabulary file. std::invalid_argument, one line that begins with `origin`, for whatever is wrong with it.
  static bool recognizes(std::string_view json);  // whether this is meant to be a chunk vocabulary
  static std::unique_ptr<ChunkTokenizer> load(const std::filesystem::path& file);
  static std::unique_ptr<ChunkTokenizer> parse(std::string_view json, std::string_view origin);

  std::string name() const override { return "chunk"; }
  int64_t vocab_size() const override { return vocab_size_; }
  int64_t chunk_count() const { return static_cast<int64_t>(chunks_.size()); }  // vocab_size() without the padding
  int32_t unknown_id() const { return unknown_id_; }
  uint64_t fingerprint() const override { return fingerprint_; }
  using Tokenizer::encode;
  void encode(std::string_view text, std::vector<int32_t>& ids) const override;
  std::string_view token_bytes(int32_t id) const override;
  std::string to_json() const;
  void save(const std::filesystem::path& folder) const override;

 private:
  std::vector<std::string> chunks_;
  ChunkTable<int32_t> ids_;
  int64_t vocab_size_;
  int32_t unknown_id_;
  uint64_t fingerprint_;
};

// Counts chunks document by document; memory grows with the number of different chunks, never with the text.
class ChunkVocabularyBuilder {
 public:
  struct Options {
    int64_t max_size = 0;    // cap on the size, the unknown token included; 0: none
    uint64_t min_count = 1;  // rarer chunks are left out
    bool pad = false;        // fewer chunks than max_size: pad up to it, instead of a smaller vocabulary
  };
  void add(std::string_view document);
  // Ids from 1 by falling count, equal counts in code point order; id 0 is the unknown token.
  std::unique_ptr<ChunkTokenizer> build(const Options& options) const;

 private:
  ChunkTable<uint64_t> counts_;
};

}  // namespace vigor
