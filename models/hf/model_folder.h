#pragma once
// Model folders as Hugging Face lays them out: config.json, the weights, the tokenizer's file.
//
// Weights are read from the first of these that is there: model.safetensors, model.safetensors.index.json (shards),
// pytorch_model.bin, pytorch_model_best.bin. Names may all carry the family's prefix ("i3."). bf16 and f16 weights are
// converted to the model's dtype. Saving writes config.json, model.safetensors (or shards of it) and the tokenizer's
// file. Neither holds the weights twice: files are mapped and copied, or converted and written, tensor by tensor.
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "models/model.h"
#include "models/tokenizer/tokenizer.h"

namespace vigor {

struct ModelFolder {
  std::unique_ptr<LanguageModel> model;  // allocated and loaded
  std::unique_ptr<Tokenizer> tokenizer;  // nullptr when the folder has no tokenizer file
  std::vector<std::string> warnings;     // one line each, for the user
};

struct LoadOptions {
  bool need_tokenizer = true;  // false: a folder without one loads, for work on ids
  bool rope_compat = false;    // rotary positions with the float32 angles of transformers, if the model has any
  ArenaOptions arena;          // how the parameters are laid out
};

// Throws std::invalid_argument for a folder that is wrong, with every missing, unexpected and misshapen weight and
// every weight of an unreadable dtype in one message; for a vocabulary that does not fit the model; std::runtime_error
// for files that cannot be read. Nothing of the model's size is allocated before names and shapes are known to fit.
ModelFolder load_model_folder(const std::filesystem::path& folder, const LoadOptions& options = {});

struct SaveOptions {
  Dtype dtype = Dtype::f32;     // or bf16; f32 loads back bit-identically
  int64_t max_shard_bytes = 0;  // of one file of weights; 0: a single file
  // The values to write in place of a parameter's own, such as the f32 master of a bf16 weight; empty: its own.
  std::function<Tensor(const ArenaSlot& parameter)> value_of = {};
};

// Replaces `folder` as a whole or leaves it as it was (tensor/file.h, AtomicFolder). `tokenizer` may be nullptr.
void save_model_folder(const std::filesystem::path& folder, const LanguageModel& model, const Tokenizer* tokenizer,
                       const SaveOptions& options = {});
// The same files into a folder that exists, each by itself; for callers that make the folder atomic themselves.
void write_model_files(const std::filesystem::path& folder, const LanguageModel& model, const Tokenizer* tokenizer,
                       const SaveOptions& options = {});

}  // namespace vigor
