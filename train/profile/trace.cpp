#include "train/profile/trace.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "train/profile/summary.h"

namespace vigor {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kProcess = 1, kThread = 1;

class TraceWriter {
 public:
  explicit TraceWriter(const std::string& title) {
    name("process_name", title);
    name("thread_name", "operations");
  }
  void add(const RecordedStep& step, size_t number);
  std::string text() const {
    const Json trace = {{"displayTimeUnit", "ms"}, {"traceEvents", events_}};
    return trace.dump(-1, ' ', false, Json::error_handler_t::replace);
  }

 private:
  void name(const char* what, const std::string& value) {
    events_.push_back({{"name", what}, {"ph", "M"}, {"pid", kProcess}, {"tid", kThread}, {"args", {{"name", value}}}});
  }
  // A complete event; times in seconds.
  Json& slice(const std::string& title, const char* category, double start, double seconds) {
    events_.push_back({{"name", title},
                       {"cat", category},
                       {"ph", "X"},
                       {"pid", kProcess},
                       {"tid", kThread},
                       {"ts", start * 1e6},
                       {"dur", seconds * 1e6}});
    return events_.back();
  }
  template <class Same, class Title>
  void runs(const RecordedStep& step, const std::vector<const RecordedOp*>& ops, const char* category, Same same,
            Title title);

  Json events_ = Json::array();
};

// A slice around each run of operations that are the `same`, from the start of the first to the end of the last.
template <class Same, class Title>
void TraceWriter::runs(const RecordedStep& step, const std::vector<const RecordedOp*>& ops, const char* category,
                       Same same, Title title) {
  for (size_t begin = 0; begin < ops.size();) {
    size_t end = begin + 1;
    while (end < ops.size() && same(*ops[begin], *ops[end])) ++end;
    const RecordedOp& last = *ops[end - 1];
    if (const std::string text = title(*ops[begin]); !text.empty())
      slice(text, category, step.start + ops[begin]->start, last.start + last.seconds - ops[begin]->start);
    begin = end;
  }
}

void TraceWriter::add(const RecordedStep& step, size_t number) {
  slice(fmt::format("step {}", number), "step", step.start, step.seconds);
  std::vector<const RecordedOp*> outer;  // not inside another operation
  for (const RecordedOp& op : step.ops)
    if (op.parent < 0) outer.push_back(&op);
  runs(
      step, outer, "phase", [](const RecordedOp& a, const RecordedOp& b) { return a.phase == b.phase; },
      [](const RecordedOp& op) { return std::string(name_of(op.phase)); });
  runs(
      step, outer, "layer",
      [](const RecordedOp& a, const RecordedOp& b) { return a.phase == b.phase && a.region == b.region; },
      [](const RecordedOp& op) { return op.region != nullptr ? *op.region : std::string(); });
  for (const RecordedOp& op : step.ops)
    slice(op.name, "operation", step.start + op.start, op.seconds)["args"] = {
        {"shapes", step.shapes_of(op)}, {"dtype", name_of(op.dtype)}, {"flops", op.flops}, {"bytes", op.bytes}};
  for (const ProfileMemory::Point& point : memory_of(step))
    events_.push_back({{"name", "memory of tensors"},
                       {"ph", "C"},
                       {"pid", kProcess},
                       {"ts", (step.start + point.seconds) * 1e6},
                       {"args", {{"bytes", point.bytes}}}});
}

}  // namespace

std::string trace_json(const std::string& title, std::span<const RecordedStep> steps) {
  TraceWriter writer(title);
  for (size_t i = 0; i < steps.size(); ++i) writer.add(steps[i], i + 1);
  return writer.text();
}

}  // namespace vigor
