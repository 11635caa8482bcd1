#pragma once
// A byte-level BPE vocabulary from text sources, and what a tokenizer makes of them.
#include <memory>
#include <vector>

#include "models/tokenizer/bpe_trainer.h"
#include "train/data/token_cache.h"

namespace vigor {

// Counts the words of all sources (of their training documents, with a hold-out), some megabytes of documents in memory
// at a time, and trains. `progress` hears of the text, `training` of the tokens found.
std::unique_ptr<BpeTokenizer> build_bpe_vocabulary(const std::vector<DataSource>& sources, HoldOut hold_out,
                                                   const BpeTrainOptions& options, const DataProgress& progress = {},
                                                   const BpeProgress& training = {});

// How well a tokenizer fits a text. Words are what stands between white space.
struct Fertility {
  uint64_t nbytes = 0, words = 0, tokens = 0;
  double tokens_per_word() const { return words == 0 ? 0 : static_cast<double>(tokens) / static_cast<double>(words); }
  double bytes_per_token() const { return tokens == 0 ? 0 : static_cast<double>(nbytes) / static_cast<double>(tokens); }
};
Fertility measure_fertility(const DataSource& source, const Tokenizer& tokenizer);

}  // namespace vigor
