#include "train/run_config.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "tensor/check.h"
#include "tensor/file.h"
#include "train/device_choice.h"

namespace vigor {
namespace {

using json = nlohmann::json;

constexpr double kBig = 1e15;

const RunOption kOptions[] = {
    {"model", "Model", &RunConfig::model, "preset (vigor info --help lists them), model folder or config.json", 0, 0,
     "NAME"},
    {"tokenizer", "Model", &RunConfig::tokenizer, "a ready one (folder or file), or bpe or chunk to build one", 0, 0,
     "PATH|bpe|chunk"},
    {"vocab_size", "Model", &RunConfig::vocab_size, "cap of the built vocabulary", 0, 1e7},
    {"pad_vocab", "Model", &RunConfig::pad_vocab, "keep V at the cap when the vocabulary is smaller", 0, 0},
    {"max_seq_len", "Model", &RunConfig::max_seq_len, "longest sequence the model has positions for", 0, 1e7},
    {"layers", "Model", &RunConfig::layers, "number of layers (hybrid and attention in the preset's proportion)", 0,
     1e4},
    {"data", "Data", &RunConfig::data, "PATH[:WEIGHT], .txt, .jsonl or a folder; may be repeated", 0, 0, "PATH"},
    {"valid_data", "Data", &RunConfig::valid_data, "held-out text; without it 1 % of the documents is held out", 0, 0,
     "PATH"},
    {"cache_dir", "Data", &RunConfig::cache_dir, "of tokenised text; default: ~/.cache/vigor", 0, 0, "DIR"},
    {"steps", "Length", &RunConfig::steps, "optimiser steps of the whole schedule", 1, kBig},
    {"stop_at", "Length", &RunConfig::stop_at, "stop after this step; the schedule stays that of --steps", 0, kBig},
    {"batch_size", "Length", &RunConfig::batch_size, "sequences in a batch", 1, 1e6},
    {"seq_len", "Length", &RunConfig::seq_len, "tokens in a sequence; default: 256, or max_seq_len if that is less", 0,
     1e7},
    {"accumulate", "Length", &RunConfig::accumulate, "batches added up to one step", 1, 1e6},
    {"seed", "Length", &RunConfig::seed, "of initialisation, data order, dropout and samples", 0, kBig},
    {"lr", "Optimiser", &RunConfig::lr, "learning rate after warm-up", 0, 1e3},
    {"min_lr_ratio", "Optimiser", &RunConfig::min_lr_ratio, "learning rate at the end, as a share of lr", 0, 1},
    {"warmup", "Optimiser", &RunConfig::warmup, "steps of linear warm-up", 0, kBig},
    {"beta1", "Optimiser", &RunConfig::beta1, "AdamW", 0, 0.999999},
    {"beta2", "Optimiser", &RunConfig::beta2, "AdamW", 0, 0.9999999},
    {"eps", "Optimiser", &RunConfig::eps, "AdamW", 1e-30, 1},
    {"weight_decay", "Optimiser", &RunConfig::weight_decay, "AdamW, of every parameter", 0, 10},
    {"clip", "Optimiser", &RunConfig::clip, "clip gradients to this global norm; 0: never", 0, kBig},
    {"dropout", "Optimiser", &RunConfig::dropout, "probability of dropping an activation", 0, 0.99},
    {"recompute", "Optimiser", &RunConfig::recompute, "recompute activations in backward: less memory, slower", 0, 0},
    {"filter_gradients", "Optimiser", &RunConfig::filter_gradients,
     "skip the head's gradients below this probability (CPU); 0: none", 0, 1},
    {"dtype", "Optimiser", &RunConfig::dtype, "f32, or bf16 weights and activations beside f32 master weights", 0, 0,
     "f32|bf16"},
    {"activations", "Optimiser", &RunConfig::activations,
     "bf16: keep activations in half the memory beside f32 weights", 0, 0, "f32|bf16"},
    {"moments", "Optimiser", &RunConfig::moments, "bf16: AdamW's moments in half the memory, rounded at random", 0, 0,
     "f32|bf16"},
    {"stochastic_rounding", "Optimiser", &RunConfig::stochastic_rounding, "round bf16 weights at random, unbiased", 0,
     0},
    {"log_every", "Reports", &RunConfig::log_every, "steps between lines", 1, kBig},
    {"eval_every", "Reports", &RunConfig::eval_every, "steps between evaluations; 0: never", 0, kBig},
    {"eval_batches", "Reports", &RunConfig::eval_batches, "batches of one evaluation", 1, 1e6},
    {"save_every", "Reports", &RunConfig::save_every, "steps between checkpoints; 0: only at the end", 0, kBig},
    {"sample_every", "Reports", &RunConfig::sample_every, "steps between samples; 0: never", 0, kBig},
    {"sample_tokens", "Reports", &RunConfig::sample_tokens, "tokens of a sample", 1, 1e5},
    {"prompts", "Reports", &RunConfig::prompts, "what samples continue", 0, 0},
    {"tensorboard", "Reports", &RunConfig::tensorboard, "write TensorBoard event files", 0, 0},
    {"out", "Run", &RunConfig::out, "folder for the model, checkpoints and metrics", 0, 0, "DIR"},
    {"resume", "Run", &RunConfig::resume, "continue from the last checkpoint in --out", 0, 0},
    {"threads", "Run", &RunConfig::threads, "CPU threads; 0: all cores", 0, 4096},
    {"device", "Run", &RunConfig::device, "auto (a GPU where there is one), cpu, cuda or emulated", 0, 0,
     "auto|cpu|cuda|emulated"},
    {"cuda_graph", "Run", &RunConfig::cuda_graph, "capture the step in a CUDA graph and replay it", 0, 0},
    {"attention", "Run", &RunConfig::attention, "own kernels, or cudnn (GPU, bf16; untested)", 0, 0, "own|cudnn"},
    {"gemm_plan", "Run", &RunConfig::gemm_plan,
     "libraries for matrix products on the CPU: what `vigor tune` wrote to FILE or by default, or off", 0, 0,
     "FILE|default|off"},
    {"json", "Run", &RunConfig::json, "metrics as JSON lines on standard output", 0, 0},
};

// Letters to insert, delete, replace or swap with a neighbour to turn a into b.
size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> before(b.size() + 1);
  std::iota(before.begin(), before.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    std::vector<size_t> row(b.size() + 1, i);
    for (size_t j = 1; j <= b.size(); ++j)
      row[j] = std::min({before[j] + 1, row[j - 1] + 1, before[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
    before = std::move(row);
  }
  return before.back();
}

const RunOption& nearest_option(const std::string& name) {
  return *std::min_element(std::begin(kOptions), std::end(kOptions), [&](const RunOption& a, const RunOption& b) {
    return edit_distance(name, a.name) < edit_distance(name, b.name);
  });
}

template <class T>
const char* type_name() {
  if constexpr (std::is_same_v<T, int64_t>) return "a whole number";
  if constexpr (std::is_same_v<T, double>) return "a number";
  if constexpr (std::is_same_v<T, bool>) return "true or false";
  if constexpr (std::is_same_v<T, std::string>) return "a string";
  return "a list of strings";
}

// Returns "" or what is wrong with the value.
template <class T>
std::string assign(const json& value, T& field) {
  bool fits = false;
  if constexpr (std::is_same_v<T, int64_t>)
    fits = value.is_number_integer() &&
           !(value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX));
  else if constexpr (std::is_same_v<T, double>) fits = value.is_number();
  else if constexpr (std::is_same_v<T, bool>) fits = value.is_boolean();
  else if constexpr (std::is_same_v<T, std::string>) fits = value.is_string();
  else fits = value.is_array() && std::all_of(value.begin(), value.end(), [](const json& v) { return v.is_string(); });
  if (!fits) return fmt::format("must be {}; got {}", type_name<T>(), value.type_name());
  field = value.get<T>();
  return "";
}

std::string join(const std::vector<std::string>& lines) {
  std::string out;
  for (const std::string& line : lines) out += (out.empty() ? "" : "; ") + line;
  return out;
}

}  // namespace

std::span<const RunOption> run_options() { return kOptions; }

void read_run_config(const std::string& json_text, const std::string& origin, RunConfig& config,
                     std::set<std::string>& given) {
  const json object = json::parse(json_text, nullptr, false);
  check(!object.is_discarded(), "{}: not valid JSON", origin);
  check(object.is_object(), "{}: must be a JSON object; got {}", origin, object.type_name());
  std::vector<std::string> wrong;
  for (const auto& [key, value] : object.items()) {
    const RunOption& option = nearest_option(key);
    if (option.name != key) {
      wrong.push_back(fmt::format("unknown key '{}' (nearest: '{}')", printable(key), option.name));
      continue;
    }
    const json& v = value;
    const std::string problem = std::visit([&](auto field) { return assign(v, config.*field); }, option.field);
    if (problem.empty()) given.insert(option.name);
    else wrong.push_back(fmt::format("'{}' {}", option.name, problem));
  }
  check(wrong.empty(), "{}: {}", origin, join(wrong));
}

std::string to_json(const RunConfig& config) {
  json object;
  for (const RunOption& option : kOptions)
    std::visit([&](auto field) { object[option.name] = config.*field; }, option.field);
  return object.dump(2);
}

void check_run_config(const RunConfig& config) {
  std::vector<std::string> wrong;
  for (const RunOption& option : kOptions) {
    double value = 0;
    if (const auto* i = std::get_if<int64_t RunConfig::*>(&option.field)) value = static_cast<double>(config.*(*i));
    else if (const auto* d = std::get_if<double RunConfig::*>(&option.field)) value = config.*(*d);
    else continue;
    if (!(value >= option.low && value <= option.high))
      wrong.push_back(
          fmt::format("{} must be from {:g} to {:g}; got {:g}", option.name, option.low, option.high, value));
  }
  if (config.out.empty()) wrong.push_back("out must not be empty");
  if (config.gemm_plan.empty()) wrong.push_back("gemm_plan must not be empty");
  if (std::find(kDeviceNames.begin(), kDeviceNames.end(), config.device) == kDeviceNames.end())
    wrong.push_back("device must be auto, cpu, cuda or emulated; got " + printable(config.device));
  for (const auto& [name, value] :
       {std::pair("dtype", config.dtype), {"activations", config.activations}, {"moments", config.moments}})
    if (value != "f32" && value != "bf16")
      wrong.push_back(fmt::format("{} must be f32 or bf16; got {}", name, printable(value)));
  if (config.activations == "bf16" && config.dtype == "bf16")
    wrong.push_back("activations bf16 is for dtype f32: dtype bf16 has bf16 activations already");
  if (config.attention != "own" && config.attention != "cudnn")
    wrong.push_back("attention must be own or cudnn; got " + printable(config.attention));
  if (config.stochastic_rounding && config.dtype != "bf16") wrong.push_back("stochastic_rounding needs dtype bf16");
  if (config.stop_at > config.steps) wrong.push_back("stop_at must not be above steps");
  if (config.pad_vocab && config.vocab_size == 0 && config.model.empty()) wrong.push_back("pad_vocab needs vocab_size");
  check(wrong.empty(), "{}", join(wrong));
}

}  // namespace vigor
