#include "train/profile/profile_table.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "train/metrics/progress.h"

namespace vigor {
namespace {

constexpr double kSmallShare = 5e-4;  // operations below it are summed up in one line

std::string seconds_text(double seconds) {
  if (seconds >= 1) return fmt::format("{:.3f} s", seconds);
  if (seconds >= 1e-3) return fmt::format("{:.2f} ms", seconds * 1e3);
  return fmt::format("{:.1f} us", seconds * 1e6);
}

std::string bytes_text(double bytes) { return Progress::bytes(static_cast<int64_t>(bytes)); }

std::string shortened(const std::string& text, size_t width) {
  return text.size() <= width ? text : text.substr(0, width - 2) + "..";
}

void add_heading(std::string& text, const Profile& p) {
  text += fmt::format("{}, {}: batch {} x {}, {} on {}{}\n", p.model, p.mode, p.batch, p.seq, p.dtype, p.device,
                      p.threads > 0 ? fmt::format(", {} threads", p.threads) : std::string());
  text += fmt::format("{} ({}): {:.1f} GFLOP/s of multiply-adds, {:.1f} GB/s read and {:.1f} GB/s copied in memory\n",
                      p.machine.cpu, p.machine.isa, p.machine.fma_gflops, p.machine.read_gb_s, p.machine.copy_gb_s);
  text += fmt::format("a step: {} ({} without the profiler; {:.0f} tokens/s), {:.2f} GFLOP, {}; median of {}\n\n",
                      seconds_text(p.step.seconds), seconds_text(p.step.unprofiled_seconds), p.step.tokens_per_s,
                      p.step.flops * 1e-9, bytes_text(p.step.bytes), p.steps);
}

void add_operations(std::string& text, const Profile& p) {
  text += fmt::format("{:<30} {:<9} {:<34} {:>5} {:>10} {:>10} {:>6} {:>8} {:>8} {:>8} {:>7} {:>8} {:>5}\n",
                      "operation", "phase", "shapes", "calls", "a step", "one call", "share", "GFLOP", "MB", "GFLOP/s",
                      "GB/s", "FLOP/B", "roof");
  double rest = 0;
  int64_t left_out = 0;
  for (const ProfileOperation& op : p.operations) {
    if (op.share < kSmallShare) {
      rest += op.seconds;
      ++left_out;
      continue;
    }
    text += fmt::format(
        "{:<30} {:<9} {:<34} {:>5.0f} {:>10} {:>10} {:>5.1f}% {:>8.3f} {:>8.1f} {:>8.1f} {:>7.1f} {:>8.1f} {:>4.0f}%\n",
        shortened(op.name, 30), op.phase, shortened(op.shapes, 34), op.calls, seconds_text(op.seconds),
        seconds_text(op.median_s), 100 * op.share, op.flops * 1e-9, op.bytes * 1e-6, op.gflops, op.gb_s, op.intensity,
        100 * op.roofline);
  }
  if (left_out > 0)
    text += fmt::format("{} more, each below {:.2g} % of the step: {} together\n", left_out, 100 * kSmallShare,
                        seconds_text(rest));
}

void add_layers(std::string& text, const Profile& p) {
  text += fmt::format("\n{:<14} {:<12} {:>10} {:>10} {:>10} {:>10} {:>9} {:>9}\n", "layer", "kind", "forward",
                      "backward", "recompute", "optimizer", "GFLOP", "MB");
  for (const ProfileLayer& layer : p.layers) {
    const auto cell = [](double seconds) { return seconds > 0 ? seconds_text(seconds) : std::string("-"); };
    text += fmt::format("{:<14} {:<12} {:>10} {:>10} {:>10} {:>10} {:>9.3f} {:>9.1f}\n",
                        layer.name.empty() ? "(none)" : layer.name, layer.kind, cell(layer.forward_s),
                        cell(layer.backward_s), cell(layer.recompute_s), cell(layer.optimizer_s), layer.flops * 1e-9,
                        layer.bytes * 1e-6);
  }
  text += fmt::format("\n{:<14} {:>10} {:>6} {:>9} {:>9}\n", "phase", "time", "share", "GFLOP", "MB");
  for (const ProfilePhase& phase : p.phases)
    text += fmt::format("{:<14} {:>10} {:>5.1f}% {:>9.3f} {:>9.1f}\n", phase.name, seconds_text(phase.seconds),
                        100 * phase.share, phase.flops * 1e-9, phase.bytes * 1e-6);
}

void add_memory(std::string& text, const Profile& p) {
  text += fmt::format("\nmemory of tensors: {} at the start of the step, {} at its peak, in {}{}\n",
                      bytes_text(p.memory.start_bytes), bytes_text(p.memory.peak_bytes), p.memory.peak_operation,
                      p.memory.peak_layer.empty() ? std::string() : " of " + p.memory.peak_layer);
  std::map<std::pair<std::string, std::string>, double> peaks;  // of the operations by name and phase
  for (const ProfileOperation& op : p.operations) {
    double& peak = peaks[{op.name, op.phase}];
    peak = std::max(peak, op.peak_bytes);
  }
  std::vector<std::pair<double, std::string>> highest;
  for (const auto& [operation, peak] : peaks)
    if (peak > 0) highest.emplace_back(peak, operation.first + " (" + operation.second + ")");
  std::sort(highest.rbegin(), highest.rend());
  highest.resize(std::min<size_t>(highest.size(), 5));
  text += "highest above the start:";
  for (const auto& [peak, operation] : highest) text += fmt::format("  {} {}", operation, bytes_text(peak));
  text += '\n';
}

// A field of comma-separated values.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + '"';
}

}  // namespace

