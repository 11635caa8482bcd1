#pragma once
// What the files of this folder share. Each defines one add_<name>_command(): it adds a subcommand with its options,
// help and examples to `app` and sets `run` when that subcommand was chosen.
#include <functional>
#include <stdexcept>
#include <string>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace vigor {

// A wrong call: one line on standard error and exit status 2. Everything else that goes wrong exits with 1.
struct UsageError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

using CommandRun = std::function<int()>;

void add_train_command(CLI::App& app, CommandRun& run);
void add_generate_command(CLI::App& app, CommandRun& run);
void add_eval_command(CLI::App& app, CommandRun& run);
void add_tokenize_command(CLI::App& app, CommandRun& run);
void add_tokenizer_command(CLI::App& app, CommandRun& run);
void add_info_command(CLI::App& app, CommandRun& run);
void add_convert_command(CLI::App& app, CommandRun& run);
void add_sweep_command(CLI::App& app, CommandRun& run);
void add_profile_command(CLI::App& app, CommandRun& run);
void add_tune_command(CLI::App& app, CommandRun& run);
void add_emulate_command(CLI::App& app, CommandRun& run);

}  // namespace vigor
