// The vigor program: picks the command, runs it, and turns what went wrong into one line and an exit status.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "train/commands/command.h"
#include "train/device_choice.h"

namespace {

// The status of the command, or of the program started again with the emulated device under it.
int run_command(const vigor::CommandRun& run, char** argv) {
  try {
    return run();
  } catch (const vigor::RestartEmulated&) {
    vigor::exec_emulated("/proc/self/exe", argv);
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Vigor: tensors, autograd and hybrid language models from scratch.\n"
      "Trains i3, Falcon-H1 and hybrid models of your own on text and talks with them, on a CPU or a GPU.",
      "vigor"};
  app.set_version_flag("--version", "vigor " VIGOR_VERSION);
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  app.footer(
      "Start here:\n"
      "  vigor train                                   a small model on the built-in stories, one to three minutes\n"
      "  vigor generate --model runs/demo              talk to it\n"
      "  vigor COMMAND --help                          options and examples of a command");

  vigor::CommandRun run;
  vigor::add_train_command(app, run);
  vigor::add_generate_command(app, run);
  vigor::add_eval_command(app, run);
  vigor::add_tokenize_command(app, run);
  vigor::add_tokenizer_command(app, run);
  vigor::add_info_command(app, run);
  vigor::add_convert_command(app, run);
  vigor::add_sweep_command(app, run);
  vigor::add_profile_command(app, run);
  vigor::add_tune_command(app, run);
  vigor::add_emulate_command(app, run);

  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked_for_help) {
    return app.exit(asked_for_help);
  } catch (const CLI::ParseError& error) {
    fmt::print(stderr, "vigor: {} (vigor --help shows how to call it)\n", error.what());
    return 2;
  }
  try {
    const int status = run_command(run, argv);
    if (std::fflush(stdout) != 0) throw std::runtime_error("cannot write to standard output");
    return status;
  } catch (const vigor::UsageError& error) {
    fmt::print(stderr, "vigor: {}\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "vigor: {}\n", error.what());
    return 1;
  }
}
