// vigor tokenizer: train a byte-level BPE vocabulary, look at a tokenizer, measure it on text.
#include <fmt/core.h>
#include <omp.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "models/tokenizer/bpe_trainer.h"
#include "tensor/check.h"
#include "tensor/file.h"
#include "train/commands/common.h"
#include "train/data/bpe_vocabulary.h"
#include "train/metrics/progress.h"

namespace vigor {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct TokenizerCall {
  std::vector<std::string> data;
  std::vector<std::string> tokenizers;  // of `report`
  std::string tokenizer, out;
  std::string words = "falcon-h1", digits;
  bool keep_punctuation = false, no_latex = false, json = false;
  std::vector<std::string> special_tokens;
  BpeTrainOptions options;
  int64_t threads = 0;
};

WordPattern pattern_of(const TokenizerCall& call) {
  WordPattern words = call.words == "gpt2"     ? WordPattern::gpt2()
                      : call.words == "llama3" ? WordPattern::llama3()
                      : call.words == "qwen2"  ? WordPattern::qwen2()
                                               : WordPattern::falcon_h1();
  if (call.digits == "single") words.digits = 1;
  if (call.digits == "three") words.digits = 3;
  if (call.digits == "run") words.digits = 0;
  if (call.keep_punctuation) words.one_symbol = words.latex = false;
  if (call.no_latex) words.latex = false;
  return words;
}

void print_table(const std::vector<std::pair<std::string, Fertility>>& rows, bool json) {
  if (json) {
    Json list = Json::array();
    for (const auto& [name, row] : rows)
      list.push_back({{"text", name},
                      {"bytes", row.nbytes},
                      {"words", row.words},
                      {"tokens", row.tokens},
                      {"tokens_per_word", row.tokens_per_word()},
                      {"bytes_per_token", row.bytes_per_token()}});
    write_standard_output(list.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
    return;
  }
  std::string table = fmt::format("{:>12} {:>12} {:>12} {:>12} {:>12}  text\n", "bytes", "words", "tokens",
                                  "tokens/word", "bytes/token");
  for (const auto& [name, row] : rows)
    table += fmt::format("{:>12} {:>12} {:>12} {:>12.3f} {:>12.3f}  {}\n", row.nbytes, row.words, row.tokens,
                         row.tokens_per_word(), row.bytes_per_token(), name);
  write_standard_output(table);
}

void report(const std::vector<std::string>& data, const std::vector<const Tokenizer*>& tokenizers,
            const std::vector<std::string>& names, bool json) {
  std::vector<std::pair<std::string, Fertility>> rows;
  for (const DataSource& source : parse_data_sources(data))
    for (size_t i = 0; i < tokenizers.size(); ++i)
      rows.emplace_back(names.size() == 1 ? source.path : source.path + " by " + names[i],
                        measure_fertility(source, *tokenizers[i]));
  print_table(rows, json);
}

int train_tokenizer(TokenizerCall& call) {
  call.options.words = pattern_of(call);
  if (!call.special_tokens.empty()) call.options.special_tokens = call.special_tokens;
  try {
    call.options.check();
  } catch (const std::invalid_argument& error) {
    throw UsageError(error.what());
  }
  if (call.threads > 0) omp_set_num_threads(static_cast<int>(call.threads));
  const std::vector<DataSource> sources = parse_data_sources(call.data);
  const auto counting = [](const DataSource& source, uint64_t nbytes) {
    fmt::print(stderr, "vigor: counting words of {}: {}\n", source.path, Progress::bytes(static_cast<int64_t>(nbytes)));
  };
  const auto training = [&](int64_t tokens) {
    if (tokens % 8192 < 256) fmt::print(stderr, "vigor: {} tokens\n", Progress::count(tokens));
  };
  const auto tokenizer = build_bpe_vocabulary(sources, HoldOut::none, call.options, counting, training);
  fs::create_directories(call.out);
  tokenizer->save(call.out);
  fmt::print(stderr, "vigor: {} tokens in {}{}\n", Progress::count(tokenizer->vocab_size()), call.out,
             tokenizer->vocab_size() < call.options.vocab_size
                 ? fmt::format(" (no further pair occurs {} times)", call.options.min_count)
                 : "");
  report(call.data, {tokenizer.get()}, {call.out}, call.json);
  return 0;
}

int report_tokenizers(const TokenizerCall& call) {
  std::vector<std::unique_ptr<Tokenizer>> loaded;
  std::vector<const Tokenizer*> tokenizers;
  for (const std::string& path : call.tokenizers) {
    loaded.push_back(load_tokenizer(path));
    tokenizers.push_back(loaded.back().get());
  }
  report(call.data, tokenizers, call.tokenizers, call.json);
  return 0;
}

int tokenizer_info(const TokenizerCall& call) {
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(call.tokenizer);
  Json info = {{"type", tokenizer->name()}, {"vocab_size", tokenizer->vocab_size()}};
  if (const auto* bpe = dynamic_cast<const BpeTokenizer*>(tokenizer.get())) {
    info["merges"] = bpe->merge_count();
    Json special = Json::object(), added = Json::object();
    for (const AddedToken& token : bpe->added_tokens()) (token.special ? special : added)[token.content] = token.id;
    info["special_tokens"] = special;
    if (!added.empty()) info["added_tokens"] = added;
  }
  info["end_id"] = tokenizer->end_id() ? Json(*tokenizer->end_id()) : Json();
  int32_t longest = 0;
  for (int32_t id = 0; id < tokenizer->vocab_size(); ++id)
    if (tokenizer->token_bytes(id).size() > tokenizer->token_bytes(longest).size()) longest = id;
  info["longest_token"] = {{"id", longest}, {"bytes", tokenizer->token_bytes(longest).size()}};
  if (call.json) {
    write_standard_output(info.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
    return 0;
  }
  std::string text;
  for (const auto& [key, value] : info.items())
    text += fmt::format(
        "{:<16} {}\n", key,
        value.is_string() ? value.get<std::string>() : value.dump(-1, ' ', false, Json::error_handler_t::replace));
  write_standard_output(text);
  return 0;
}

void add_data_option(CLI::App& command, TokenizerCall& call) {
  command.add_option("--data", call.data, ".txt, .jsonl or a folder; several, or the built-in stories without")
      ->type_name("PATH")
      ->group("Data");
}
void add_json_flag(CLI::App& command, TokenizerCall& call) {
  command.add_flag("--json", call.json, "JSON on standard output")->group("Output");
}

void add_train(CLI::App& parent, const std::shared_ptr<TokenizerCall>& call, CommandRun& run) {
  CLI::App* command = parent.add_subcommand("train", "train a byte-level BPE vocabulary on text");
  add_data_option(*command, *call);
  command->add_option("--out", call->out, "folder for tokenizer.json and tokenizer_config.json")
      ->required()
      ->type_name("DIR")
      ->group("Output");
  add_json_flag(*command, *call);
  const char* group = "Vocabulary";
  add_number(*command, "--vocab-size", call->options.vocab_size, 257, "tokens, with bytes and special tokens", group)
      ->capture_default_str();
  add_number(*command, "--min-count", call->options.min_count, 1, "rarer pairs become no token", group)
      ->capture_default_str();
  command
      ->add_option("--special-token", call->special_tokens,
                   "instead of <|endoftext|> <|im_start|> <|im_end|>; the first one ends documents")
      ->type_name("TEXT")
      ->group(group);
  add_choice(*command, "--words", call->words, {"falcon-h1", "gpt2", "llama3", "qwen2"}, "how text is cut into words",
             group);
  add_choice(*command, "--digits", call->digits, {"single", "three", "run"}, "digits of a number in one word", group);
  command->add_flag("--keep-punctuation", call->keep_punctuation, "runs of punctuation may become one token")
      ->group(group);
  command->add_flag("--no-latex", call->no_latex, "do not keep \\commands in one word")->group(group);
  add_number(*command, "--threads", call->threads, 0, "CPU threads; 0: all cores", "Run")->capture_default_str();
  command->footer(
      "Examples:\n"
      "  vigor tokenizer train --vocab-size 32768 --data stories.txt chat.jsonl --out tokenizers/mine\n"
      "  vigor train --model falcon-h1-tiny-90m --tokenizer tokenizers/mine --data stories.txt");
  command->callback([call, &run] { run = [call] { return train_tokenizer(*call); }; });
}

}  // namespace

void add_tokenizer_command(CLI::App& app, CommandRun& run) {
  CLI::App* command = app.add_subcommand("tokenizer", "train a tokenizer, look at one, measure one on text");
  command->require_subcommand(1);
  command->footer(  // also of `info`
      "Examples:\n"
      "  vigor tokenizer train --data stories.txt --out tokenizers/mine\n"
      "  vigor tokenizer info tokenizers/mine\n"
      "  vigor tokenizer report --tokenizer tokenizers/mine runs/demo --data stories.txt");
  auto call = std::make_shared<TokenizerCall>();
  add_train(*command, call, run);

  CLI::App* info = command->add_subcommand("info", "what a tokenizer consists of");
  info->add_option("TOKENIZER", call->tokenizer, "folder or file")->required()->type_name("PATH");
  add_json_flag(*info, *call);
  info->callback([call, &run] { run = [call] { return tokenizer_info(*call); }; });

  CLI::App* measure = command->add_subcommand("report", "tokens per word and bytes per token, for each text");
  measure->add_option("--tokenizer", call->tokenizers, "folder or file; several are compared")
      ->required()
      ->type_name("PATH");
  add_data_option(*measure, *call);
  add_json_flag(*measure, *call);
  measure->footer("Examples:\n  vigor tokenizer report --tokenizer tokenizers/mine runs/demo --data stories.txt");
  measure->callback([call, &run] { run = [call] { return report_tokenizers(*call); }; });
}

}  // namespace vigor
