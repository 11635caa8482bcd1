// The counters as a table for people.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "kernels/emulator/counters.h"

namespace vigor::emulator {
namespace {

constexpr size_t kLinesShown = 12;  // of each kernel

// 1234567 -> "1.23 M"
std::string short_number(uint64_t n) {
  if (n < 10000) return std::to_string(n);
  double value = static_cast<double>(n);
  const char* unit = "";
  for (const char* next : {"k", "M", "G", "T"}) {
    if (value < 1000) break;
    value /= 1000;
    unit = next;
  }
  return fmt::format("{:.{}f} {}", value, value < 10 ? 2 : value < 100 ? 1 : 0, unit);
}

std::string percent(double part, double whole) { return whole > 0 ? fmt::format("{:.0f} %", 100 * part / whole) : ""; }
std::string or_empty(uint64_t n) { return n > 0 ? short_number(n) : ""; }

constexpr const char* kRow = "  {:<28} {:>6} {:>8} {:>7} {:>8} {:>8} {:>8} {:>9} {:>9} {:>9} {:>8}\n";

std::string heading() {
  return fmt::format(kRow, "line", "cost", "instr.", "lanes", "read B", "write B", "sectors", "coalesced", "shared",
                     "conflicts", "diverge");
}

std::string row(const std::string& name, const Counts& counts, uint64_t total_cost) {
  const auto lanes = static_cast<double>(counts.lane_instructions);
  const auto bytes = static_cast<double>(counts.global_bytes_read + counts.global_bytes_written);
  std::string text = fmt::format(
      kRow, name, percent(static_cast<double>(counts.cost()), static_cast<double>(total_cost)),
      short_number(counts.warp_instructions), percent(lanes, 32 * static_cast<double>(counts.warp_instructions)),
      or_empty(counts.global_bytes_read), or_empty(counts.global_bytes_written), or_empty(counts.global_sectors),
      percent(bytes, static_cast<double>(kSectorBytes * counts.global_sectors)), or_empty(counts.shared_wavefronts),
      or_empty(counts.bank_conflicts), or_empty(counts.divergent_branches));
  text.erase(text.find_last_not_of(" \n") + 1);
  return text + "\n";
}

}  // namespace

std::string Counters::kernel_table(const std::string& name, const Kernel& kernel) const {
  Counts total;
  std::map<Line, Counts> by_line;
  for (size_t i = 0; i < kernel.instructions.size(); ++i) {
    total += kernel.instructions[i];
    by_line[kernel.lines[i]] += kernel.instructions[i];
  }
  std::vector<std::pair<Line, Counts>> lines(by_line.begin(), by_line.end());
  std::stable_sort(lines.begin(), lines.end(),
                   [](const auto& a, const auto& b) { return a.second.cost() > b.second.cost(); });

  std::string text = fmt::format(
      "{}\n  launches {}, cost {}, lane instructions {}, barriers {}, atomics {}, local memory {} B\n",
      readable_name(name), kernel.launches, short_number(total.cost()), short_number(total.lane_instructions),
      short_number(total.barriers), short_number(total.atomics), short_number(total.local_bytes));
  text += heading() + row("all", total, total.cost());
  for (size_t i = 0; i < std::min(lines.size(), kLinesShown); ++i) {
    if (lines[i].second.warp_instructions == 0) break;
    text += row(fmt::format("{}:{}", lines[i].first.file, lines[i].first.line), lines[i].second, total.cost());
  }
  if (lines.size() > kLinesShown) text += fmt::format("  ... and {} more lines\n", lines.size() - kLinesShown);
  return text;
}

std::string Counters::table() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::pair<uint64_t, std::string>> kernels;
  for (const auto& [name, kernel] : kernels_) {
    Counts total;
    for (const Counts& counts : kernel.instructions) total += counts;
    kernels.emplace_back(total.cost(), kernel_table(name, kernel));
  }
  std::stable_sort(kernels.begin(), kernels.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  std::string text =
      "Kernels run on the emulated device, costliest first.\n"
      "cost = instructions + 8 sectors + 4 passes through shared memory\n";
  for (const auto& [cost, table] : kernels) text += "\n" + table;
  return text;
}

}  // namespace vigor::emulator
