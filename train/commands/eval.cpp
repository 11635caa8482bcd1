// vigor eval: loss, perplexity and bits per byte on text; loss, logits and gradients for given ids.
#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "autograd/engine.h"
#include "autograd/variable.h"
#include "tensor/file.h"
#include "tensor/safetensors.h"
#include "train/commands/common.h"
#include "train/evaluation.h"
#include "train/metrics/progress.h"

namespace vigor {
namespace {

constexpr size_t kMaxIdsBytes = size_t{256} << 20;

constexpr int64_t kDefaultWindow = 1024;  // tokens; models of long contexts would take all memory

struct EvalCall {
  std::string model;
  ModelUse use;
  ComputeOptions compute;
  std::vector<std::string> data;
  std::string cache_dir;
  int64_t batch_size = 8;
  int64_t seq_len = 0;  // 0: the model's max_seq_len, at most kDefaultWindow
  std::string ids_file, logits_file, gradients_file;
  bool json = false;
};

Evaluation evaluate_text(const EvalCall& call, const ModelFolder& folder) {
  const int64_t longest = folder.model->config().max_seq_len;
  const int64_t T = call.seq_len > 0 ? call.seq_len : std::min(longest, kDefaultWindow);
  check(T <= longest, "eval: --seq-len {} is above the model's max_seq_len {}", T, longest);
  const TokenCache cache(call.cache_dir.empty() ? default_cache_folder() : std::filesystem::path(call.cache_dir));
  std::vector<SourceTokens> sources;
  for (const DataSource& source : parse_data_sources(call.data))
    sources.push_back(cache.open(source, *folder.tokenizer, HoldOut::none));
  EvaluationBatches batches(train_streams(sources), call.batch_size, T);

  const bool terminal = isatty(STDERR_FILENO) != 0;
  const auto report = [&](const Evaluation& so_far) {
    if (terminal)
      fmt::print(stderr, "\r{} of {} tokens, loss {:.4f}\033[K", Progress::count(so_far.tokens),
                 Progress::count(batches.token_count()), so_far.loss);
  };
  const Evaluation result = evaluate(*folder.model, batches, folder.tokenizer.get(), report);
  if (terminal) fmt::print(stderr, "\r\033[K");
  return result;
}

// What follows each id of ids [B,T]; the last of a row has no successor: -1, which the loss leaves out.
Tensor successors(const Tensor& ids) {
  const int64_t T = ids.size(1);
  const Tensor targets = empty_like(ids);
  const int32_t* from = ids.data<int32_t>();
  int32_t* to = targets.data<int32_t>();
  for (int64_t i = 0; i < ids.numel(); ++i) to[i] = i % T == T - 1 ? -1 : from[i + 1];
  return targets;
}

void save_gradients(LanguageModel& model, const Tensor& loss, const std::string& path) {
  backward(loss);
  model.parameters().complete_gradients();
  std::vector<NamedView> gradients;
  std::vector<Tensor> on_host;  // keeps them until they are written
  for (const ArenaSlot& slot : model.parameters().parameters()) {
    on_host.push_back(to_device(grad(slot.tensor), kCpu));
    gradients.push_back({slot.name, on_host.back().view()});
  }
  write_safetensors(path, gradients, {{"format", "pt"}});
}

Evaluation evaluate_ids(const EvalCall& call, LanguageModel& model) {
  const std::string origin = "eval: " + call.ids_file;
  const Tensor ids = parse_id_rows(read_text(call.ids_file, kMaxIdsBytes), origin, model.config().vocab_size);  // [B,T]
  const int64_t B = ids.size(0), T = ids.size(1), longest = model.config().max_seq_len;
  check(T >= 2 && T <= longest, "{}: rows must have 2 to {} ids (max_seq_len); got {}", origin, longest, T);

  // The loss and its gradients come from the training path, which never holds the logits; these are computed apart.
  const bool wants_gradients = !call.gradients_file.empty();
  const GradMode mode(wants_gradients);
  if (wants_gradients) model.parameters().allocate_gradients();
  const Tensor inputs = to_device(ids, model.device());
  const Tensor loss = model.loss(inputs, to_device(successors(ids), model.device()));
  const Evaluation result{loss.item<float>(), B * (T - 1)};
  if (wants_gradients) save_gradients(model, loss, call.gradients_file);
  if (!call.logits_file.empty()) {
    const NoGrad no_grad;
    const Tensor logits = to_device(model.logits(inputs), kCpu);
    const NamedView named{"logits", logits.view()};
    write_safetensors(call.logits_file, std::span(&named, 1));
  }
  return result;
}

void print_result(const Evaluation& result, bool json) {
  const double perplexity = std::exp(result.loss);
  if (json) {
    nlohmann::ordered_json object = {{"loss", result.loss}, {"perplexity", perplexity}, {"tokens", result.tokens}};
    if (result.bytes > 0) object["bits_per_byte"] = result.bits_per_byte();
    write_standard_output(object.dump() + "\n");
  } else {
    write_standard_output(fmt::format("loss {:.4f}  perplexity {:.2f}  bits per byte {:.4f}  over {} tokens\n",
                                      result.loss, perplexity, result.bits_per_byte(), Progress::count(result.tokens)));
  }
}

int run_eval(const EvalCall& call) {
  const bool on_ids = !call.ids_file.empty();
  if (on_ids != call.data.empty()) throw UsageError("eval: give either --data or --ids");
  if (!on_ids && (!call.logits_file.empty() || !call.gradients_file.empty()))
    throw UsageError("eval: --save-logits and --save-grads need --ids");
  if (on_ids && call.seq_len > 0) throw UsageError("eval: --seq-len is for --data; the rows of --ids are taken whole");
  if (!call.logits_file.empty() && call.logits_file == call.gradients_file)
    throw UsageError("eval: --save-logits and --save-grads must name two files");
  LoadOptions options = call.use.load_options(apply(call.compute, "eval"));
  options.need_tokenizer = !on_ids;
  const ModelFolder folder = open_model(call.model, "eval", options);
  if (on_ids) print_result(evaluate_ids(call, *folder.model), true);
  else print_result(evaluate_text(call, folder), call.json);
  return 0;
}

}  // namespace

void add_eval_command(CLI::App& app, CommandRun& run) {
  CLI::App* command =
      app.add_subcommand("eval", "loss, perplexity and bits per byte on text; logits and gradients for ids");
  auto call = std::make_shared<EvalCall>();
  command->add_option("--model", call->model, "model folder, or the --out of a training run")
      ->required()
      ->type_name("DIR")
      ->group("Model");
  add_model_use_options(*command, call->use, "Model");
  command->add_option("--data", call->data, ".txt, .jsonl or a folder; may be repeated")
      ->type_name("PATH")
      ->group("On text");
  add_number(*command, "--seq-len", call->seq_len, 1, "tokens in a window; default: max_seq_len, at most 1024",
             "On text");
  add_number(*command, "--batch-size", call->batch_size, 1, "windows computed at once", "On text")
      ->capture_default_str();
  command->add_option("--cache-dir", call->cache_dir, "of tokenised text; default: ~/.cache/vigor")
      ->type_name("DIR")
      ->group("On text");
  const auto file_option = [&](const char* name, std::string& value, const char* help) {
    command->add_option(name, value, help)->type_name("FILE")->group("On ids");
  };
  file_option("--ids", call->ids_file, "JSON [[id, ...], ...], B rows of T ids: loss of positions 0..T-2");
  file_option("--save-logits", call->logits_file, "write `logits` [B,T,V] as safetensors");
  file_option("--save-grads", call->gradients_file, "write the gradient of every parameter, by its name");
  command->add_flag("--json", call->json, "print {\"loss\", \"perplexity\", \"tokens\", ...}; always so with --ids")
      ->group("Run");
  add_compute_options(*command, call->compute);
  command->footer(
      "Text is cut into windows that do not overlap, in which every token but the first is predicted once.\n"
      "Examples:\n"
      "  vigor eval --model runs/demo --data held-out.txt\n"
      "  vigor eval --model runs/i3-80m --data chat.jsonl --seq-len 128 --json\n"
      "  vigor eval --model runs/demo --ids ids.json --save-logits logits.safetensors --save-grads grads.safetensors");
  command->callback([call, &run] { run = [call] { return run_eval(*call); }; });
}

}  // namespace vigor