std::string profile_table(const Profile& profile) {
  std::string text;
  add_heading(text, profile);
  add_operations(text, profile);
  add_layers(text, profile);
  add_memory(text, profile);
  text += "\n" + profile.step.verdict + "\n";
  return text;
}

std::string comparison_table(const Profile& before, const Profile& after) {
  const auto ratio = [](double a, double b) { return a > 0 ? fmt::format("{:.3f}", b / a) : std::string("-"); };
  std::string text = fmt::format("before: {}\nafter:  {}\n\n", before.command, after.command);
  text += fmt::format("{:<30} {:<9} {:<34} {:>10} {:>10} {:>10} {:>7}\n", "", "phase", "shapes", "before", "after",
                      "change", "ratio");
  const auto line = [&](const std::string& name, const std::string& phase, const std::string& shapes, double a,
                        double b) {
    const double change = b - a;
    text += fmt::format("{:<30} {:<9} {:<34} {:>10} {:>10} {:>10} {:>7}\n", shortened(name, 30), phase,
                        shortened(shapes, 34), seconds_text(a), seconds_text(b),
                        (change < 0 ? "-" : "+") + seconds_text(std::abs(change)), ratio(a, b));
  };
  line("step", "", "", before.step.seconds, after.step.seconds);
  line("step without the profiler", "", "", before.step.unprofiled_seconds, after.step.unprofiled_seconds);

  using Key = std::tuple<std::string, std::string, std::string>;  // name, phase, shapes
  std::map<Key, std::pair<double, double>> seconds;
  for (const ProfileOperation& op : before.operations) seconds[{op.name, op.phase, op.shapes}].first += op.seconds;
  for (const ProfileOperation& op : after.operations) seconds[{op.name, op.phase, op.shapes}].second += op.seconds;
  std::vector<std::pair<Key, std::pair<double, double>>> rows(seconds.begin(), seconds.end());
  std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
    return std::abs(a.second.second - a.second.first) > std::abs(b.second.second - b.second.first);
  });
  for (const auto& [key, times] : rows) {
    const double most = std::max(before.step.seconds, after.step.seconds);
    if (std::abs(times.second - times.first) < kSmallShare * most) break;
    line(std::get<0>(key), std::get<1>(key), std::get<2>(key), times.first, times.second);
  }
  text += fmt::format("\npeak memory: {} before, {} after ({})\n", bytes_text(before.memory.peak_bytes),
                      bytes_text(after.memory.peak_bytes), ratio(before.memory.peak_bytes, after.memory.peak_bytes));
  return text;
}

std::string profile_csv(const Profile& profile) {
  std::string text =
      "name,phase,shapes,dtype,calls,seconds,median_s,share,flops,bytes,gflops,gb_s,intensity,roofline,bound,"
      "peak_bytes\n";
  for (const ProfileOperation& op : profile.operations)
    text += fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}\n", quoted(op.name), quoted(op.phase),
                        quoted(op.shapes), quoted(op.dtype), op.calls, op.seconds, op.median_s, op.share, op.flops,
                        op.bytes, op.gflops, op.gb_s, op.intensity, op.roofline, quoted(op.bound), op.peak_bytes);
  return text;
}

}  // namespace vigor
