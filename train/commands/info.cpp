// vigor info: what a model consists of and costs, and what this build contains.
#include <fmt/core.h>
#include <fmt/ranges.h>
#include <omp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "kernels/attention/attention_backend.h"
#include "kernels/gemm/gemm_plan.h"
#include "models/families.h"
#include "tensor/simd.h"
#include "train/commands/common.h"
#include "train/device_choice.h"
#include "train/metrics/progress.h"

namespace vigor {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct InfoCall {
  std::string model;
  ConfigOverrides overrides;
  int64_t batch_size = 4;
  int64_t seq_len = 0;  // 0: max_seq_len
  bool build = false;
  bool json = false;
};

bool has_overrides(const ConfigOverrides& o) { return o.vocab_size > 0 || o.max_seq_len > 0 || o.layers > 0; }

// A preset and a config.json need no memory for the model; a folder is loaded, which also proves that its weights fit.
std::unique_ptr<LanguageModel> describe_model(const InfoCall& call) {
  const bool by_config = (is_preset(call.model) && !fs::exists(call.model)) || fs::is_regular_file(call.model);
  if (!by_config) {
    if (has_overrides(call.overrides))
      throw UsageError(
          "info: --vocab-size, --max-seq-len and --layers are for presets and config.json; a folder has weights");
    LoadOptions options;
    options.need_tokenizer = false;
    return std::move(open_model(call.model, "info", options).model);
  }
  const std::unique_ptr<ModelConfig> config =
      is_preset(call.model) ? preset_config(call.model) : read_config(call.model);
  apply_overrides(*config, call.overrides);
  return make_model(*config);
}

// The parameters outside the layers, by the first part of their names: embed, pos_embed, ln_f, head.
std::vector<LayerSummary> other_parts(const LanguageModel& model, const std::vector<LayerSummary>& layers) {
  std::vector<LayerSummary> parts;
  for (const NamedParameter& parameter : model.named_parameters()) {
    const auto in_layer = [&](const LayerSummary& layer) {
      return parameter.name.compare(0, layer.name.size() + 1, layer.name + ".") == 0;
    };
    if (std::any_of(layers.begin(), layers.end(), in_layer)) continue;
    const std::string name = parameter.name.substr(0, parameter.name.find_last_of('.'));
    if (parts.empty() || parts.back().name != name) parts.push_back({name, "", 0});
    parts.back().parameters += parameter.sizes.numel();
  }
  return parts;
}

#ifdef __clang__
constexpr const char* kCompiler = __VERSION__;  // "Clang 14.0.6"
#else
constexpr const char* kCompiler = "GCC " __VERSION__;
#endif

int64_t rounded(double value) { return std::llround(value); }

Json to_json(const LayerSummary& part) {
  Json object = {{"name", part.name}};
  if (!part.kind.empty()) object["kind"] = part.kind;
  object["parameters"] = part.parameters;
  return object;
}

void print_model(const InfoCall& call, const LanguageModel& model) {
  const ModelConfig& config = model.config();
  const int64_t T = call.seq_len > 0 ? call.seq_len : config.max_seq_len;
  if (T > config.max_seq_len)
    throw UsageError(fmt::format("info: --seq-len {} is above the model's max_seq_len {}", T, config.max_seq_len));
  const std::vector<LayerSummary> layers = model.layer_summaries(), others = other_parts(model, layers);
  const MemoryEstimate memory = model.memory_estimate(call.batch_size, T);
  const double flops = model.forward_flops_per_token(T), training_flops = model.training_flops_per_token(T);
  if (call.json) {
    Json object = {{"model", call.model},
                   {"model_type", config.model_type()},
                   {"parameters", model.parameter_count()},
                   {"vocab_size", config.vocab_size},
                   {"d_model", config.d_model},
                   {"max_seq_len", config.max_seq_len},
                   {"layers", Json::array()},
                   {"others", Json::array()},
                   {"flops_per_token", rounded(flops)},
                   {"training_flops_per_token", rounded(training_flops)}};
    for (const LayerSummary& layer : layers) object["layers"].push_back(to_json(layer));
    for (const LayerSummary& part : others) object["others"].push_back(to_json(part));
    if (!config.notes().empty()) object["notes"] = config.notes();
    object["memory"] = {{"batch_size", call.batch_size},      {"seq_len", T},
                        {"weights", rounded(memory.weights)}, {"gradients", rounded(memory.gradients)},
                        {"moments", rounded(memory.moments)}, {"activations", rounded(memory.activations)},
                        {"total", rounded(memory.total())}};
    write_standard_output(object.dump() + "\n");
    return;
  }
  const auto bytes = [](double value) { return Progress::bytes(rounded(value)); };
  std::string text = fmt::format("{} ({}): {} parameters\nvocabulary {}, width {}, sequences of at most {} tokens\n\n",
                                 call.model, config.model_type(), Progress::count(model.parameter_count()),
                                 Progress::count(config.vocab_size), config.d_model, config.max_seq_len);
  size_t name_width = 0;
  for (const std::vector<LayerSummary>* parts : {&layers, &others})
    for (const LayerSummary& part : *parts) name_width = std::max(name_width, part.name.size() + 2);
  const auto row = [&](const LayerSummary& part) {
    text += fmt::format("  {:<{}}{:<20}{:>14}\n", part.name, name_width, part.kind, Progress::count(part.parameters));
  };
  for (const LayerSummary& layer : layers) row(layer);
  for (const LayerSummary& part : others) row(part);
  for (const std::string& note : config.notes()) text += "\n" + note;
  text += fmt::format("\nFLOPs per token at {} tokens: {:.1f} million forward, {:.1f} million in training\n", T,
                      flops / 1e6, training_flops / 1e6);
  text += fmt::format(
      "memory of training in f32 at batch {} x {}: {} (weights {}, gradients {}, moments {}, activations {})\n",
      call.batch_size, T, bytes(memory.total()), bytes(memory.weights), bytes(memory.gradients), bytes(memory.moments),
      bytes(memory.activations));
  write_standard_output(text);
}

// What the CUDA half was compiled for, and whether there is a GPU for it.
std::string cuda_build_text() {
  if (!kCudaBuild) return "no (" + cuda_problem() + ")";
  const std::string problem = cuda_problem();
  return fmt::format("yes, {}; {}", VIGOR_CUDA_BUILD,
                     problem.empty() ? cuda_description() : "no GPU to run it on: " + problem);
}

Json cuda_build_json() {
  if (!kCudaBuild) return false;
  const std::string problem = cuda_problem();
  return {{"build", VIGOR_CUDA_BUILD},
          {"device", problem.empty() ? Json(cuda_description()) : Json(nullptr)},
          {"problem", problem.empty() ? Json(nullptr) : Json(problem)}};
}

std::string cudnn_text() {
  const std::string problem = attention_cudnn_problem();
  return problem.empty() ? "yes" : "no (" + problem + ")";
}

std::string emulated_text() {
  if (!kCudaBuild) return "no";
  try {
    return fmt::format("yes (--device emulated, vigor emulate; libraries in {})", emulated_libraries().string());
  } catch (const std::runtime_error& error) {
    return fmt::format("no ({})", error.what());
  }
}

void print_build(bool json) {
  std::vector<std::string> isas, products;
  for (const Isa isa : {Isa::portable, Isa::neon, Isa::avx2, Isa::avx512})
    if (is_supported(isa)) isas.push_back(name_of(isa));
  for (const GemmBackend backend : {GemmBackend::own, GemmBackend::onednn, GemmBackend::cblas})
    if (is_available(backend)) products.push_back(name_of(backend));
  if (json) {
    const Json object = {{"version", VIGOR_VERSION},    {"instruction_set", name_of(current_isa())},
                         {"instruction_sets", isas},    {"threads", omp_get_max_threads()},
                         {"matrix_products", products}, {"cuda", cuda_build_json()},
                         {"compiler", kCompiler}};
    write_standard_output(object.dump() + "\n");
    return;
  }
  write_standard_output(
      fmt::format("vigor {}, compiled by {}\n"
                  "instruction set: {} (this CPU and build have {}; VIGOR_SIMD=NAME chooses)\n"
                  "OpenMP threads: {}\n"
                  "matrix products: {}\n"
                  "CUDA: {}\n"
                  "cuDNN attention: {}\n"
                  "emulated device: {}\n",
                  VIGOR_VERSION, kCompiler, name_of(current_isa()), fmt::join(isas, ", "), omp_get_max_threads(),
                  fmt::join(products, ", "), cuda_build_text(), cudnn_text(), emulated_text()));
}

int run_info(const InfoCall& call) {
  if (call.build == !call.model.empty()) throw UsageError("info: give either --model or --build");
  if (call.build) print_build(call.json);
  else print_model(call, *describe_model(call));
  return 0;
}

}  // namespace

