#pragma once
// What a run needs to continue bit for bit, on disk:
//
//   OUT/last/       config.json, model.safetensors, the tokenizer's file, optimizer.safetensors, run_state.json
//   OUT/previous/   the checkpoint before it, used when `last` turns out to be damaged
//   OUT/best/       the model with the lowest held-out loss (no optimiser)
//   OUT/            the files of the model of `last` (links where possible), so that OUT itself is a model folder
//
// Each folder is written under a temporary name, synced and renamed (tensor/file.h); run_state.json holds size and hash
// of every other file, so that a damaged checkpoint is found out and not trained on.
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <string>

#include "train/optimizer.h"

namespace vigor {

// All random numbers and the data position are functions of (seed, step), so the step is the whole random state.
struct RunState {
  int64_t step = 0;    // optimiser steps done
  int64_t tokens = 0;  // trained on so far
  double best_eval_loss = std::numeric_limits<double>::infinity();
  std::string gemm_plan;   // kernels/gemm/gemm_plan.h: which library computed which product
  std::string run_config;  // JSON of train/run_config.h
  std::string data_key;    // identifies tokenizer and token streams
};

// Writes the model's files (config.json, model.safetensors, tokenizer) into a folder.
using ModelWriter = std::function<void(const std::filesystem::path& folder)>;

// OUT/last becomes the new checkpoint and OUT/previous what was `last`; then OUT's own model files are renewed.
void save_checkpoint(const std::filesystem::path& out, const ModelWriter& write_model, const Optimizer& optimizer,
                     const RunState& state);
void save_best(const std::filesystem::path& out, const ModelWriter& write_model);

struct Checkpoint {
  std::filesystem::path folder;
  RunState state;
};

// The newest checkpoint of OUT whose files are all as they were written; `warn` hears about damaged ones that are
// passed over. Throws std::runtime_error when there is none.
Checkpoint find_checkpoint(const std::filesystem::path& out, const std::function<void(const std::string&)>& warn);
bool has_checkpoint(const std::filesystem::path& out);
// Reads one checkpoint folder and verifies it; std::invalid_argument says what is wrong. For find_checkpoint and tests.
RunState read_run_state(const std::filesystem::path& folder);
// Moments, and the masters of bf16 weights from the model's file.
void load_optimizer(const std::filesystem::path& folder, Optimizer& optimizer);

}  // namespace vigor
