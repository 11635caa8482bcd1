#include "train/profile/summary.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <map>
#include <stdexcept>
#include <tuple>

namespace vigor {
namespace {

const RecordedStep& median_step(std::span<const RecordedStep> steps) {
  std::vector<double> seconds;
  for (const RecordedStep& step : steps) seconds.push_back(step.seconds);
  const double middle = median(seconds);
  return *std::find_if(steps.begin(), steps.end(), [&](const RecordedStep& step) { return step.seconds == middle; });
}

// What makes two calls one row: name, phase, shapes, dtype.
using Kind = std::tuple<std::string, Phase, std::string, Dtype>;
Kind kind_of(const RecordedStep& step, const RecordedOp& op) {
  return {op.name, op.phase, step.shapes_of(op), op.dtype};
}

// One row, with the time that each of the limits asks for.
struct Row {
  ProfileOperation operation;
  double compute_s = 0, memory_s = 0, ideal_s = 0;
};

void add_call(Row& row, const RecordedStep& step, const RecordedOp& op, const MachinePeaks& peaks) {
  ProfileOperation& sum = row.operation;
  ++sum.calls;
  sum.seconds += op.self_seconds();
  sum.flops += op.self_flops();
  sum.bytes += op.self_bytes();
  sum.peak_bytes = std::max(sum.peak_bytes, static_cast<double>(op.peak_bytes - step.start_bytes));
  const double compute = op.self_flops() / peaks.fma_flops;
  const double memory = peaks.memory_seconds(op.self_bytes(), std::min(op.read_bytes, op.self_bytes()));
  row.compute_s += compute;
  row.memory_s += memory;
  row.ideal_s += std::max(compute, memory);
}

void set_rates(Row& row) {
  ProfileOperation& sum = row.operation;
  const double seconds = std::max(sum.seconds, 1e-12);
  sum.gflops = sum.flops / seconds * 1e-9;
  sum.gb_s = sum.bytes / seconds * 1e-9;
  sum.intensity = sum.bytes > 0 ? sum.flops / sum.bytes : 0;
  sum.roofline = row.ideal_s / seconds;
  sum.bound = row.compute_s > row.memory_s ? "compute" : "memory";
}

void add_operations(Profile& profile, std::span<const RecordedStep> steps, const RecordedStep& chosen,
                    const MachinePeaks& peaks) {
  std::map<Kind, std::vector<double>> times;  // of the calls in all steps
  for (const RecordedStep& step : steps)
    for (const RecordedOp& op : step.ops) times[kind_of(step, op)].push_back(op.self_seconds());
  std::map<Kind, Row> rows;
  double between = chosen.seconds;
  for (const RecordedOp& op : chosen.ops) {
    add_call(rows[kind_of(chosen, op)], chosen, op, peaks);
    between -= op.self_seconds();
  }
  for (auto& [kind, row] : rows) {
    ProfileOperation& operation = row.operation;
    operation.name = std::get<0>(kind);
    operation.phase = name_of(std::get<1>(kind));
    operation.shapes = std::get<2>(kind);
    operation.dtype = name_of(std::get<3>(kind));
    operation.median_s = median(times[kind]);
    set_rates(row);
    profile.operations.push_back(operation);
  }
  ProfileOperation rest;
  rest.name = kBetweenOperations;
  rest.phase = name_of(Phase::other);
  rest.calls = 1;
  rest.seconds = rest.median_s = std::max(between, 0.0);
  rest.bound = "overhead";
  profile.operations.push_back(rest);
  for (ProfileOperation& row : profile.operations) row.share = row.seconds / chosen.seconds;
  std::stable_sort(profile.operations.begin(), profile.operations.end(),
                   [](const auto& a, const auto& b) { return a.seconds > b.seconds; });
}

// "embedding", "layers.0", "layers.1", ..., "head", then what else there is by name, and "" at the end.
std::tuple<int, int, std::string> layer_order(const std::string& name) {
  if (name == "embedding") return {0, 0, name};
  if (name.starts_with("layers.")) return {1, std::atoi(name.c_str() + 7), name};
  if (name == "head") return {2, 0, name};
  return {name.empty() ? 4 : 3, 0, name};
}

void add_layers(Profile& profile, const RecordedStep& step, std::span<const std::string> layer_kinds) {
  std::map<Region, ProfileLayer> layers;
  for (const RecordedOp& op : step.ops) {
    ProfileLayer& layer = layers[op.region];
    switch (op.phase) {
      case Phase::forward:
        layer.forward_s += op.self_seconds();
        break;
      case Phase::backward:
        layer.backward_s += op.self_seconds();
        break;
      case Phase::recompute:
        layer.recompute_s += op.self_seconds();
        break;
      case Phase::optimizer:
        layer.optimizer_s += op.self_seconds();
        break;
      case Phase::data:
      case Phase::other:
        break;
    }
    layer.flops += op.self_flops();
    layer.bytes += op.self_bytes();
  }
  for (auto& [region, layer] : layers) {
    if (region != nullptr) layer.name = *region;
    const auto [group, index, name] = layer_order(layer.name);
    if (group == 1 && static_cast<size_t>(index) < layer_kinds.size())
      layer.kind = layer_kinds[static_cast<size_t>(index)];
    profile.layers.push_back(layer);
  }
  std::sort(profile.layers.begin(), profile.layers.end(),
            [](const auto& a, const auto& b) { return layer_order(a.name) < layer_order(b.name); });
}

void add_phases(Profile& profile, const RecordedStep& step) {
  std::array<ProfilePhase, kPhaseCount> phases{};
  double rest = step.seconds;
  for (const RecordedOp& op : step.ops) {
    ProfilePhase& phase = phases[static_cast<size_t>(op.phase)];
    phase.seconds += op.self_seconds();
    phase.flops += op.self_flops();
    phase.bytes += op.self_bytes();
    rest -= op.self_seconds();
  }
  phases[static_cast<size_t>(Phase::other)].seconds += std::max(rest, 0.0);
  for (const Phase phase :
       {Phase::data, Phase::forward, Phase::backward, Phase::recompute, Phase::optimizer, Phase::other}) {
    ProfilePhase& row = phases[static_cast<size_t>(phase)];
    row.name = name_of(phase);
    row.share = row.seconds / step.seconds;
    if (row.seconds > 0) profile.phases.push_back(row);
  }
}

void add_memory(Profile& profile, const RecordedStep& step) {
  ProfileMemory& memory = profile.memory;
  memory.start_bytes = static_cast<double>(step.start_bytes);
  memory.peak_bytes = static_cast<double>(step.peak_bytes);
  memory.peak_operation = kBetweenOperations;
  if (step.peak_op >= 0) {
    const RecordedOp& op = step.ops[static_cast<size_t>(step.peak_op)];
    memory.peak_operation = op.name;
    if (op.region != nullptr) memory.peak_layer = *op.region;
  }
  memory.timeline = memory_of(step);
}

// An operation that needs ten times its limit or more does something else than computing and moving data.
constexpr double kOverheadRoofline = 0.1;

void add_verdict(Profile& profile) {
  ProfileStep& step = profile.step;
  struct Limit {
    const char* name;
    const char* limit;
    double seconds = 0, ideal = 0;
  };
  Limit limits[] = {{"compute", "multiply-adds"}, {"memory", "memory traffic"}, {"overhead", "neither"}};
  for (const ProfileOperation& row : profile.operations) {
    step.flops += row.flops;
    step.bytes += row.bytes;
    step.ideal_seconds += row.roofline * row.seconds;
    Limit& kind = limits[row.roofline < kOverheadRoofline ? 2 : row.bound == "compute" ? 0 : 1];
    kind.seconds += row.seconds;
    kind.ideal += row.roofline * row.seconds;
  }
  const Limit& most =
      *std::max_element(std::begin(limits), std::end(limits), [](auto& a, auto& b) { return a.seconds < b.seconds; });
  step.bound = most.name;
  const double share = 100 * most.seconds / step.seconds;
  const std::string why =
      step.bound == "overhead"
          ? fmt::format(
                "{:.0f} % of its time is spent between operations, or in operations that are too small for "
                "what a call costs",
                share)
          : fmt::format("{:.0f} % of its time are operations limited by {}, at {:.0f} % of that limit", share,
                        most.limit, 100 * most.ideal / std::max(most.seconds, 1e-12));
  step.verdict = fmt::format(
      "bound by {}: {}; at the limits of this machine the same operations would take {:.4g} s in place of {:.4g} s "
      "({:.0f} %)",
      step.bound, why, step.ideal_seconds, step.seconds, 100 * step.ideal_seconds / step.seconds);
}

}  // namespace

std::vector<ProfileEvent> events_of(const RecordedStep& step) {
  std::vector<ProfileEvent> events;
  events.reserve(step.ops.size());
  for (const RecordedOp& op : step.ops) {
    ProfileEvent event;
    event.name = op.name;
    event.phase = name_of(op.phase);
    if (op.region != nullptr) event.layer = *op.region;
    event.shapes = step.shapes_of(op);
    event.start = op.start;
    event.seconds = op.seconds;
    event.flops = op.flops;
    event.bytes = op.bytes;
    events.push_back(std::move(event));
  }
  return events;
}

std::vector<ProfileMemory::Point> memory_of(const RecordedStep& step) {
  std::vector<ProfileMemory::Point> points{{0, static_cast<double>(step.start_bytes)}};
  const auto add = [&](double seconds, int64_t bytes) { points.push_back({seconds, static_cast<double>(bytes)}); };
  for (const RecordedOp& op : step.ops) {
    add(op.start, op.bytes_before);
    if (op.inner_seconds > 0) continue;  // the operations inside it have points of their own
    if (op.peak_bytes > std::max(op.bytes_before, op.bytes_after)) add(op.start + 0.5 * op.seconds, op.peak_bytes);
    add(op.start + op.seconds, op.bytes_after);
  }
  return points;
}

void summarize(Profile& profile, std::span<const RecordedStep> steps, std::span<const double> unprofiled,
               const MachinePeaks& peaks, std::span<const std::string> layer_kinds, double tokens) {
  if (steps.empty()) throw std::logic_error("summarize: no step was recorded");
  const RecordedStep& chosen = median_step(steps);
  profile.steps = static_cast<int64_t>(steps.size());
  profile.step.seconds = chosen.seconds;
  profile.step.unprofiled_seconds =
      unprofiled.empty() ? chosen.seconds : median({unprofiled.begin(), unprofiled.end()});
  profile.step.tokens_per_s = tokens / profile.step.unprofiled_seconds;
  profile.machine.fma_gflops = peaks.fma_flops * 1e-9;
  profile.machine.read_gb_s = peaks.read_bytes_per_s * 1e-9;
  profile.machine.copy_gb_s = peaks.copy_bytes_per_s * 1e-9;
  for (const MachinePeaks::Bandwidth& size : peaks.bandwidths)
    profile.machine.reads.push_back({size.bytes, size.read_bytes_per_s * 1e-9});
  add_operations(profile, steps, chosen, peaks);
  add_layers(profile, chosen, layer_kinds);
  add_phases(profile, chosen);
  add_memory(profile, chosen);
  profile.timeline = events_of(chosen);
  add_verdict(profile);
}

}  // namespace vigor
