#pragma once
// From options to everything a training run works with: the defaults of the built-in demo, the checkpoint of --resume,
// vocabulary, token streams, model.
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "kernels/gemm/gemm_plan.h"
#include "models/model.h"
#include "models/tokenizer/tokenizer.h"
#include "train/checkpoint.h"
#include "train/data/batches.h"
#include "train/run_config.h"

namespace vigor {

struct RunSetup {
  RunConfig config;                      // complete: nothing left to a default
  Device device;                         // that `config.device` named
  std::unique_ptr<LanguageModel> model;  // with weights and gradient memory
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<BatchSampler> batches;
  std::unique_ptr<EvaluationBatches> held_out;  // null: nothing was held out
  std::string data_key;                         // changes when tokenizer or data do
  GemmPlan gemm_plan;                           // on resume the checkpoint's, unless --gemm-plan is given
  std::optional<Checkpoint> resumed;
  std::vector<std::string> notes;  // lines for the user

  // Writes the model as it is now; the masters of `optimizer` in place of bf16 weights.
  ModelWriter model_writer(const Optimizer& optimizer) const;
};

// Throws std::invalid_argument when options, data and model do not fit together. `note` hears what takes long.
RunSetup prepare_run(RunConfig config, const std::set<std::string>& given,
                     const std::function<void(const std::string&)>& note);

}  // namespace vigor
