#pragma once
// The tables and plots of a sweep, from the results that are there so far.
#include <filesystem>
#include <optional>
#include <vector>

#include "train/sweep/sweep_result.h"

namespace vigor {

// results[i][j]: entry i with seed j of the plan; none: not run yet.
using SweepResults = std::vector<std::vector<std::optional<SweepResult>>>;

// The table in Markdown: parameters, tokens, seconds, held-out loss with its standard deviation over the seeds, and the
// difference to the first entry. Runs of equal seeds see the same data in the same order, so that difference is the
// mean over seeds of the two losses' difference, and its error the standard error of that mean.
std::string sweep_table(const SweepPlan& plan, const SweepResults& results);

// Writes into `out`: table.md, table.csv, results.json; loss_by_tokens.svg, loss_by_seconds.svg, loss_by_parameters.svg
// and the plan's own plots.
void write_sweep_report(const std::filesystem::path& out, const SweepPlan& plan, const SweepResults& results);

}  // namespace vigor
