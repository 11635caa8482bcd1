// vigor convert: any model folder that can be read to a Hugging Face folder with safetensors.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <memory>

#include "models/hf/weight_files.h"
#include "train/commands/common.h"
#include "train/metrics/progress.h"

namespace vigor {
namespace {

namespace fs = std::filesystem;

struct ConvertCall {
  std::string in, out;
  std::string dtype = "f32";
  int64_t max_shard_megabytes = 0;
  bool force = false;
};

// True when replacing the folder can destroy nothing but a saved model. A training run also holds a model, and
// checkpoints and metrics beside it, so config.json alone says too little.
bool holds_only_a_model(const fs::path& folder) {
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    const bool of_a_model = name == "config.json" || is_weight_file(name) || name == "tokenizer.json" ||
                            name == "vocab.json" || name == "tokenizer_config.json" ||
                            name == "special_tokens_map.json" || name == "chat_template.jinja" ||
                            name == "chunk_vocab_combined.json";
    if (!of_a_model || !entry.is_regular_file()) return false;
  }
  return true;
}

bool is_inside(const fs::path& path, const fs::path& folder) {
  const auto [rest, at] = std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
  (void)at;
  return rest == folder.end();
}

// Where the result goes, with links followed; throws unless it may be replaced.
fs::path checked_target(const ConvertCall& call, const fs::path& source) {
  fs::path target = fs::weakly_canonical(fs::absolute(call.out));
  if (target.filename().empty()) target = target.parent_path();  // "OUT/"
  if (is_inside(fs::canonical(source), target))
    throw UsageError(
        fmt::format("convert: OUT is replaced as a whole, so it cannot be IN or a folder around it; got {} and {}",
                    call.in, call.out));
  if (!fs::exists(target)) return target;
  if (!fs::is_directory(target)) throw UsageError(fmt::format("convert: OUT must be a folder; {} is a file", call.out));
  if (!call.force && !holds_only_a_model(target))
    throw UsageError(
        fmt::format("convert: {} holds more than a saved model; --force replaces it with all that is in it", call.out));
  return target;
}

int convert(const ConvertCall& call) {
  const fs::path source = model_folder_of(call.in, "convert");
  const fs::path target = checked_target(call, source);
  LoadOptions load;
  load.need_tokenizer = false;
  const ModelFolder folder = open_model(source.string(), "convert", load);
  if (!folder.tokenizer) print_warning(call.in + " has no tokenizer file, so the result has none");
  fs::create_directories(target.parent_path());
  SaveOptions options;
  options.dtype = *dtype_from_name(call.dtype);
  options.max_shard_bytes = call.max_shard_megabytes * 1'000'000;
  save_model_folder(target, *folder.model, folder.tokenizer.get(), options);
  write_standard_output(
      fmt::format("{}: {} parameters, {}\n", call.out, Progress::count(folder.model->parameter_count()), call.dtype));
  return 0;
}

}  // namespace

void add_convert_command(CLI::App& app, CommandRun& run) {
  CLI::App* command = app.add_subcommand("convert", "any model folder to a Hugging Face folder with safetensors");
  auto call = std::make_shared<ConvertCall>();
  command->add_option("IN", call->in, "model folder: .safetensors, pytorch_model.bin, or a training run")
      ->required()
      ->type_name("DIR");
  command->add_option("OUT", call->out, "folder to write; replaced as a whole, or left as it was")
      ->required()
      ->type_name("DIR");
  add_choice(*command, "--dtype", call->dtype, {"f32", "bf16"}, "of the weights: f32 is exact, bf16 half the size",
             "Output");
  add_number(*command, "--max-shard-size", call->max_shard_megabytes, 1,
             "megabytes (10^6 bytes) of a file of weights; default: all in one file", "Output");
  command->add_flag("--force", call->force, "replace OUT even if it holds more than a saved model")->group("Output");
  command->footer(
      "Examples:\n"
      "  vigor convert downloads/i3-80m models/i3-80m\n"
      "      a folder with pytorch_model.bin; nothing in that file is executed\n"
      "  vigor convert runs/i3-80m export/i3-80m-bf16 --dtype bf16\n"
      "  vigor convert runs/falcon export/falcon --dtype bf16 --max-shard-size 5000");
  command->callback([call, &run] { run = [call] { return convert(*call); }; });
}

}  // namespace vigor
