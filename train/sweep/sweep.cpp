#include "train/sweep/sweep.h"

#include <fmt/core.h>

#include <chrono>

#include "autograd/engine.h"
#include "models/families.h"
#include "models/hf/model_folder.h"
#include "tensor/check.h"
#include "tensor/file.h"
#include "train/checkpoint.h"
#include "train/optimizer.h"
#include "train/sweep/sweep_report.h"
#include "train/trainer.h"

namespace vigor {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

std::string run_id(const SweepEntry& entry, int64_t seed) { return fmt::format("{}-seed{}", entry.id, seed); }

int64_t tokens_per_step(const RunConfig& c) { return c.batch_size * c.seq_len * c.accumulate; }

// The results that `out` holds, all of the settings of the plan.
SweepResults finished_results(const SweepPlan& plan, const fs::path& out) {
  SweepResults results(plan.entries.size(), std::vector<std::optional<SweepResult>>(plan.seeds.size()));
  for (size_t i = 0; i < plan.entries.size(); ++i) {
    for (size_t j = 0; j < plan.seeds.size(); ++j) {
      const fs::path folder = out / "runs" / run_id(plan.entries[i], plan.seeds[j]);
      results[i][j] = read_result(folder / "result.json");
      if (results[i][j] && results[i][j]->fingerprint != fingerprint_of(plan.entries[i], plan.seeds[j]))
        fail("sweep: {} was made with other settings; remove it, or use another --out", folder.string());
    }
  }
  return results;
}

// Only what the report and a reader need is kept of a finished run: a sweep has hundreds.
void remove_weights(const fs::path& folder) {
  for (const auto& item : fs::directory_iterator(folder)) {
    const fs::path name = item.path().filename();
    if (name != "metrics.jsonl" && name != "config.json" && name != "result.json") fs::remove_all(item.path());
  }
}

// Trains one run, or the rest of it; nothing when it was told to stop.
std::optional<SweepResult> run_one(const SweepEntry& entry, int64_t seed, const fs::path& out) {
  const fs::path folder = out / "runs" / run_id(entry, seed);
  RunConfig config = entry.config;
  std::set<std::string> given = entry.given;
  config.model = entry.model.empty() ? (out / "models" / (entry.id + ".json")).string() : entry.model;
  config.seed = seed;
  config.out = folder.string();
  SweepResult result;
  result.fingerprint = fingerprint_of(entry, seed);
  const fs::path fingerprint_file = folder / "fingerprint";
  config.resume =
      has_checkpoint(folder) && fs::exists(fingerprint_file) && read_text(fingerprint_file, 1000) == result.fingerprint;
  if (config.resume) {
    given = {"resume", "out"};  // the checkpoint has the rest
  } else {
    fs::remove_all(folder);  // of a run that was killed before its first checkpoint, or had other settings
    given.insert({"model", "seed", "out", "steps"});
    fs::create_directories(folder);
    write_file(fingerprint_file, result.fingerprint);
  }

  try {
    if (train(config, given) != 0) return std::nullopt;
    const std::unique_ptr<LanguageModel> model = make_model(*read_config(folder / "config.json"));
    result.parameters = model->parameter_count();
    for (const LayerSummary& layer : model->layer_summaries()) result.block_parameters += layer.parameters;
  } catch (const NonFiniteLoss& error) {
    result.failure = error.what();
  }
  result.curve = read_curve(folder / "metrics.jsonl", tokens_per_step(entry.config));
  check(!result.curve.empty() || !result.failure.empty(),
        "sweep: nothing was held out, so there is nothing to compare; --valid-data names text for it");
  write_result(folder / "result.json", result);
  remove_weights(folder);
  return result;
}

void write_models(const SweepPlan& plan, const fs::path& out) {
  fs::create_directories(out / "models");
  for (const SweepEntry& entry : plan.entries)
    if (entry.model.empty()) write_file(out / "models" / (entry.id + ".json"), entry.inline_config);
}

}  // namespace

int run_sweep(const SweepPlan& plan, const fs::path& out) {
  SweepResults results = finished_results(plan, out);
  write_models(plan, out);
  size_t number = 0;
  // Seeds outside: a sweep that is cut short has compared every model.
  for (size_t j = 0; j < plan.seeds.size(); ++j) {
    for (size_t i = 0; i < plan.entries.size(); ++i) {
      ++number;
      if (results[i][j]) continue;
      fmt::print("== run {} of {}: {}, seed {}\n", number, plan.run_count(), plan.entries[i].name, plan.seeds[j]);
      std::fflush(stdout);
      results[i][j] = run_one(plan.entries[i], plan.seeds[j], out);
      if (!results[i][j]) {
        fmt::print("stopped; the same command goes on from here\n");
        return 130;
      }
      if (!results[i][j]->failure.empty()) fmt::print("{}\n", results[i][j]->failure);
      write_sweep_report(out, plan, results);
    }
  }
  write_sweep_report(out, plan, results);
  fmt::print("{}\n{}the table and plots are in {}\n", plan.title, sweep_table(plan, results), out.string());
  return 0;
}

SweepEstimate estimate(const SweepEntry& entry) {
  constexpr double kMostBytes = 4e9;  // larger models are not made just to be timed
  const RunConfig& c = entry.config;
  const std::unique_ptr<LanguageModel> model = make_model(*model_config_of(entry));
  if (model->memory_estimate(c.batch_size, c.seq_len).total() > kMostBytes) return {};
  model->allocate();
  model->parameters().initialize(1);
  model->parameters().allocate_gradients();
  Optimizer optimizer(model->parameters(), {});
  const auto V = static_cast<size_t>(model->config().vocab_size);
  std::vector<int32_t> values(static_cast<size_t>(c.batch_size * c.seq_len));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int32_t>(i * 7919 % V);
  const Tensor ids = from_values(values, {c.batch_size, c.seq_len});
  double seconds = 0;
  for (int step = 0; step < 3; ++step) {  // the first ones allocate and choose kernels
    const Clock::time_point start = Clock::now();
    StepState state = optimizer.inputs(step, 0);
    model->parameters().zero_gradients();
    backward(model->loss(ids, ids));
    optimizer.measure(&state);
    optimizer.update(&state);
    seconds = std::chrono::duration<double>(Clock::now() - start).count();
  }
  return {seconds * static_cast<double>(c.steps * c.accumulate)};
}

}  // namespace vigor
