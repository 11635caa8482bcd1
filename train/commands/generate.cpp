// vigor generate: continues a prompt, or every line that is typed when there is none; with --chat, holds a
// conversation.
#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "models/chat.h"
#include "models/generation.h"
#include "models/hf/end_ids.h"
#include "tensor/check.h"
#include "tensor/file.h"
#include "train/commands/common.h"
#include "train/stop_signal.h"

namespace vigor {
namespace {

struct GenerateCall {
  std::string model;
  ModelUse use;
  ComputeOptions compute;
  std::string prompt;
  bool interactive = false;
  bool chat = false;
  std::string system, chat_template;  // of a chat: instructions, and a file in place of the model's own template
  std::string window = "half";
  GenerateOptions options;
  bool stats = false;
  bool json = false;
};

// What a prompt or the turn of a chat is answered with.
using Answerer = std::function<GeneratedText(const std::string& prompt, const TextCallback& on_text)>;

double tokens_per_s(const GeneratedText& answer) {
  return answer.ids.size() > 1 ? static_cast<double>(answer.ids.size() - 1) / std::max(answer.seconds, 1e-9) : 0;
}

void announce_window(int64_t max_seq_len, Window window) {
  if (window == Window::half)
    fmt::print(
        stderr,
        "\nvigor: the text has outgrown the model's {} tokens; it goes on from the last {} (--window exact: {})\n",
        max_seq_len, max_seq_len / 2, "always from as many as fit, much slower");
  else
    fmt::print(stderr,
               "\nvigor: the text has outgrown the model's {} tokens; each further token reads the last {} again\n",
               max_seq_len, max_seq_len);
}

const char* name_of(TextEnd end) {
  switch (end) {
    case TextEnd::end_id:
      return "end_token";
    case TextEnd::stop_string:
      return "stop_string";
    case TextEnd::max_new_tokens:
      return "max_new_tokens";
    case TextEnd::callback:
      break;
  }
  return "interrupted";
}

void print_json(const std::string& prompt, const GeneratedText& answer) {
  using Json = nlohmann::ordered_json;
  const Json result = {{"prompt", prompt},
                       {"text", answer.text},
                       {"end", name_of(answer.end)},
                       {"prompt_tokens", answer.prompt_tokens},
                       {"tokens", answer.ids.size()},
                       {"prompt_seconds", answer.prompt_seconds},
                       {"seconds", answer.seconds},
                       {"tokens_per_s", tokens_per_s(answer)}};
  write_standard_output(result.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

// `echo`: the prompt is printed before its continuation, so that the two read as one text. Returns whether Ctrl-C or
// SIGTERM ended it.
bool answer_prompt(const GenerateCall& call, const std::string& prompt, bool echo, const Answerer& answer_to) {
  const StopSignal stop;
  if (echo && !call.json) write_standard_output(prompt);
  const GeneratedText answer = answer_to(prompt, [&](std::string_view piece) {
    if (!call.json && !piece.empty()) write_standard_output(piece);
    return !StopSignal::requested();
  });
  if (call.json) print_json(prompt, answer);
  else write_standard_output("\n");
  if (call.stats)
    fmt::print(stderr, "prompt: {} tokens, first token after {:.3f} s; generated: {} tokens, {:.1f} tokens/s\n",
               answer.prompt_tokens, answer.prompt_seconds, answer.ids.size(), tokens_per_s(answer));
  return StopSignal::requested();
}

// Every line of standard input is a prompt of its own, or a turn. On a terminal, Ctrl-C ends an answer, and the program
// when it waits for a line; Ctrl-D (the end of the input) ends the program.
int answer_lines(const GenerateCall& call, const Answerer& answer_to) {
  const bool terminal = isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0;
  if (terminal)
    fmt::print(stderr, "{} Ctrl-C stops an answer, Ctrl-D ends.\n",
               call.chat ? "Type what you want to say; an empty line says nothing."
                         : "Type the beginning of a text; the model goes on from there.");
  for (std::string line;;) {
    if (terminal) write_standard_output("> ");
    if (!std::getline(std::cin, line)) break;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const bool stopped = answer_prompt(call, line, !terminal && !call.chat, answer_to);
    if (stopped && !terminal) return 130;
  }
  if (terminal) write_standard_output("\n");
  return 0;
}

// Every prompt by itself.
Answerer plain_answers(const ModelFolder& folder, const GenerateOptions& options, const WindowCallback& on_window) {
  return [&folder, options = GenerateOptions(options), on_window](const std::string& prompt,
                                                                  const TextCallback& on_text) mutable {
    const GeneratedText answer = generate_text(*folder.model, *folder.tokenizer, prompt, options, on_text, on_window);
    ++options.seed;  // the same line again is answered anew
    return answer;
  };
}

Answerer chat_answers(const GenerateCall& call, const ModelFolder& folder, const std::filesystem::path& path,
                      const WindowCallback& on_window) {
  std::optional<ChatTemplate> chat_template = ChatTemplate::load(path);
  if (!call.chat_template.empty()) {
    const std::string source = read_text(call.chat_template, ChatTemplate::kMaxBytes);
    chat_template.emplace(source, chat_template ? chat_template->special_tokens() : ChatTemplate::SpecialTokens(),
                          call.chat_template);
  }
  if (!chat_template)
    fail(
        "generate: {} has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json); give one "
        "with --chat-template",
        path.string());
  const auto chat = std::make_shared<Chat>(*folder.model, *folder.tokenizer, *chat_template, call.options, on_window);
  if (!call.system.empty()) chat->set_system(call.system);
  return [chat](const std::string& prompt, const TextCallback& on_text) { return chat->say(prompt, on_text); };
}

int run_generate(const GenerateCall& given) {
  if (!given.interactive && given.prompt.empty()) throw UsageError("generate: --prompt must not be empty");
  GenerateCall call = given;
  const Device device = apply(call.compute, "generate");
  const std::filesystem::path path = model_folder_of(call.model, "generate");
  const ModelFolder folder = open_model(path.string(), "generate", call.use.load_options(device));
  call.options.window = call.window == "exact" ? Window::exact : Window::half;
  call.options.end_ids = end_ids_of(path, *folder.tokenizer);
  const WindowCallback on_window = [&](int64_t longest) { announce_window(longest, call.options.window); };
  const Answerer answer_to =
      call.chat ? chat_answers(call, folder, path, on_window) : plain_answers(folder, call.options, on_window);
  if (call.interactive) return answer_lines(call, answer_to);
  return answer_prompt(call, call.prompt, !call.chat, answer_to) ? 130 : 0;
}

CLI::Option* add_real(CLI::App& command, const char* name, double& value, double least, double most, const char* help) {
  CLI::Validator range = CLI::Range(least, most);
  range.description("");
  return command.add_option(name, value, help)->check(range)->type_name("X")->capture_default_str()->group("Sampling");
}

void add_sampling_options(CLI::App& command, GenerateOptions& options) {
  SamplingOptions& sampling = options.sampling;
  auto* temperature =
      add_real(command, "--temperature", sampling.temperature, 0, 1000, "below 1 safer, above 1 bolder");
  auto* top_k = add_number(command, "--top-k", sampling.top_k, 0, "among the N likeliest tokens; 0: all", "Sampling")
                    ->capture_default_str();
  auto* top_p =
      add_real(command, "--top-p", sampling.top_p, 1e-6, 1, "among the likeliest that make up this probability");
  auto* min_p =
      add_real(command, "--min-p", sampling.min_p, 0, 1, "with at least this part of the likeliest one's probability");
  add_real(command, "--repetition-penalty", options.repetition_penalty, 0.01, 100,
           "above 1: less of what is there already");
  command.add_flag("--greedy", sampling.greedy, "always the likeliest token")
      ->excludes(temperature)
      ->excludes(top_k)
      ->excludes(top_p)
      ->excludes(min_p)
      ->group("Sampling");
  command.add_option("--seed", options.seed, "the same seed gives the same text")
      ->type_name("N")
      ->capture_default_str()
      ->group("Sampling");
}

}  // namespace

void add_generate_command(CLI::App& app, CommandRun& run) {
  CLI::App* command = app.add_subcommand("generate", "continue a prompt, or talk with a model");
  auto call = std::make_shared<GenerateCall>();
  call->options.max_new_tokens = 200;
  call->options.sampling.temperature = 0.8;
  call->options.sampling.top_k = 40;
  command->add_option("--model", call->model, "model folder, or the --out of a training run")
      ->required()
      ->type_name("DIR")
      ->group("Text");
  add_model_use_options(*command, call->use, "Model");
  command->add_option("--prompt", call->prompt, "what to continue; without it, every line that is typed")
      ->group("Text");
  add_number(*command, "--max-new-tokens", call->options.max_new_tokens, 1, "length of the continuation", "Text")
      ->capture_default_str();
  command->add_option("--stop", call->options.stop, "ends the text before this string; may be given several times")
      ->type_name("TEXT")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->group("Text");
  add_choice(*command, "--window", call->window, {"half", "exact"}, "past the longest sequence, see below", "Text");
  auto* chat = command->add_flag("--chat", call->chat, "a conversation in the model's chat template")->group("Chat");
  command->add_option("--system", call->system, "instructions before the first turn")
      ->needs(chat)
      ->type_name("TEXT")
      ->group("Chat");
  command->add_option("--chat-template", call->chat_template, "a template in place of the model's own")
      ->needs(chat)
      ->type_name("FILE")
      ->group("Chat");
  add_sampling_options(*command, call->options);
  add_number(*command, "--prefill-chunk", call->options.prefill_chunk, 1, "the most tokens of a prompt at once", "Run")
      ->capture_default_str();
  command->add_flag("--stats", call->stats, "tokens/s on standard error at the end")->group("Run");
  command->add_flag("--json", call->json, "one JSON object a prompt, at its end, instead of text as it comes")
      ->group("Run");
  add_compute_options(*command, call->compute);
  command->footer(
      "Prints the prompt and its continuation as it comes. Without --prompt, lines are read from standard input,\n"
      "each a prompt of its own; on a terminal Ctrl-C stops an answer and Ctrl-D ends. With --chat every line is a "
      "turn\n"
      "of one conversation, --prompt the only one, and nothing but the answers is printed.\n"
      "A text also ends with the model's end token, unless it has none.\n"
      "The model has a longest sequence (vigor info). Text that outgrows it goes on from its last half at the same\n"
      "speed (--window half), or reads as many tokens as fit again for each new one, much slower (--window exact).\n"
      "Examples:\n"
      "  vigor generate --model runs/demo\n"
      "  vigor generate --model runs/demo --prompt \"once upon a time\" --max-new-tokens 100\n"
      "  vigor generate --model runs/i3-80m --prompt \"user: hello\" --stop \"user:\" --seed 7 --stats\n"
      "  vigor generate --model falcon-h1-0.5b-instruct --chat --system \"Answer in one sentence.\"\n"
      "  vigor generate --model falcon-h1-0.5b-instruct --chat --prompt \"What is a whale?\" --top-k 0 --min-p 0.1");
  command->callback([command, call, &run] {
    call->interactive = command->count("--prompt") == 0;
    run = [call] { return run_generate(*call); };
  });
}

}  // namespace vigor
