#pragma once
// Everything a training run can be told, in one struct and one table. The table makes the command-line options, the
// keys of --config run.json, the checks and the copy that each checkpoint stores; a new option is one member and one
// row. Defaults are the published i3 recipe.
#include <cstdint>
#include <filesystem>
#include <set>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace vigor {

// Tokens in a sequence: of the published i3 recipe; Falcon-H1's longest sequences fit no memory here.
inline constexpr int64_t kDefaultSeqLen = 256;

struct RunConfig {
  // model
  std::string model;        // preset, folder or config.json; empty: the demo preset
  std::string tokenizer;    // ready one: folder or file; "bpe", "chunk": to be built; empty: the family's kind, built
  int64_t vocab_size = 0;   // cap of the built vocabulary; 0: the preset's
  bool pad_vocab = false;   // keep V at vocab_size when the data have fewer chunks
  int64_t max_seq_len = 0;  // 0: the preset's
  int64_t layers = 0;       // 0: the preset's
  // data
  std::vector<std::string> data;        // PATH[:WEIGHT]; empty: the built-in stories and dialogues
  std::vector<std::string> valid_data;  // empty: 1 % of the documents is held out by hash
  std::string cache_dir;                // of tokenised text; empty: ~/.cache/vigor
  // length and batch
  int64_t steps = 5000;
  int64_t stop_at = 0;  // end early without changing the schedule; 0: run all steps
  int64_t batch_size = 4;
  int64_t seq_len = 0;     // 0: kDefaultSeqLen, or the model's max_seq_len if that is less
  int64_t accumulate = 1;  // batches that are added up to one step
  int64_t seed = 1;
  // optimiser
  double lr = 3e-4;
  double min_lr_ratio = 0.1;  // of lr, at the end of the cosine
  int64_t warmup = 100;       // steps
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.01;
  double clip = 1.0;  // global norm; 0: no clipping
  double dropout = 0.0;
  bool recompute = false;            // recompute activations in backward: less memory, about a third slower
  double filter_gradients = 0;       // threshold of the head's gradients (kernels/linear_cross_entropy); 0: all of them
  std::string dtype = "f32";         // f32, bf16 (with f32 master weights, norms, states and losses)
  std::string activations = "f32";   // f32, bf16 beside f32 weights
  std::string moments = "f32";       // of AdamW: f32, bf16 with stochastic rounding
  bool stochastic_rounding = false;  // of bf16 weights
  // reports
  int64_t log_every = 10;
  int64_t eval_every = 500;
  int64_t eval_batches = 20;
  int64_t save_every = 500;
  int64_t sample_every = 500;
  int64_t sample_tokens = 60;
  std::vector<std::string> prompts = {"hello", "user: tell me", "once upon a time"};
  bool tensorboard = true;
  // run
  std::string out = "runs/demo";
  bool resume = false;
  int64_t threads = 0;                // 0: all cores
  std::string device = "auto";        // auto, cpu, cuda, emulated
  bool cuda_graph = false;            // capture the step once and replay it
  std::string attention = "own";      // own or cudnn, on a GPU in bf16
  std::string gemm_plan = "default";  // which library computes which matrix product: a file, default or off
  bool json = false;                  // metrics as JSON lines on standard output
};

struct RunOption {
  using Field = std::variant<int64_t RunConfig::*, double RunConfig::*, bool RunConfig::*, std::string RunConfig::*,
                             std::vector<std::string> RunConfig::*>;
  const char* name;  // "batch_size"; on the command line --batch-size
  const char* group;
  Field field;
  const char* help;
  double low;  // least and greatest value of a number
  double high;
  const char* value = "TEXT";  // what the help calls a text
};
std::span<const RunOption> run_options();

// Takes the keys of a JSON object; reports every unknown key (with the nearest name), wrong type and value out of range
// at once (std::invalid_argument). Keys that were set are added to `given`. `origin` begins the message: a file name.
void read_run_config(const std::string& json_text, const std::string& origin, RunConfig& config,
                     std::set<std::string>& given);
// All options as a JSON object, for checkpoints.
std::string to_json(const RunConfig& config);
// Ranges and contradictions, all at once (std::invalid_argument).
void check_run_config(const RunConfig& config);

}  // namespace vigor
