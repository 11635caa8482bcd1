#include "train/metrics/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

namespace vigor {
namespace {

constexpr size_t kCurvePoints = 400;
// A small model makes a thousand steps a second, and a terminal takes as long for a line as one of them.
constexpr std::chrono::milliseconds kBetweenDrawings{50};

int terminal_width(std::FILE* out) {
  winsize size{};
  return ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

std::string Progress::bar(double share, int width) {
  static const char* const kEighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const int eighths = static_cast<int>(std::clamp(share, 0.0, 1.0) * width * 8);
  std::string out;
  for (int i = 0; i < eighths / 8; ++i) out += "█";
  out += kEighths[eighths % 8];
  const int drawn = eighths / 8 + (eighths % 8 != 0 ? 1 : 0);
  return out + std::string(static_cast<size_t>(width - drawn), ' ');
}

std::string Progress::sparkline(const std::vector<double>& values, int width) {
  static const char* const kLevels[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  if (values.empty()) return "";
  const size_t points = std::min(values.size(), static_cast<size_t>(width));
  std::vector<double> means;
  for (size_t i = 0; i < points; ++i) {
    const size_t first = i * values.size() / points;
    const size_t last = (i + 1) * values.size() / points;
    double sum = 0;
    for (size_t j = first; j < last; ++j) sum += values[j];
    means.push_back(sum / static_cast<double>(last - first));
  }
  const auto [low, high] = std::minmax_element(means.begin(), means.end());
  const double range = std::max(*high - *low, 1e-9);
  std::string out;
  for (double mean : means)
    out += std::isfinite(mean) ? kLevels[std::clamp(static_cast<int>((mean - *low) / range * 7.999), 0, 7)] : "?";
  return out;
}

std::string Progress::duration(double seconds) {
  const auto s = static_cast<int64_t>(std::clamp(seconds, 0.0, 1e9) + 0.5);
  return s >= 3600 ? fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
                   : fmt::format("{}:{:02}", s / 60, s % 60);
}

std::string Progress::bytes(int64_t nbytes) {
  const auto value = static_cast<double>(nbytes);
  if (value >= 1e9) return fmt::format("{:.2f} GB", value / 1e9);
  return value >= 1e6 ? fmt::format("{:.0f} MB", value / 1e6) : fmt::format("{:.0f} kB", value / 1e3);
}

std::string Progress::count(int64_t n) {
  std::string digits = std::to_string(n);
  for (int i = static_cast<int>(digits.size()) - 3; i > (n < 0 ? 1 : 0); i -= 3)
    digits.insert(static_cast<size_t>(i), 1, ',');
  return digits;
}

Progress::Progress(std::FILE* out, int64_t total_steps)
    : out_(out), total_steps_(total_steps), terminal_(isatty(fileno(out)) != 0) {}

Progress::~Progress() { clear_line(); }

void Progress::clear_line() {
  if (line_open_) std::fputs("\r\033[K", out_);
  line_open_ = false;
}

void Progress::step(const StepMetrics& m) {
  losses_.push_back(m.loss);
  if (losses_.size() >= 2 * kCurvePoints) {  // keep every second mean: the curve always spans the whole run
    for (size_t i = 0; i < kCurvePoints; ++i) losses_[i] = (losses_[2 * i] + losses_[2 * i + 1]) / 2;
    losses_.resize(kCurvePoints);
  }
  if (!terminal_) return;
  const auto now = std::chrono::steady_clock::now();
  if (now - drawn_ < kBetweenDrawings) return;
  drawn_ = now;
  const int width = terminal_width(out_);
  const double share = static_cast<double>(m.step) / static_cast<double>(total_steps_);
  const std::string numbers = fmt::format(" {:3.0f} %  loss {:.3f} ", share * 100, m.loss);
  const std::string rest = fmt::format("  {} tok/s  {}  {} left", count(static_cast<int64_t>(m.tokens_per_s)),
                                       bytes(m.memory_bytes), duration(m.seconds_left));
  const int free = width - 1 - static_cast<int>(numbers.size() + rest.size());
  std::string line = "\r\033[K";
  if (free >= 24) line += bar(share, free / 2) + numbers + sparkline(losses_, free - free / 2) + rest;
  else line += (numbers + rest).substr(0, static_cast<size_t>(std::max(width - 1, 0)));
  std::fputs(line.c_str(), out_);
  std::fflush(out_);
  line_open_ = true;
}

void Progress::log(const StepMetrics& m) {
  message(fmt::format("step {:>6}/{}  loss {:.4f}  ppl {:>8.2f}  {:>7} tok/s  lr {:.2e}  |g| {:.3f}  mem {}  left {}",
                      m.step, total_steps_, m.loss, m.perplexity, count(static_cast<int64_t>(m.tokens_per_s)), m.lr,
                      m.grad_norm, bytes(m.memory_bytes), duration(m.seconds_left)));
}

void Progress::message(const std::string& text) {
  clear_line();
  std::fprintf(out_, "%s\n", text.c_str());
  std::fflush(out_);
}

}  // namespace vigor
