#include "train/metrics/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

namespace vigor {
namespace {

constexpr double kWidth = 860, kHeight = 420;
constexpr double kLeft = 70, kRight = 230, kTop = 50, kBottom = 50;  // margins
constexpr double kPlotWidth = kWidth - kLeft - kRight, kPlotHeight = kHeight - kTop - kBottom;
constexpr double kLegendLine = 18;

// Distinguishable on white and on near-black, also for most colour-blind readers.
const char* const kColours[] = {"#3b82c4", "#e0803a", "#3fa66b", "#c95f9f", "#8a6fd1",
                                "#c9a227", "#2fa8a8", "#d1574f", "#7d8a94", "#9a7350"};

std::string escaped(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '<') out += "&lt;";
    else if (c == '>') out += "&gt;";
    else if (c == '&') out += "&amp;";
    else out += c;
  }
  return out;
}

bool is_finite(const PlotPoint& p) { return std::isfinite(p.x) && std::isfinite(p.y); }

// From data to pixels, and where the ticks are.
class Axis {
 public:
  Axis(double low, double high, double from, double to, bool log) : from_(from), to_(to), log_(log) {
    if (!(high > low)) high = low + (low == 0 ? 1 : std::fabs(low) * 0.1);
    low_ = scaled(low);
    high_ = scaled(high);
  }
  double operator()(double value) const { return from_ + (scaled(value) - low_) / (high_ - low_) * (to_ - from_); }

  std::vector<double> ticks() const {
    std::vector<double> ticks;
    if (log_) {
      for (double power = std::floor(low_); power <= high_; ++power)
        for (const double factor : {1.0, 2.0, 5.0}) add_tick(ticks, std::pow(10.0, power) * factor);
      return ticks;
    }
    const double step = tick_step();
    for (double i = std::ceil(low_ / step - 1e-9); i * step <= high_ + 1e-9 * step; ++i) add_tick(ticks, i * step);
    return ticks;
  }

 private:
  double scaled(double value) const { return log_ ? std::log10(value) : value; }
  void add_tick(std::vector<double>& ticks, double value) const {
    const double slack = 1e-6 * (high_ - low_);
    if (scaled(value) >= low_ - slack && scaled(value) <= high_ + slack) ticks.push_back(value);
  }
  // 1, 2 or 5 times a power of ten, for about six ticks.
  double tick_step() const {
    const double raw = (high_ - low_) / 6;
    const double power = std::pow(10.0, std::floor(std::log10(raw)));
    for (const double factor : {1.0, 2.0, 5.0})
      if (factor * power >= raw) return factor * power;
    return 10 * power;
  }

  double from_, to_, low_, high_;
  bool log_;
};

// "1.2 M", "300 k" where numbers are large.
std::string tick_text(double value) {
  if (std::fabs(value) >= 1e6) return fmt::format("{:g} M", value / 1e6);
  if (std::fabs(value) >= 1e4) return fmt::format("{:g} k", value / 1e3);
  return fmt::format("{:g}", std::fabs(value) < 1e-12 ? 0.0 : value);
}

struct Range {
  double low = INFINITY, high = -INFINITY;
  void include(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  void widen(double share) {
    const double by = (high - low) * share;
    low -= by;
    high += by;
  }
};

// Light by default; a page in dark mode changes the two kinds of grey and the ground.
std::string header(const PlotOptions& o) {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" font-family=\"sans-serif\" font-size=\"13\">\n"
      "<style>.ground{{fill:#ffffff}} .title{{fill:#222222}} text{{fill:#555555}} .grid{{stroke:#e2e2e2}}\n"
      "@media (prefers-color-scheme: dark){{.ground{{fill:#15181c}} .title{{fill:#eeeeee}} text{{fill:#a8b0b8}} "
      ".grid{{stroke:#333a42}}}}</style>\n"
      "<clipPath id=\"area\"><rect x=\"{2}\" y=\"{3}\" width=\"{4}\" height=\"{5}\"/></clipPath>\n"
      "<rect class=\"ground\" width=\"{0}\" height=\"{1}\"/>\n"
      "<text class=\"title\" x=\"{2}\" y=\"24\" font-size=\"16\">{6}</text>\n",
      kWidth, kHeight, kLeft, kTop, kPlotWidth, kPlotHeight, escaped(o.title));
}

std::string axes(const Axis& x, const Axis& y, const PlotOptions& o) {
  std::string svg;
  for (const double v : y.ticks())
    svg += fmt::format(
        "<line class=\"grid\" x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/>\n"
        "<text x=\"{3}\" y=\"{4:.1f}\" text-anchor=\"end\">{5}</text>\n",
        kLeft, kLeft + kPlotWidth, y(v), kLeft - 8, y(v) + 4, tick_text(v));
  for (const double v : x.ticks())
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n", x(v), kTop + kPlotHeight + 20,
                       tick_text(v));
  svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n", kLeft + kPlotWidth, kHeight - 10,
                     escaped(o.x_label));
  svg += fmt::format("<text x=\"{}\" y=\"{}\">{}</text>\n", kLeft, kTop - 6, escaped(o.y_label));
  return svg;
}

