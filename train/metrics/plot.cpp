#include "train/metrics/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

namespace vigor {
namespace {

struct Point {
  double step = 0;
  double loss = 0;
};

constexpr double kWidth = 860, kHeight = 420;
constexpr double kLeft = 60, kRight = 90, kTop = 50, kBottom = 45;

// 1, 2 or 5 times a power of ten, so that about `count` ticks cover `range`.
double tick_step(double range, int count) {
  const double raw = range / count;
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  for (double factor : {1.0, 2.0, 5.0})
    if (factor * power >= raw) return factor * power;
  return 10 * power;
}

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

void read_points(const std::filesystem::path& file, std::vector<Point>& train, std::vector<Point>& held_out) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    const auto object = nlohmann::json::parse(line, nullptr, false);
    if (!object.is_object() || !object.contains("step") || !object["step"].is_number()) continue;
    const double step = object["step"].get<double>();
    const auto loss = object.find("loss");
    const auto eval_loss = object.find("eval_loss");
    if (loss != object.end() && loss->is_number()) train.push_back({step, loss->get<double>()});
    if (eval_loss != object.end() && eval_loss->is_number()) held_out.push_back({step, eval_loss->get<double>()});
  }
}

}  // namespace

std::string training_plot_svg(const std::filesystem::path& metrics_file, const std::string& title) {
  std::vector<Point> train;
  std::vector<Point> held_out;
  read_points(metrics_file, train, held_out);

  double steps = 1, low = 0, high = 1;
  if (!train.empty()) {
    steps = std::max(train.back().step, 1.0);
    const auto by_loss = [](const Point& a, const Point& b) { return a.loss < b.loss; };
    low = std::floor(std::min_element(train.begin(), train.end(), by_loss)->loss);
    high = std::ceil(std::max_element(train.begin(), train.end(), by_loss)->loss);
    for (const Point& p : held_out) low = std::min(low, std::floor(p.loss)), high = std::max(high, std::ceil(p.loss));
    if (high <= low) high = low + 1;
  }
  const auto x = [&](double step) { return kLeft + step / steps * (kWidth - kLeft - kRight); };
  const auto y = [&](double loss) { return kTop + (high - loss) / (high - low) * (kHeight - kTop - kBottom); };

  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" font-family=\"sans-serif\" font-size=\"13\">\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"#ffffff\"/>\n"
      "<text x=\"{2}\" y=\"26\" font-size=\"16\" fill=\"#222222\">{3}</text>\n",
      kWidth, kHeight, kLeft, escaped(title));
  for (double v = low; v <= high + 1e-9; v += tick_step(high - low, 6))
    svg += fmt::format(
        "<line x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\" stroke=\"#e5e5e5\"/>\n"
        "<text x=\"{3}\" y=\"{4:.1f}\" text-anchor=\"end\" fill=\"#666666\">{5:g}</text>\n",
        kLeft, kWidth - kRight, y(v), kLeft - 8, y(v) + 4, v);
  for (double v = 0; v <= steps + 1e-9; v += tick_step(steps, 6))
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\" fill=\"#666666\">{:g}</text>\n", x(v),
                       kHeight - kBottom + 20, v);
  svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"#666666\">step</text>\n", kWidth - kRight,
                     kHeight - 8);
  if (!train.empty()) {
    svg += "<polyline fill=\"none\" stroke=\"#2864b4\" stroke-width=\"1.6\" points=\"";
    for (const Point& p : train) svg += fmt::format("{:.1f},{:.1f} ", x(p.step), y(p.loss));
    svg += fmt::format("\"/>\n<text x=\"{:.1f}\" y=\"{:.1f}\" fill=\"#2864b4\">loss {:.2f}</text>\n",
                       x(train.back().step) + 6, y(train.back().loss) + 4, train.back().loss);
  }
  for (const Point& p : held_out)
    svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\" fill=\"#d2691e\"/>\n", x(p.step), y(p.loss));
  if (!held_out.empty())
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" fill=\"#d2691e\">held out {:.2f}</text>\n",
                       x(held_out.back().step) - 30, y(held_out.back().loss) - 12, held_out.back().loss);
  return svg + "</svg>\n";
}

}  // namespace vigor
