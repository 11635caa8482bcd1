#include "train/data/bpe_vocabulary.h"

#include <omp.h>

#include "models/tokenizer/char_class.h"
#include "models/tokenizer/unicode.h"

namespace vigor {
namespace {

constexpr size_t kBatchBytes = size_t{8} << 20;  // of documents that threads share

// Hands out the documents of a source in batches.
template <class Use>
void for_each_batch(const DataSource& source, HoldOut hold_out, Use&& use) {
  const std::unique_ptr<DocumentReader> reader = open_documents(source);
  std::vector<std::string> batch;
  size_t nbytes = 0;
  for (Document document; reader->next(document);) {
    if (hold_out != HoldOut::none && document.held_out) continue;
    nbytes += document.text.size();
    batch.push_back(std::move(document.text));
    if (nbytes < kBatchBytes) continue;
    use(batch);
    batch.clear();
    nbytes = 0;
  }
  if (!batch.empty()) use(batch);
}

uint64_t count_words(std::string_view text) {
  std::string buffer;
  text = valid_utf8(text, buffer);
  uint64_t words = 0;
  bool in_word = false;
  for (size_t position = 0; position < text.size();) {
    const bool space = (CharClasses::get()[next_point(text, position)] & char_class::kSpace) != 0;
    if (!space && !in_word) ++words;
    in_word = !space;
  }
  return words;
}

}  // namespace

std::unique_ptr<BpeTokenizer> build_bpe_vocabulary(const std::vector<DataSource>& sources, HoldOut hold_out,
                                                   const BpeTrainOptions& options, const DataProgress& progress,
                                                   const BpeProgress& training) {
  BpeWordCounter counter(options);
  for (const DataSource& source : sources) {
    uint64_t done = 0;
    for_each_batch(source, hold_out, [&](const std::vector<std::string>& documents) {
      counter.add(documents);
      for (const std::string& document : documents) done += document.size();
      if (progress) progress(source, done);
    });
  }
  return make_bpe_tokenizer(train_bpe(counter.words(), options, training), options);
}

Fertility measure_fertility(const DataSource& source, const Tokenizer& tokenizer) {
  Fertility sum;
  for_each_batch(source, HoldOut::none, [&](const std::vector<std::string>& documents) {
    uint64_t nbytes = 0, words = 0, tokens = 0;
#pragma omp parallel for schedule(dynamic) reduction(+ : nbytes, words, tokens)
    for (size_t i = 0; i < documents.size(); ++i) {
      nbytes += documents[i].size();
      words += count_words(documents[i]);
      tokens += tokenizer.encode(documents[i]).size();
    }
    sum.nbytes += nbytes;
    sum.words += words;
    sum.tokens += tokens;
  });
  return sum;
}

}  // namespace vigor
