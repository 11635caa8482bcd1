#pragma once
#include <cstdint>
#include <functional>

#include "models/model.h"
#include "models/tokenizer/tokenizer.h"
#include "train/data/batches.h"

namespace vigor {

struct Evaluation {
  double loss = 0;     // mean over the tokens, natural logarithm
  int64_t tokens = 0;  // that were predicted
  int64_t bytes = 0;   // of text in these tokens; 0 where no tokenizer was given

  // The loss in a unit that models with different tokenizers can be compared in. A tokenizer that lower-cases its text
  // has less to predict.
  double bits_per_byte() const;
};

// The loss of `model` over the whole of `batches`, without gradients. `tokenizer`, where given, counts the bytes.
// `on_batch` hears the figures so far.
Evaluation evaluate(const LanguageModel& model, EvaluationBatches& batches, const Tokenizer* tokenizer = nullptr,
                    const std::function<void(const Evaluation&)>& on_batch = {});

}  // namespace vigor
