// vigor generate: continues a prompt, or every line that is typed when there is none.
#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "models/generation.h"
#include "tensor/check.h"
#include "train/commands/common.h"
#include "train/stop_signal.h"

namespace vigor {
namespace {

struct GenerateCall {
  std::string model;
  ComputeOptions compute;
  std::string prompt;
  bool interactive = false;
  std::string window = "half";
  GenerateOptions options;
  bool stats = false;
  bool json = false;
};

double tokens_per_s(const GeneratedText& answer) {
  return answer.tokens > 1 ? static_cast<double>(answer.tokens - 1) / std::max(answer.seconds, 1e-9) : 0;
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

void print_json(const std::string& prompt, const GeneratedText& answer) {
  using Json = nlohmann::ordered_json;
  const Json result = {{"prompt", prompt},
                       {"text", answer.text},
                       {"prompt_tokens", answer.prompt_tokens},
                       {"tokens", answer.tokens},
                       {"prompt_seconds", answer.prompt_seconds},
                       {"seconds", answer.seconds},
                       {"tokens_per_s", tokens_per_s(answer)}};
  write_standard_output(result.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

// `echo`: the prompt is printed before its continuation, so that the two read as one text.
// Returns whether Ctrl-C or SIGTERM ended it.
bool answer_prompt(const GenerateCall& call, const ModelFolder& folder, const std::string& prompt,
                   const GenerateOptions& options, bool echo) {
  const StopSignal stop;
  if (echo && !call.json) write_standard_output(prompt);
  const auto on_text = [&](std::string_view piece) {
    if (!call.json && !piece.empty()) write_standard_output(piece);
    return !StopSignal::requested();
  };
  const GeneratedText answer = generate_text(*folder.model, *folder.tokenizer, prompt, options, on_text,
                                             [&](int64_t longest) { announce_window(longest, options.window); });
  if (call.json) print_json(prompt, answer);
  else write_standard_output("\n");
  if (call.stats)
    fmt::print(stderr, "prompt: {} tokens, first token after {:.3f} s; generated: {} tokens, {:.1f} tokens/s\n",
               answer.prompt_tokens, answer.prompt_seconds, answer.tokens, tokens_per_s(answer));
  return StopSignal::requested();
}

// Every line of standard input is a prompt of its own. On a terminal, Ctrl-C ends an answer, and the program when it
// waits for a line; Ctrl-D (the end of the input) ends the program.
int answer_lines(const GenerateCall& call, const ModelFolder& folder) {
  const bool terminal = isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0;
  if (terminal)
    fmt::print(stderr,
               "Type the beginning of a text; the model goes on from there. Ctrl-C stops an answer, Ctrl-D ends.\n");
  GenerateOptions options = call.options;
  for (std::string line;;) {
    if (terminal) write_standard_output("> ");
    if (!std::getline(std::cin, line)) break;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const bool stopped = answer_prompt(call, folder, line, options, !terminal);
    if (stopped && !terminal) return 130;
    ++options.seed;  // the same line again is answered anew
  }
  if (terminal) write_standard_output("\n");
  return 0;
}

int run_generate(const GenerateCall& call) {
  if (!call.interactive && call.prompt.empty()) throw UsageError("generate: --prompt must not be empty");
  const Device device = apply(call.compute, "generate");
  const ModelFolder folder = open_model(call.model, "generate", true, device);
  GenerateCall complete = call;
  complete.options.window = call.window == "exact" ? Window::exact : Window::half;
  if (const std::optional<int32_t> end = folder.tokenizer->end_id()) complete.options.end_ids = {*end};
  if (call.interactive) return answer_lines(complete, folder);
  return answer_prompt(complete, folder, call.prompt, complete.options, true) ? 130 : 0;
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
  command.add_flag("--greedy", sampling.greedy, "always the likeliest token")
      ->excludes(temperature)
      ->excludes(top_k)
      ->excludes(top_p)
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
  command->add_option("--prompt", call->prompt, "what to continue; without it, every line that is typed")
      ->group("Text");
  add_number(*command, "--max-new-tokens", call->options.max_new_tokens, 1, "length of the continuation", "Text")
      ->capture_default_str();
  add_choice(*command, "--window", call->window, {"half", "exact"}, "past the longest sequence, see below", "Text");
  add_sampling_options(*command, call->options);
  command->add_flag("--stats", call->stats, "tokens/s on standard error at the end")->group("Run");
  command->add_flag("--json", call->json, "one JSON object a prompt, at its end, instead of text as it comes")
      ->group("Run");
  add_compute_options(*command, call->compute);
  command->footer(
      "Prints the prompt and its continuation as it comes. Without --prompt, lines are read from standard input,\n"
      "each a prompt of its own; on a terminal Ctrl-C stops an answer and Ctrl-D ends.\n"
      "The model has a longest sequence (vigor info). Text that outgrows it goes on from its last half at the same\n"
      "speed (--window half), or reads as many tokens as fit again for each new one, much slower (--window exact).\n"
      "Examples:\n"
      "  vigor generate --model runs/demo\n"
      "  vigor generate --model runs/demo --prompt \"once upon a time\" --max-new-tokens 100\n"
      "  vigor generate --model runs/i3-80m --prompt \"user: hello\" --temperature 0.8 --top-k 40 --seed 7 --stats");
  command->callback([command, call, &run] {
    call->interactive = command->count("--prompt") == 0;
    run = [call] { return run_generate(*call); };
  });
}

}  // namespace vigor
