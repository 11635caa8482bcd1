#include "train/sweep/sweep_report.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "tensor/file.h"
#include "train/metrics/plot.h"
#include "train/metrics/progress.h"

namespace vigor {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr size_t kMostCurves = 10;  // in one plot
constexpr double kShownFrom = 0.3;  // of a curve: the y axis covers the rest of it

// What the seeds of one entry say together.
struct Row {
  const SweepEntry* entry = nullptr;
  int64_t parameters = 0, block_parameters = 0, tokens = 0;
  Spread loss, seconds;
  Spread difference;  // to the first entry, over the seeds that both have
  size_t failed = 0;
  std::vector<const SweepResult*> runs;  // with a result
};

double final_loss(const SweepResult& run) { return run.curve.back().loss; }
bool has_loss(const std::optional<SweepResult>& run) { return run && run->failure.empty(); }
double standard_error(const Spread& s) {
  return s.count > 1 ? s.deviation / std::sqrt(static_cast<double>(s.count)) : 0;
}

std::vector<Row> rows_of(const SweepPlan& plan, const SweepResults& results) {
  std::vector<Row> rows;
  for (size_t i = 0; i < plan.entries.size(); ++i) {
    Row row;
    row.entry = &plan.entries[i];
    row.parameters = plan.entries[i].parameters;
    std::vector<double> losses, seconds, differences;
    for (size_t j = 0; j < plan.seeds.size(); ++j) {
      const std::optional<SweepResult>& run = results[i][j];
      if (run && !run->failure.empty()) ++row.failed;
      if (!has_loss(run)) continue;
      row.runs.push_back(&*run);
      row.parameters = run->parameters;
      row.block_parameters = run->block_parameters;
      row.tokens = run->curve.back().tokens;
      losses.push_back(final_loss(*run));
      seconds.push_back(run->curve.back().seconds);
      if (has_loss(results[0][j])) differences.push_back(final_loss(*run) - final_loss(*results[0][j]));
    }
    row.loss = spread_of(losses);
    row.seconds = spread_of(seconds);
    row.difference = spread_of(differences);
    rows.push_back(std::move(row));
  }
  return rows;
}

std::string loss_text(const Row& row) {
  if (row.loss.count == 0) return row.failed > 0 ? "not finite" : "";
  std::string text = fmt::format("{:.4f}", row.loss.mean);
  if (row.loss.count > 1) text += fmt::format(" ± {:.4f}", row.loss.deviation);
  if (row.failed > 0) text += fmt::format(" ({} of {} not finite)", row.failed, row.failed + row.loss.count);
  return text;
}

std::string difference_text(const Row& row, bool is_first) {
  if (is_first || row.difference.count == 0) return "";
  if (row.difference.count == 1) return fmt::format("{:+.4f}", row.difference.mean);
  return fmt::format("{:+.4f} ± {:.4f}", row.difference.mean, standard_error(row.difference));
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

std::string table_csv(const std::vector<Row>& rows) {
  std::string text =
      "name,parameters,block_parameters,tokens,seconds,loss,loss_deviation,difference,difference_error,runs,failed\n";
  for (const Row& r : rows)
    text += fmt::format("{},{},{},{},{:.3f},{:.6f},{:.6f},{:.6f},{:.6f},{},{}\n", quoted(r.entry->name), r.parameters,
                        r.block_parameters, r.tokens, r.seconds.mean, r.loss.mean, r.loss.deviation, r.difference.mean,
                        standard_error(r.difference), r.loss.count, r.failed);
  return text;
}

std::string results_json(const SweepPlan& plan, const std::vector<Row>& rows, const SweepResults& results) {
  Json object = {{"title", plan.title}, {"seeds", plan.seeds}, {"models", Json::array()}};
  for (size_t i = 0; i < rows.size(); ++i) {
    const Row& r = rows[i];
    Json model = {{"name", r.entry->name},
                  {"values", r.entry->values},
                  {"parameters", r.parameters},
                  {"block_parameters", r.block_parameters},
                  {"tokens", r.tokens},
                  {"seconds", r.seconds.mean},
                  {"loss", {{"mean", r.loss.mean}, {"deviation", r.loss.deviation}, {"count", r.loss.count}}},
                  {"difference", {{"mean", r.difference.mean}, {"standard_error", standard_error(r.difference)}}},
                  {"runs", Json::array()}};
    for (size_t j = 0; j < plan.seeds.size(); ++j) {
      if (!results[i][j]) continue;
      Json run = {{"seed", plan.seeds[j]}, {"curve", Json::array()}};
      for (const SweepPoint& p : results[i][j]->curve)
        run["curve"].push_back({{"tokens", p.tokens}, {"seconds", p.seconds}, {"loss", p.loss}});
      if (!results[i][j]->failure.empty()) run["failure"] = results[i][j]->failure;
      model["runs"].push_back(std::move(run));
    }
    object["models"].push_back(std::move(model));
  }
  return object.dump(2) + "\n";
}

PlotPoint point_of(double x, const Spread& y) { return {x, y.mean, y.mean - y.deviation, y.mean + y.deviation}; }

// The loss over tokens or seconds, of the best entries, with the standard deviation over seeds as a band.
std::string curves_svg(const SweepPlan& plan, std::vector<Row> rows, bool by_seconds) {
  std::erase_if(rows, [](const Row& row) { return row.runs.empty(); });
  std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.loss.mean < b.loss.mean; });
  std::string title = plan.title;
  if (rows.size() > kMostCurves) {
    title += fmt::format(", the best {} of {}", kMostCurves, rows.size());
    rows.resize(kMostCurves);
  }
  std::vector<PlotSeries> series;
  double last = 0;
  for (const Row& row : rows) {
    PlotSeries s{row.entry->name, {}, true, false};
    for (size_t k = 0; k < row.runs[0]->curve.size(); ++k) {
      std::vector<double> losses, xs;
      for (const SweepResult* run : row.runs) {
        if (k >= run->curve.size()) continue;
        losses.push_back(run->curve[k].loss);
        xs.push_back(by_seconds ? run->curve[k].seconds : static_cast<double>(run->curve[k].tokens));
      }
      s.points.push_back(point_of(spread_of(xs).mean, spread_of(losses)));
      last = std::max(last, s.points.back().x);
    }
    series.push_back(std::move(s));
  }
  return plot_svg(series,
                  {title, by_seconds ? "seconds of training" : "tokens", "held-out loss", false, kShownFrom * last});
}

