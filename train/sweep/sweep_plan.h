#pragma once
// What a sweep file asks for: models to train on the same data with the same budget, each with several seeds.
//
//   {
//     "title": "Channel split",
//     "steps": 300,                        or "tokens": 300000, of every run
//     "seeds": [1, 2, 3],
//     "train": {"batch_size": 16, "seq_len": 64, "lr": 4e-3, "vocab_size": 1024},
//     "model": {"model_type": "vigor_hybrid", "d_model": 64, "blocks": "P*4", ...},
//     "runs": [{"name": "2:1:5", "model": {"channel_split": "2:1:5"}, "train": {}, "values": {"s": 2}}, ...],
//     "grid": {"model.d_model": [32, 64], "train.lr": [1e-3, 4e-3]},
//     "plots": [{"x": "train.lr", "lines": ["model.d_model"], "log_x": true, "title": "...", "file": "lr"}]
//   }
//
// train    options of vigor train, by their names in --config; those that a sweep sets itself are refused
// model    keys of a config.json, common to all models that are written inline
// runs     the models; "model" is a preset, a model folder or config.json, or keys over the common ones (null takes a
//          key away). Left out: one model, the common one
// grid     every run is repeated for every combination; null takes a key away
// values   numbers or words of a run that plots can refer to as "values.NAME"
// Paths are relative to the current folder. Inline models may leave out vocab_size and max_seq_len, which then are
// train's vocab_size and seq_len.
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "models/config.h"
#include "train/run_config.h"

namespace vigor {

// One model of a sweep with its options; each seed makes it a run.
struct SweepEntry {
  std::string name;           // "2:1:5 lr=0.004": as it stands in tables
  std::string id;             // the same as part of a file name
  std::string model;          // preset, folder or config.json; or empty, with
  std::string inline_config;  // the text of a config.json in its place
  RunConfig config;           // all but seed, out and model
  std::set<std::string> given;
  std::map<std::string, std::string> values;  // "train.lr" -> "0.004": what plots can refer to
  int64_t parameters = 0;                     // with V at its cap
};

struct SweepPlot {
  std::string x;                   // a key of SweepEntry::values
  std::vector<std::string> lines;  // keys whose values tell lines apart
  std::string title, file;         // file: name without ending
  bool log_x = false;
};

struct SweepPlan {
  std::string title;
  std::vector<int64_t> seeds;
  std::vector<SweepEntry> entries;
  std::vector<SweepPlot> plots;

  size_t run_count() const { return seeds.size() * entries.size(); }
};

// The configuration that the entry's model is made from, with V at its cap.
std::unique_ptr<ModelConfig> model_config_of(const SweepEntry& entry);

// Reads and checks a sweep file. `common` and `common_given` are the options of the command line, which win over those
// of the file. Everything that is wrong with any entry is in one std::invalid_argument, each complaint with the entry's
// name.
SweepPlan read_sweep_plan(const std::filesystem::path& file, const RunConfig& common,
                          const std::set<std::string>& common_given);

}  // namespace vigor
