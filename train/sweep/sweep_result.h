#pragma once
// What a run of a sweep left: read from its metrics.jsonl, kept as OUT/runs/ID/result.json.
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "train/sweep/sweep_plan.h"

namespace vigor {

// One evaluation on held-out text.
struct SweepPoint {
  int64_t tokens = 0;  // trained on by then
  double seconds = 0;  // of training by then
  double loss = 0;     // nats a token
};

struct SweepResult {
  std::string fingerprint;        // of the settings it was made with
  int64_t parameters = 0;         // of the model
  int64_t block_parameters = 0;   // of these, in its layers
  std::vector<SweepPoint> curve;  // the last one is the result
  std::string failure;            // why there is no result, when the loss was not finite; else empty
};

// A hash of all that a run depends on: the entry's model and options, and the seed.
std::string fingerprint_of(const SweepEntry& entry, int64_t seed);

// The evaluations in metrics.jsonl. The seconds of a resumed run begin at 0 again in each process; here they go on.
std::vector<SweepPoint> read_curve(const std::filesystem::path& metrics_file, int64_t tokens_per_step);

void write_result(const std::filesystem::path& file, const SweepResult& result);  // atomically
// Nothing when there is no such file or it is not whole.
std::optional<SweepResult> read_result(const std::filesystem::path& file);

// ---- over the seeds of an entry ----
struct Spread {
  double mean = 0;
  double deviation = 0;  // of the sample, over n - 1; 0 for one value
  size_t count = 0;
};
Spread spread_of(const std::vector<double>& values);

}  // namespace vigor
