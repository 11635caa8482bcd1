#pragma once
#include <cstdint>
#include <functional>

#include "models/model.h"
#include "train/data/batches.h"

namespace vigor {

struct Evaluation {
  double loss = 0;     // mean over the tokens, natural logarithm
  int64_t tokens = 0;  // that were predicted
};

// The loss of `model` over the whole of `batches`, without gradients. `on_batch` hears the figures so far.
Evaluation evaluate(const LanguageModel& model, EvaluationBatches& batches,
                    const std::function<void(const Evaluation&)>& on_batch = {});

}  // namespace vigor