std::string draw_line(const PlotSeries& s, const Axis& x, const Axis& y, const char* colour) {
  std::string upper, lower, line;
  bool has_band = false;
  for (const PlotPoint& p : s.points) {
    if (!is_finite(p)) continue;
    upper += fmt::format("{:.1f},{:.1f} ", x(p.x), y(p.high));
    lower = fmt::format("{:.1f},{:.1f} ", x(p.x), y(p.low)) + lower;
    line += fmt::format("{:.1f},{:.1f} ", x(p.x), y(p.y));
    has_band |= p.high > p.low;
  }
  std::string svg;
  if (has_band)
    svg += fmt::format("<polygon fill=\"{}\" fill-opacity=\"0.18\" points=\"{}{}\"/>\n", colour, upper, lower);
  return svg +
         fmt::format("<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"1.8\" points=\"{}\"/>\n", colour, line);
}

std::string draw_dots(const PlotSeries& s, const Axis& x, const Axis& y, const char* colour) {
  std::string svg;
  for (const PlotPoint& p : s.points) {
    if (!is_finite(p)) continue;
    if (!s.line && p.high > p.low)
      svg += fmt::format(
          "<line x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\" stroke=\"{3}\" stroke-width=\"1.5\"/>\n",
          x(p.x), y(p.low), y(p.high), colour);
    svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\" fill=\"{}\"/>\n", x(p.x), y(p.y), colour);
  }
  return svg;
}

double last_value(const PlotSeries& s) { return s.points.empty() ? -INFINITY : s.points.back().y; }

std::string legend(const std::vector<PlotSeries>& series) {
  std::vector<size_t> order;
  for (size_t i = 0; i < series.size(); ++i) order.push_back(i);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return last_value(series[a]) > last_value(series[b]); });
  std::string svg;
  double y = kTop + 10;
  for (const size_t i : order) {
    svg += fmt::format(
        "<rect x=\"{0}\" y=\"{1:.1f}\" width=\"12\" height=\"4\" fill=\"{2}\"/>\n"
        "<text x=\"{3}\" y=\"{4:.1f}\">{5}</text>\n",
        kLeft + kPlotWidth + 14, y - 6, kColours[i % std::size(kColours)], kLeft + kPlotWidth + 32, y,
        escaped(series[i].name));
    y += kLegendLine;
  }
  return svg;
}

}  // namespace

std::string plot_svg(const std::vector<PlotSeries>& series, const PlotOptions& options) {
  Range xs, ys;
  for (const PlotSeries& s : series) {
    for (const PlotPoint& p : s.points) {
      if (!is_finite(p)) continue;
      xs.include(p.x);
      if (p.x < options.y_from_x) continue;
      for (const double value : {p.y, p.low, p.high}) ys.include(value);
    }
  }
  if (!(xs.low <= xs.high)) xs = {options.log_x ? 1.0 : 0.0, 2};
  if (!(ys.low <= ys.high)) ys = {0, 1};
  ys.widen(0.04);
  // Room for the dots at both ends.
  const bool has_dots =
      std::any_of(series.begin(), series.end(), [](const PlotSeries& s) { return s.dots || !s.line; });
  if (has_dots && options.log_x) xs = {xs.low / 1.1, xs.high * 1.1};
  else if (has_dots) xs.widen(0.03);
  const Axis x(xs.low, xs.high, kLeft, kLeft + kPlotWidth, options.log_x);
  const Axis y(ys.low, ys.high, kTop + kPlotHeight, kTop, false);

  std::string svg = header(options) + axes(x, y, options) + "<g clip-path=\"url(#area)\">\n";
  for (size_t i = 0; i < series.size(); ++i) {
    const char* colour = kColours[i % std::size(kColours)];
    if (series[i].line) svg += draw_line(series[i], x, y, colour);
    if (series[i].dots || !series[i].line) svg += draw_dots(series[i], x, y, colour);
  }
  return svg + "</g>\n" + legend(series) + "</svg>\n";
}

std::string training_plot_svg(const std::filesystem::path& metrics_file, const std::string& title) {
  PlotSeries train{"loss", {}, true, false}, held_out{"held out", {}, false, false};
  std::ifstream in(metrics_file);
  for (std::string line; std::getline(in, line);) {
    const auto object = nlohmann::json::parse(line, nullptr, false);
    if (!object.is_object() || !object.contains("step") || !object["step"].is_number()) continue;
    const auto add = [&](const char* key, PlotSeries& series) {
      const auto value = object.find(key);
      if (value == object.end() || !value->is_number()) return;
      const double loss = value->get<double>();
      series.points.push_back({object["step"].get<double>(), loss, loss, loss});
    };
    add("loss", train);
    add("eval_loss", held_out);
  }
  std::vector<PlotSeries> series;
  for (PlotSeries* s : {&train, &held_out}) {
    if (s->points.empty()) continue;
    s->name += fmt::format(" {:.2f}", s->points.back().y);
    series.push_back(std::move(*s));
  }
  return plot_svg(series, {title, "step", "loss", false, 0});
}

}  // namespace vigor