void add_info_command(CLI::App& app, CommandRun& run) {
  CLI::App* command =
      app.add_subcommand("info", "parameters, layers, FLOPs and memory of a model; what this build contains");
  auto call = std::make_shared<InfoCall>();
  command
      ->add_option("--model", call->model,
                   fmt::format("preset ({}), folder or config.json", fmt::join(preset_names(), ", ")))
      ->type_name("NAME")
      ->group("Model");
  add_number(*command, "--vocab-size", call->overrides.vocab_size, 1, "instead of the preset's", "Model");
  add_number(*command, "--max-seq-len", call->overrides.max_seq_len, 1, "instead of the preset's", "Model");
  add_number(*command, "--layers", call->overrides.layers, 1, "instead of the preset's", "Model");
  add_number(*command, "--batch-size", call->batch_size, 1, "of the memory estimate", "Estimates")
      ->capture_default_str();
  add_number(*command, "--seq-len", call->seq_len, 1, "of the estimates; default: max_seq_len", "Estimates");
  command->add_flag("--build", call->build, "what this build contains, and what it chose for this CPU")
      ->group("Output");
  command->add_flag("--json", call->json, "one JSON object; bytes, and FLOPs of the forward pass as flops_per_token")
      ->group("Output");
  command->footer(
      "Examples:\n"
      "  vigor info --model i3-80m\n"
      "  vigor info --model i3-80m --vocab-size 20000 --batch-size 8 --json\n"
      "  vigor info --build");
  command->callback([call, &run] { run = [call] { return run_info(*call); }; });
}

}  // namespace vigor
