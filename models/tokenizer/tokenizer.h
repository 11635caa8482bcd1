#pragma once
// What every tokenizer offers: text to token ids and back. The model folder's own file decides which one it is.
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vigor {

class Tokenizer {
 public:
  static constexpr size_t kMaxFileBytes = size_t{256} << 20;  // the published vocabularies have a few MB

  virtual ~Tokenizer() = default;

  virtual std::string name() const = 0;      // as in config.json's tokenizer_type: "chunk" or "bpe"
  virtual int64_t vocab_size() const = 0;    // encode() returns ids below it; a model may have more (padding)
  virtual uint64_t fingerprint() const = 0;  // equal fingerprints: equal ids for every text
  virtual std::optional<int32_t> end_id() const { return std::nullopt; }  // ends a document; i3 has none
  // The id whose text is exactly `text`, for special tokens ("<|im_end|>"); none: there is no such special token.
  virtual std::optional<int32_t> special_id(std::string_view) const { return std::nullopt; }
  // Whether `id` is a special token: a mark such as the end of a turn, which is never shown to a reader.
  virtual bool is_special(int32_t) const { return false; }

  // Appends the ids of one whole document. Text that is not UTF-8 is read as Python's errors="replace" does.
  virtual void encode(std::string_view text, std::vector<int32_t>& ids) const = 0;
  std::vector<int32_t> encode(std::string_view text) const {
    std::vector<int32_t> ids;
    encode(text, ids);
    return ids;
  }

  // The bytes a token stands for. One token may be part of a code point, so print through StreamDecoder.
  virtual std::string_view token_bytes(int32_t id) const = 0;
  std::string decode(const std::vector<int32_t>& ids) const;

  // Writes the tokenizer's file into a model folder, by rename.
  virtual void save(const std::filesystem::path& folder) const = 0;
};

// Turns ids into text as they come; what it returns is valid UTF-8 at every moment.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}
  std::string push(int32_t id);  // the text that is complete with this id; may be empty
  std::string finish();          // what was held back: U+FFFD if a code point never got its last bytes

 private:
  const Tokenizer* tokenizer_;
  std::string pending_;
};

// The tokenizer of a model folder: the first of chunk_vocab_combined.json, tokenizer.json and vocab.json that has a
// form known here (a chunk vocabulary, or byte-level BPE); `path` may also be such a file. std::invalid_argument when
// there is none, or it is inconsistent.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& path);

}  // namespace vigor
