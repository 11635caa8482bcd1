// vigor sweep: many small trainings, one table.
#include <fmt/core.h>
#include <omp.h>

#include <CLI/CLI.hpp>
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
bool is_common(const RunOption& option) {
  static const std::set<std::string> names = {"data", "valid_data", "cache_dir", "threads", "device"};
  return names.count(option.name) != 0;
}

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
  for (const RunOption& option : run_options())
    if (is_common(option) && command.get_option(flag_of(option))->count() > 0) given.insert(option.name);
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
  command->add_option("FILE", call->file, "sweep.json, as docs/hybrid-research.md describes it")
      ->required()
      ->type_name("");
  command->add_option("--out", call->out, "folder for runs, table and plots; default: runs/ and the file's name")
      ->type_name("DIR");
  command->add_flag("--dry-run", call->dry_run, "check the file and list the runs, their sizes and estimated times");
  for (const RunOption& option : run_options())
    if (is_common(option)) add_run_option(*command, option, call->config);
  command->footer(
      "Examples:\n"
      "  vigor sweep docs/sweeps/channel-split.json --data stories.txt --dry-run\n"
      "  vigor sweep docs/sweeps/channel-split.json --data stories.txt --out runs/split\n"
      "      the same command again goes on where it was interrupted");
  command->callback([command, call, &run] { run = [command, call] { return call_sweep(*command, *call); }; });
}

}  // namespace vigor
