#pragma once
// Training a byte-level BPE vocabulary from text.
//
// Words are counted first (BpeWordCounter), so that memory grows with the number of different words and never with the
// text. Then the pair of neighbours that occurs most often becomes a new token, again and again; of equally frequent
// pairs the one with the smaller left id, then right id. Only the words that hold the pair are looked at, and the
// counts of their pairs corrected, so that a step costs little. Neither the number of threads nor the order of the
// documents changes the result. It is that of the `tokenizers` library's BpeTrainer with the alphabet of all bytes.
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "models/tokenizer/added_tokens.h"
#include "models/tokenizer/bpe_merges.h"
#include "models/tokenizer/bpe_tokenizer.h"
#include "models/tokenizer/word_pattern.h"

namespace vigor {

struct BpeTrainOptions {
  int64_t vocab_size = 32768;  // special tokens and the 256 bytes included; fewer if the text has too few pairs
  int64_t min_count = 2;       // rarer pairs become no token
  WordPattern words = WordPattern::falcon_h1();
  // They get the first ids. The first one ends documents.
  std::vector<std::string> special_tokens = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};

  void check() const;  // std::invalid_argument
};

class BpeWordCounter {
 public:
  explicit BpeWordCounter(const BpeTrainOptions& options);
  // Counts the words of some documents, one thread a document. Special tokens in the text are left out.
  void add(std::span<const std::string> documents);

  struct WordCount {
    std::string word;
    int64_t count;
  };
  std::vector<WordCount> words() const;  // in the order of their bytes

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view word) const;
  };
  using Counts = std::unordered_map<std::string, int64_t, Hash, std::equal_to<>>;
  void count(std::string_view document, Counts& counts) const;

  WordPattern pattern_;
  AddedTokenMatcher special_tokens_;
  std::vector<Counts> counts_;  // of each thread
};

// Ids: special tokens, the bytes in the order of the byte alphabet, then one for each merge.
struct BpeVocabulary {
  std::vector<std::string> tokens;  // bytes by id; special tokens as they are
  std::vector<BpeMerge> merges;     // in the order in which they were found
};
// Hears now and then how many tokens there are.
using BpeProgress = std::function<void(int64_t tokens)>;
BpeVocabulary train_bpe(const std::vector<BpeWordCounter::WordCount>& words, const BpeTrainOptions& options,
                        const BpeProgress& progress = {});

// The tokenizer, with a tokenizer.json and a tokenizer_config.json that Hugging Face's libraries load. With
// <|im_start|> and <|im_end|> among the special tokens it has a chat template.
std::unique_ptr<BpeTokenizer> make_bpe_tokenizer(const BpeVocabulary& vocabulary, const BpeTrainOptions& options);

}  // namespace vigor
