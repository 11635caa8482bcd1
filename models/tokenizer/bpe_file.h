#pragma once
// Reading a Hugging Face tokenizer.json with a byte-level BPE model. docs/tokenizers.md lists what is understood.
//
// The file is parsed as a stream: vocabulary and merges go into flat lists, and what little else there is may have at
// most kMaxOtherValues values, so that memory stays in proportion to the file.
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "models/tokenizer/added_tokens.h"

namespace vigor {

struct BpeFile {
  static constexpr size_t kMaxTokens = size_t{1} << 22;
  static constexpr size_t kMaxMerges = size_t{1} << 22;
  static constexpr size_t kMaxOtherValues = size_t{1} << 20;
  static constexpr size_t kMaxTokenBytes = size_t{1} << 16;
  static constexpr int64_t kMaxDepth = 64;

  std::vector<std::pair<std::string, int32_t>> vocab;       // token in the byte alphabet, id
  std::vector<std::pair<std::string, std::string>> merges;  // in the order of their ranks
  bool ignore_merges = false;
  bool nfc = false;           // the text is brought into Unicode's normal form C first
  std::string pre_tokenizer;  // JSON
  std::vector<AddedToken> added_tokens;
};

// std::invalid_argument, one line that begins with "tokenizer: <origin>", for a file that is broken or asks for
// something that is not supported: another model than BPE, dropout, prefixes or suffixes of words, other normalizers or
// decoders.
BpeFile read_bpe_file(std::string_view json, std::string_view origin);

}  // namespace vigor
