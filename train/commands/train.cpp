// vigor train: from text to a trained model folder.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "tensor/file.h"
#include "train/commands/common.h"
#include "train/trainer.h"

namespace vigor {
namespace {

constexpr size_t kMaxConfigBytes = size_t{1} << 20;

struct TrainCall {
  RunConfig config;
  std::string config_file;
  std::set<std::string> given;  // options that the command line or the file set
};

// The command line wins over the file: values are parsed into `call.config` first, then the file fills what is left.
void merge_config_file(CLI::App& command, TrainCall& call) {
  RunConfig from_file = call.config;
  std::set<std::string> in_file;
  if (!call.config_file.empty())
    read_run_config(read_text(call.config_file, kMaxConfigBytes), call.config_file, from_file, in_file);
  for (const RunOption& option : run_options()) {
    if (command.get_option(flag_of(option))->count() > 0) {
      call.given.insert(option.name);
    } else if (in_file.count(option.name) != 0) {
      std::visit([&](auto field) { call.config.*field = from_file.*field; }, option.field);
      call.given.insert(option.name);
    }
  }
}

}  // namespace

void add_train_command(CLI::App& app, CommandRun& run) {
  CLI::App* command = app.add_subcommand("train", "train a model on text and save it");
  auto call = std::make_shared<TrainCall>();
  command->add_option("--config", call->config_file, "run.json: the options below by name, with _ for -")
      ->type_name("FILE");
  for (const RunOption& option : run_options()) add_run_option(*command, option, call->config);
  command->footer(
      "Examples:\n"
      "  vigor train\n"
      "      a small model on the built-in stories and dialogues\n"
      "  vigor train --model i3-80m --data stories.txt:0.6 --data chat.jsonl:0.4 --steps 5000 --out runs/i3-80m\n"
      "  vigor train --out runs/i3-80m --resume\n"
      "  vigor train --model falcon-h1-tiny-90m --data stories.txt --steps 200 --out runs/falcon\n"
      "      trains a BPE tokenizer on the text first\n"
      "  vigor train --config run.json --lr 1e-3");
  command->callback([command, call, &run] {
    run = [command, call] {
      try {
        merge_config_file(*command, *call);
        check_run_config(call->config);
      } catch (const std::invalid_argument& error) {
        throw UsageError(std::string("train: ") + error.what());
      }
      return train(call->config, call->given);
    };
  });
}

}  // namespace vigor
