// vigor sweep: many small trainings, one table.
#include <fmt/core.h>
#include <omp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "train/commands/common.h"
#include "train/metrics/progress.h"
#include "train/sweep/sweep.h"

namespace vigor {
namespace {

struct SweepCall {
  std::string file;
  std::string out;  // empty: runs/ and the file's name
  bool dry_run = false;
  RunConfig config;  // the options that every run has in common
};

// The options of a run that `vigor sweep` takes itself; the file has the others.
const char* const kCommonOptions[] = {"data", "valid_data", "cache_dir", "threads", "device"};

int dry_run(const SweepPlan& plan) {
  double total = 0;
  bool complete = true;
  for (const SweepEntry& entry : plan.entries) {
    const double seconds = estimate(entry).seconds;
    complete &= seconds > 0;
    total += seconds * static_cast<double>(plan.seeds.size());
    fmt::print(
        "{:<40} {:>12} parameters  {:>8} tokens  {} {} x {}\n", entry.name, Progress::count(entry.parameters),
        Progress::count(entry.config.steps * entry.config.batch_size * entry.config.seq_len * entry.config.accumulate),
        plan.seeds.size(), plan.seeds.size() == 1 ? "seed" : "seeds",
        seconds > 0 ? "about " + Progress::duration(seconds) : std::string("? (too large to try a step)"));
  }
  fmt::print("{} runs, about {}{}\n", plan.run_count(), Progress::duration(total),
             complete ? "" : " and those that were not tried");
  return 0;
}

int call_sweep(const CLI::App& command, const SweepCall& call) {
  std::set<std::string> given;
  for (const char* name : kCommonOptions) {
    std::string flag = name;
    std::replace(flag.begin(), flag.end(), '_', '-');
    if (command.get_option("--" + flag)->count() > 0) given.insert(name);
  }
  if (call.config.threads > 0) omp_set_num_threads(static_cast<int>(call.config.threads));
  const SweepPlan plan = read_sweep_plan(call.file, call.config, given);
  if (call.dry_run) return dry_run(plan);
  const std::filesystem::path out = call.out.empty()
                                        ? std::filesystem::path("runs") / std::filesystem::path(call.file).stem()
                                        : std::filesystem::path(call.out);
  return run_sweep(plan, out);
}

}  // namespace

void add_sweep_command(CLI::App& app, CommandRun& run) {
  CLI::App* command = app.add_subcommand("sweep", "train the models of a list with several seeds and compare them");
  auto call = std::make_shared<SweepCall>();
  command->add_option("file", call->file, "sweep.json, as docs/hybrid-research.md describes it")->required();
  command->add_option("--out", call->out, "folder for runs, table and plots; default: runs/ and the file's name");
  command->add_flag("--dry-run", call->dry_run, "check the file and list the runs, their sizes and estimated times");
  command->add_option("--data", call->config.data, "PATH[:WEIGHT], .txt, .jsonl or a folder; may be repeated")
      ->group("Data");
  command->add_option("--valid-data", call->config.valid_data, "held-out text; without it 1 % of the documents")
      ->group("Data");
  command->add_option("--cache-dir", call->config.cache_dir, "where tokenised text is kept")->group("Data");
  command->add_option("--threads", call->config.threads, "CPU threads; 0: all cores")->group("Compute");
  command->add_option("--device", call->config.device, "auto, cpu, cuda or emulated")->group("Compute");
  command->footer(
      "Examples:\n"
      "  vigor sweep docs/sweeps/channel-split.json --data stories.txt --dry-run\n"
      "  vigor sweep docs/sweeps/channel-split.json --data stories.txt --out runs/split\n"
      "      the same command again goes on where it was interrupted");
  command->callback([command, call, &run] { run = [command, call] { return call_sweep(*command, *call); }; });
}

}  // namespace vigor
