#include "train/sweep/sweep_plan.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "models/families.h"
#include "tensor/check.h"
#include "tensor/file.h"

namespace vigor {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr size_t kMaxPlanBytes = size_t{1} << 20;
constexpr size_t kMaxEntries = 1000;
constexpr int kMaxPlanDepth = 16;

// Options that the sweep sets for every run.
const std::set<std::string> kOwnOptions = {"model", "out", "resume", "seed", "steps", "stop_at", "json"};

// A run before its options are read: the models and options that files and grids were merged into.
struct Draft {
  std::string name;
  Json model;  // a string, or keys of a config.json
  Json train = Json::object();
  std::map<std::string, std::string> values;
};

std::string text_of(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

void merge(Json& target, const Json& source) {
  for (const auto& [key, value] : source.items()) {
    if (value.is_null()) target.erase(key);
    else target[key] = value;
  }
}

class PlanReader {
 public:
  PlanReader(const fs::path& file, const RunConfig& common, const std::set<std::string>& common_given)
      : origin_(file.string()), common_(common), common_given_(common_given) {
    const auto shallow = [](int depth, Json::parse_event_t, Json&) { return depth <= kMaxPlanDepth; };
    json_ = Json::parse(read_text(file, kMaxPlanBytes), shallow, false);
    check(json_.is_object(), "{}: must be a JSON object, as train/sweep/sweep_plan.h describes", origin_);
  }

  SweepPlan read();

 private:
  void complain(std::string text) { complaints_.push_back(std::move(text)); }
  // Turns an exception of `part` into a complaint, so that the other parts are looked at too.
  template <class F>
  void complain_of(const SweepEntry& entry, const F& part) {
    try {
      part();
    } catch (const std::exception& error) {
      complain(fmt::format("{}: {}", entry.name, error.what()));
    }
  }
  void refuse_unknown_keys(const Json& object, const std::set<std::string>& known, const std::string& where);
  Json object_of(const Json& parent, const char* key, const std::string& where);
  std::vector<Draft> drafts();
  std::vector<Draft> multiplied(const std::vector<Draft>& drafts, const std::string& axis, const Json& choices);
  std::vector<int64_t> seeds();
  SweepEntry entry_of(const Draft& draft);
  void set_length(SweepEntry& entry);
  void set_model(SweepEntry& entry, Json model);
  std::vector<SweepPlot> plots(const SweepPlan& plan);

  std::string origin_;
  const RunConfig& common_;
  const std::set<std::string>& common_given_;
  Json json_;
  std::vector<std::string> complaints_;
};

void PlanReader::refuse_unknown_keys(const Json& object, const std::set<std::string>& known, const std::string& where) {
  for (const auto& [key, value] : object.items())
    if (known.count(key) == 0)
      complain(fmt::format("{}unknown key {}; known: {}", where, printable(key), fmt::join(known, ", ")));
}

Json PlanReader::object_of(const Json& parent, const char* key, const std::string& where) {
  if (!parent.contains(key)) return Json::object();
  if (!parent[key].is_object()) {
    complain(fmt::format("{}{} must be an object", where, key));
    return Json::object();
  }
  return parent[key];
}

std::vector<int64_t> PlanReader::seeds() {
  std::vector<int64_t> seeds;
  const Json list = json_.value("seeds", Json::array({1}));
  if (list.is_array())
    for (const Json& seed : list)
      if (seed.is_number_integer() && seed.get<int64_t>() >= 0) seeds.push_back(seed.get<int64_t>());
  const std::set<int64_t> different(seeds.begin(), seeds.end());
  if (!list.is_array() || seeds.empty() || different.size() != list.size())
    complain("seeds must be a list of different whole numbers from 0");
  return seeds;
}

// One draft for each value of an axis "model.KEY" or "train.KEY".
std::vector<Draft> PlanReader::multiplied(const std::vector<Draft>& drafts, const std::string& axis,
                                          const Json& choices) {
  const std::string part = axis.substr(0, axis.find('.')), key = axis.substr(std::min(axis.size(), part.size() + 1));
  if ((part != "model" && part != "train") || key.empty() || !choices.is_array() || choices.empty()) {
    complain(
        fmt::format("grid: an axis is \"model.KEY\" or \"train.KEY\" with a list of values; got {}", printable(axis)));
    return drafts;
  }
  std::vector<Draft> result;
  for (const Draft& draft : drafts) {
    for (const Json& value : choices) {
      Draft made = draft;
      if (part == "model" && !made.model.is_object()) {
        complain(fmt::format("{}: grid: {} can only vary models that are written inline", draft.name, axis));
        continue;
      }
      merge(part == "model" ? made.model : made.train, Json{{key, value}});
      made.values[axis] = value.is_null() ? "none" : text_of(value);
      made.name += fmt::format("{}{}={}", made.name.empty() ? "" : " ", key, made.values[axis]);
      result.push_back(std::move(made));
      if (result.size() > kMaxEntries) return result;  // the caller complains
    }
  }
  return result;
}

std::vector<Draft> PlanReader::drafts() {
  const Json common_model = object_of(json_, "model", ""), common_train = object_of(json_, "train", "");
  std::vector<Draft> drafts;
  const Json runs = json_.value("runs", Json::array({Json::object()}));
  if (!runs.is_array() || runs.empty()) complain("runs must be a list of objects");
  for (size_t i = 0; runs.is_array() && i < runs.size(); ++i) {
    const Json& run = runs[i];
    std::string where = fmt::format("run {}: ", i + 1);
    if (!run.is_object()) {
      complain(where + "must be an object");
      continue;
    }
    Draft draft{run.contains("name") ? text_of(run["name"]) : "", common_model, common_train, {}};
    if (!draft.name.empty()) where = draft.name + ": ";
    refuse_unknown_keys(run, {"name", "model", "train", "values"}, where);
    if (run.contains("model") && run["model"].is_string()) draft.model = run["model"];
    else merge(draft.model, object_of(run, "model", where));
    merge(draft.train, object_of(run, "train", where));
    const Json values = object_of(run, "values", where);
    for (const auto& [key, value] : values.items()) draft.values["values." + key] = text_of(value);
    if (draft.name.empty() && draft.model.is_string()) draft.name = draft.model.get<std::string>();
    drafts.push_back(std::move(draft));
  }
  const Json grid = object_of(json_, "grid", "");
  for (const auto& [axis, choices] : grid.items()) drafts = multiplied(drafts, axis, choices);
  if (drafts.size() > kMaxEntries) {
    complain(fmt::format("more than {} models", kMaxEntries));
    drafts.clear();
  }
  if (drafts.size() == 1 && drafts[0].name.empty()) drafts[0].name = "model";
  return drafts;
}

// Steps from the sweep's budget, and evaluations that end with the last step.
void PlanReader::set_length(SweepEntry& entry) {
  RunConfig& c = entry.config;
  const Json value = json_.contains("steps") ? json_["steps"] : json_.value("tokens", Json());
  check(json_.contains("steps") != json_.contains("tokens") && value.is_number_integer() && value.get<int64_t>() > 0,
        "exactly one of steps and tokens must be given, a whole number above 0");
  check(c.seq_len > 0, "train.seq_len must be given");
  const int64_t tokens_per_step = c.batch_size * c.seq_len * c.accumulate;
  c.steps = value.get<int64_t>();
  if (json_.contains("tokens")) {
    check(c.steps >= tokens_per_step, "tokens: {} is not even one step of {}", c.steps, tokens_per_step);
    c.steps /= tokens_per_step;
  }
  const auto set = [&](const char* name, int64_t& field, int64_t value_if_not_given) {
    if (entry.given.count(name) == 0) field = value_if_not_given;
  };
  set("eval_every", c.eval_every, c.steps % 10 == 0 ? c.steps / 10 : c.steps);
  check(c.eval_every > 0 && c.steps % c.eval_every == 0,
        "train.eval_every must divide the {} steps, so that each run ends with an evaluation; got {}", c.steps,
        c.eval_every);
  set("log_every", c.log_every, c.eval_every);
  set("save_every", c.save_every, 0);
  set("sample_every", c.sample_every, 0);
  if (entry.given.count("tensorboard") == 0) c.tensorboard = false;
}

// Checks the model without memory for it.
void PlanReader::set_model(SweepEntry& entry, Json model) {
  const RunConfig& c = entry.config;
  if (model.is_string()) {
    entry.model = model.get<std::string>();
    check(!fs::is_directory(entry.model) || (c.vocab_size == 0 && c.max_seq_len == 0 && c.layers == 0),
          "train.vocab_size, max_seq_len and layers are for training from scratch; {} has weights", entry.model);
  } else {
    if (!model.contains("vocab_size") && c.vocab_size > 0) model["vocab_size"] = c.vocab_size;
    if (!model.contains("max_seq_len")) model["max_seq_len"] = c.seq_len;
    entry.inline_config = model.dump(2) + "\n";
  }
  const std::unique_ptr<ModelConfig> config = model_config_of(entry);
  check(c.seq_len <= config->max_seq_len, "train.seq_len {} is above the model's max_seq_len {}", c.seq_len,
        config->max_seq_len);
  entry.parameters = make_model(*config)->parameter_count();
}

SweepEntry PlanReader::entry_of(const Draft& draft) {
  SweepEntry entry;
  entry.name = draft.name;
  for (const char c : draft.name) entry.id += std::isalnum(static_cast<unsigned char>(c)) || c == '.' ? c : '_';
  entry.values = draft.values;
  for (const auto& [key, value] : draft.train.items())
    check(kOwnOptions.count(key) == 0, "train.{} is set by the sweep itself", printable(key));
  read_run_config(draft.train.dump(), "train", entry.config, entry.given);
  for (const RunOption& option : run_options()) {
    if (common_given_.count(option.name) == 0) continue;
    std::visit([&](auto field) { entry.config.*field = common_.*field; }, option.field);
    entry.given.insert(option.name);
  }
  complain_of(entry, [&] { set_length(entry); });
  complain_of(entry, [&] { check_run_config(entry.config); });
  complain_of(entry, [&] { set_model(entry, draft.model); });
  return entry;
}

std::vector<SweepPlot> PlanReader::plots(const SweepPlan& plan) {
  std::vector<SweepPlot> plots;
  const Json list = json_.value("plots", Json::array());
  if (!list.is_array()) complain("plots must be a list");
  for (size_t i = 0; list.is_array() && i < list.size(); ++i) {
    const Json& item = list[i];
    const std::string where = fmt::format("plot {}: ", i + 1);
    if (!item.is_object() || !item.contains("x") || !item["x"].is_string()) {
      complain(where + "must be an object with x, the name of a value");
      continue;
    }
    refuse_unknown_keys(item, {"x", "lines", "title", "file", "log_x"}, where);
    SweepPlot plot;
    plot.x = item["x"].get<std::string>();
    const Json lines = item.value("lines", Json::array());
    for (const Json& line : lines) plot.lines.push_back(text_of(line));
    plot.title = item.contains("title") ? text_of(item["title"]) : plan.title;
    plot.file = item.contains("file") ? text_of(item["file"]) : fmt::format("plot_{}", i + 1);
    plot.log_x = item.contains("log_x") && item["log_x"] == true;
    if (fs::path(plot.file).filename() != plot.file) complain(where + "file must be a name without folders");
    std::vector<std::string> keys = plot.lines;
    keys.push_back(plot.x);
    for (const std::string& key : keys)
      if (std::any_of(plan.entries.begin(), plan.entries.end(),
                      [&](const SweepEntry& entry) { return entry.values.count(key) == 0; }))
        complain(fmt::format("{}not every run has a value {}", where, printable(key)));
    plots.push_back(std::move(plot));
  }
  return plots;
}

SweepPlan PlanReader::read() {
  refuse_unknown_keys(json_, {"title", "steps", "tokens", "seeds", "train", "model", "runs", "grid", "plots"}, "");
  SweepPlan plan;
  plan.title = json_.contains("title") ? text_of(json_["title"]) : origin_;
  plan.seeds = seeds();
  std::set<std::string> ids;
  for (const Draft& draft : drafts()) {
    try {
      plan.entries.push_back(entry_of(draft));
      if (!ids.insert(plan.entries.back().id).second)
        complain(
            fmt::format("{}: another run has the same name (as a file name: {})", draft.name, plan.entries.back().id));
    } catch (const std::exception& error) {
      complain(fmt::format("{}: {}", draft.name, error.what()));
    }
  }
  std::set<int64_t> budgets;
  for (const SweepEntry& e : plan.entries)
    budgets.insert(e.config.steps * e.config.batch_size * e.config.seq_len * e.config.accumulate);
  if (budgets.size() > 1)
    complain(fmt::format("all runs must train on the same number of tokens; these have {}", fmt::join(budgets, ", ")));
  if (complaints_.empty()) plan.plots = plots(plan);
  if (!complaints_.empty()) fail("{}: {}", origin_, fmt::join(complaints_, "; "));
  return plan;
}

}  // namespace

std::unique_ptr<ModelConfig> model_config_of(const SweepEntry& entry) {
  const RunConfig& c = entry.config;
  const bool is_folder = fs::is_directory(entry.model);
  std::unique_ptr<ModelConfig> config;
  if (entry.model.empty()) config = parse_config(entry.inline_config, "model");
  else if (is_preset(entry.model)) config = preset_config(entry.model);
  else config = read_config(is_folder ? fs::path(entry.model) / "config.json" : fs::path(entry.model));
  if (!is_folder) apply_overrides(*config, {c.vocab_size, c.max_seq_len, c.layers});
  return config;
}

SweepPlan read_sweep_plan(const fs::path& file, const RunConfig& common, const std::set<std::string>& common_given) {
  return PlanReader(file, common, common_given).read();
}

}  // namespace vigor
