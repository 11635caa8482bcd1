#pragma once
// What the commands share: the options that most of them have, finding the model, reading ids, standard input and
// output.
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "models/hf/model_folder.h"
#include "train/commands/command.h"
#include "train/run_config.h"

namespace vigor {

// ---- options ----
// A whole number from `least` to 10^9, shown as N in the help.
CLI::Option* add_number(CLI::App& command, const char* name, int64_t& value, int64_t least, const char* help,
                        const char* group);
// One of `words`, which are shown as a|b in the help.
void add_choice(CLI::App& command, const char* name, std::string& value, const std::vector<std::string>& words,
                const char* help, const char* group);

// An option of a training run, as --its-name.
std::string flag_of(const RunOption& option);
void add_run_option(CLI::App& command, const RunOption& option, RunConfig& config);

struct ComputeOptions {
  int64_t threads = 0;  // 0: all cores
  std::string device = "auto";
};
struct ModelUse {
  std::string dtype = "f32";
  bool rope_compat = false;

  LoadOptions load_options(Device device) const;
};
// --dtype and --rope-compat, for commands that compute with a loaded model.
void add_model_use_options(CLI::App& command, ModelUse& use, const char* group);
void add_compute_options(CLI::App& command, ComputeOptions& options);
// Sets the number of threads and chooses the device (train/device_choice.h).
Device apply(const ComputeOptions& options, const char* command);

// ---- models ----
// The model folder that `path` names: itself or, for a training run that was killed before its first model was complete
// there, its newest checkpoint. UsageError for the name of a preset; std::runtime_error when there is no such folder.
std::filesystem::path model_folder_of(const std::string& path, const char* command);
// Loads it and prints its warnings to standard error.
ModelFolder open_model(const std::string& path, const char* command, const LoadOptions& options);

// ---- ids ----
// One list of ids: a JSON list, or whole numbers separated by white space. std::invalid_argument beginning with
// `origin`.
std::vector<int32_t> parse_ids(std::string_view text, std::string_view origin, int64_t vocab_size);
// A JSON list of B lists of T ids in 0..vocab_size-1, B and T at least 1 -> i32 [B,T].
Tensor parse_id_rows(std::string_view json, std::string_view origin, int64_t vocab_size);

// ---- standard input and output ----
void print_warning(std::string_view text);          // one line on standard error
std::string read_standard_input();                  // all of it
void write_standard_output(std::string_view text);  // at once; std::runtime_error when it cannot be written

}  // namespace vigor