std::string by_parameters_svg(const SweepPlan& plan, const std::vector<Row>& rows) {
  std::vector<PlotSeries> series;
  for (const Row& row : rows)
    if (row.loss.count > 0)
      series.push_back({row.entry->name, {point_of(static_cast<double>(row.parameters), row.loss)}, false, true});
  return plot_svg(series, {plan.title, "parameters", "held-out loss", false, 0});
}

// One of the plan's own plots: final loss over a value, a line for each combination of other values.
std::string own_plot_svg(const SweepPlot& plot, const std::vector<Row>& rows) {
  std::vector<PlotSeries> series;
  for (const Row& row : rows) {
    if (row.loss.count == 0) continue;
    std::vector<std::string> labels;
    for (const std::string& key : plot.lines)
      labels.push_back(key.substr(key.find('.') + 1) + " " + row.entry->values.at(key));
    const std::string name = fmt::format("{}", fmt::join(labels, ", "));
    auto found = std::find_if(series.begin(), series.end(), [&](const PlotSeries& s) { return s.name == name; });
    if (found == series.end()) found = series.insert(series.end(), {name, {}, true, true});
    const std::string& x = row.entry->values.at(plot.x);
    char* end = nullptr;
    const double number = std::strtod(x.c_str(), &end);
    if (end == x.c_str() || (plot.log_x && number <= 0)) continue;  // a word has no place on the axis
    found->points.push_back(point_of(number, row.loss));
  }
  for (PlotSeries& s : series)
    std::stable_sort(s.points.begin(), s.points.end(),
                     [](const PlotPoint& a, const PlotPoint& b) { return a.x < b.x; });
  return plot_svg(series, {plot.title, plot.x.substr(plot.x.find('.') + 1), "held-out loss", plot.log_x, 0});
}

}  // namespace

std::string sweep_table(const SweepPlan& plan, const SweepResults& results) {
  const std::vector<Row> rows = rows_of(plan, results);
  std::string text = fmt::format(
      "| model | parameters | in blocks | tokens | seconds | held-out loss | difference to the first |\n"
      "|---|---:|---:|---:|---:|---:|---:|\n");
  for (const Row& r : rows) {
    if (r.loss.count == 0) {
      text += fmt::format("| {} | {} | | | | {} | |\n", r.entry->name, Progress::count(r.parameters), loss_text(r));
      continue;
    }
    text += fmt::format("| {} | {} | {} | {} | {:.1f} | {} | {} |\n", r.entry->name, Progress::count(r.parameters),
                        Progress::count(r.block_parameters), Progress::count(r.tokens), r.seconds.mean, loss_text(r),
                        difference_text(r, &r == &rows[0]));
  }
  return text;
}

void write_sweep_report(const fs::path& out, const SweepPlan& plan, const SweepResults& results) {
  const std::vector<Row> rows = rows_of(plan, results);
  write_file(
      out / "table.md",
      fmt::format("# {}\n\nLoss: mean ± standard deviation over the seeds {}. Difference: paired by seed, mean ± "
                  "standard error.\n\n",
                  plan.title, fmt::join(plan.seeds, ", ")) +
          sweep_table(plan, results));
  write_file(out / "table.csv", table_csv(rows));
  write_file(out / "results.json", results_json(plan, rows, results));
  write_file(out / "loss_by_tokens.svg", curves_svg(plan, rows, false));
  write_file(out / "loss_by_seconds.svg", curves_svg(plan, rows, true));
  write_file(out / "loss_by_parameters.svg", by_parameters_svg(plan, rows));
  for (const SweepPlot& plot : plan.plots) write_file(out / (plot.file + ".svg"), own_plot_svg(plot, rows));
}

}  // namespace vigor
