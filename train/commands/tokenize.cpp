// vigor tokenize: text to token ids, and ids to text.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "train/commands/common.h"

namespace vigor {
namespace {

struct TokenizeCall {
  std::string model, tokenizer;
  bool decode = false;
  bool json = false;
};

int tokenize(const TokenizeCall& call) {
  if (call.model.empty() == call.tokenizer.empty()) throw UsageError("tokenize: give --model or --tokenizer");
  const std::unique_ptr<Tokenizer> tokenizer =
      load_tokenizer(call.model.empty() ? call.tokenizer : model_folder_of(call.model, "tokenize").string());
  const std::string input = read_standard_input();
  if (call.decode) {
    const std::string text = tokenizer->decode(parse_ids(input, "tokenize: standard input", tokenizer->vocab_size()));
    using Json = nlohmann::json;
    write_standard_output(call.json ? Json(text).dump(-1, ' ', false, Json::error_handler_t::replace) + "\n" : text);
  } else {
    const std::vector<int32_t> ids = tokenizer->encode(input);
    write_standard_output(call.json ? fmt::format("[{}]\n", fmt::join(ids, ", "))
                                    : fmt::format("{}\n", fmt::join(ids, " ")));
  }
  return 0;
}

}  // namespace

void add_tokenize_command(CLI::App& app, CommandRun& run) {
  CLI::App* command = app.add_subcommand("tokenize", "text on standard input to token ids, or ids to text");
  auto call = std::make_shared<TokenizeCall>();
  command->add_option("--model", call->model, "model folder; no weights are needed")->type_name("DIR")->group("Model");
  command->add_option("--tokenizer", call->tokenizer, "or a tokenizer: its file, or the folder of it")
      ->type_name("PATH")
      ->group("Model");
  command->add_flag("--decode", call->decode, "ids in (a JSON list, or numbers and spaces), text out")->group("Output");
  command->add_flag("--json", call->json, "ids as a JSON list; with --decode, the text as a JSON string")
      ->group("Output");
  command->footer(
      "The whole input is one document. Text that is not UTF-8 is read with U+FFFD in place of the bad bytes.\n"
      "Examples:\n"
      "  vigor tokenize --model runs/demo --json < story.txt > ids.json\n"
      "  vigor tokenize --model runs/demo --decode < ids.json\n"
      "  echo \"once upon a time\" | vigor tokenize --model runs/demo | wc -w");
  command->callback([call, &run] { run = [call] { return tokenize(*call); }; });
}

}  // namespace vigor
