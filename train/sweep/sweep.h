#pragma once
// Trains all models of a sweep file, one run after the other in this process, and reports on them.
//
//   OUT/runs/ID/      a run while it trains; of a finished one metrics.jsonl, config.json and result.json are kept
//   OUT/models/       the config.json of each inline model
//   OUT/table.md ...  the report (train/sweep/sweep_report.h), renewed after every run
//
// A sweep that was interrupted goes on where it was when it is called again: finished runs are kept, and the one that
// was under way continues from its checkpoint if it has one.
#include "train/sweep/sweep_plan.h"

namespace vigor {

// Returns 0, or 130 after Ctrl-C or SIGTERM. Throws std::invalid_argument when OUT holds results of other settings, and
// what train() throws; a loss that is not finite ends its run only and is written down.
int run_sweep(const SweepPlan& plan, const std::filesystem::path& out);

// What a run would cost, for --dry-run.
struct SweepEstimate {
  double seconds = 0;  // of one run, from one training step on random tokens; 0 when the model is too large to try
};
SweepEstimate estimate(const SweepEntry& entry);

}  // namespace vigor
