#include "train/profile/profiler.h"

#include <fmt/core.h>

#include <algorithm>

#include "train/profile/machine.h"

namespace vigor {

std::string RecordedStep::shapes_of(const RecordedOp& op) const {
  std::string text;
  for (size_t at = op.sizes_begin; at < op.sizes_end;) {
    text += text.empty() ? "[" : " [";
    const auto rank = static_cast<size_t>(sizes[at++]);
    for (size_t i = 0; i < rank; ++i) text += fmt::format("{}{}", i > 0 ? "," : "", sizes[at++]);
    text += ']';
  }
  return text;
}

Profiler::Profiler(Device device)
    : device_(device), allocator_(allocator_of(device)), made_(seconds_on(CLOCK_MONOTONIC)) {
  if constexpr (kCudaBuild)
    if (!device.is_cpu()) gpu_ = std::make_shared<GpuClock>();
}

double Profiler::now() {
  if constexpr (kCudaBuild)
    if (gpu_) return static_cast<double>(gpu_->mark());
  return seconds_on(CLOCK_MONOTONIC) - step_start_;
}

// The highest use of memory since the last call was during `op` (-1: between operations).
void Profiler::note_peak(int32_t op) {
  const auto peak = static_cast<int64_t>(allocator_.stats().peak_bytes);
  allocator_.reset_peak();
  if (peak > step_.peak_bytes) {
    step_.peak_bytes = peak;
    step_.peak_op = op;
  }
  for (const int32_t around : open_) {
    RecordedOp& open = step_.ops[static_cast<size_t>(around)];
    open.peak_bytes = std::max(open.peak_bytes, peak);
  }
}

void Profiler::begin_step() {
  RecordedStep step;
  if (!steps_.empty()) {  // steps are alike: the memory for the next is there before its time runs
    step.ops.reserve(steps_.back().ops.size());
    step.sizes.reserve(steps_.back().sizes.size());
  }
  step_ = std::move(step);
  open_.clear();
  synchronize(device_);
  allocator_.reset_peak();
  step_.start_bytes = static_cast<int64_t>(allocator_.stats().current_bytes);
  step_.peak_bytes = step_.start_bytes;
  listening_.emplace(*this);
  step_start_ = seconds_on(CLOCK_MONOTONIC);
  step_.start = step_start_ - made_;
  if constexpr (kCudaBuild) {
    if (gpu_) {
      gpu_->restart();
      gpu_->mark();
    }
  }
}

void Profiler::end_step() {
  step_.seconds = now();
  note_peak(-1);
  listening_.reset();
  if constexpr (kCudaBuild) {
    if (gpu_) {  // marks become times
      gpu_->wait();
      const auto time_of = [&](double mark) { return gpu_->seconds(static_cast<size_t>(mark)); };
      step_.seconds = time_of(step_.seconds);
      for (RecordedOp& op : step_.ops) {
        const double begin = op.start;
        op.start = time_of(begin);
        op.seconds = time_of(op.seconds) - op.start;
      }
    }
  }
  for (RecordedOp& op : step_.ops) {
    if (op.parent < 0) continue;
    RecordedOp& around = step_.ops[static_cast<size_t>(op.parent)];
    around.inner_seconds += op.seconds;
    around.inner_flops += op.flops;
    around.inner_bytes += op.bytes;
  }
  steps_.push_back(std::move(step_));
}

void Profiler::add_sizes(const Shape& sizes) {
  step_.sizes.push_back(sizes.rank());
  for (int i = 0; i < sizes.rank(); ++i) step_.sizes.push_back(sizes[i]);
}

void Profiler::begin(const OpRecord& record) {
  note_peak(-1);
  RecordedOp op{};
  op.name = record.name;
  op.phase = record.phase;
  op.region = record.region;
  op.parent = open_.empty() ? -1 : open_.back();
  op.flops = record.flops;
  op.bytes = std::max(record.nbytes, 0.0);
  op.sizes_begin = step_.sizes.size();
  bool first = true;
  double inputs = 0;
  const auto operand = [&](const Shape& sizes, Dtype dtype) {
    if (first) op.dtype = dtype;
    first = false;
    add_sizes(sizes);
  };
  for (const TensorView* view : record.views) operand(view->sizes, view->dtype);
  for (const Tensor* input : record.inputs) {
    if (!input->defined()) continue;
    operand(input->shape(), input->dtype());
    inputs += static_cast<double>(input->nbytes());
  }
  if (record.nbytes < 0) op.bytes = inputs;
  if (inputs <= op.bytes) op.read_bytes = inputs;  // else it does not read all of them, as of a table
  op.sizes_end = step_.sizes.size();
  op.bytes_before = static_cast<int64_t>(allocator_.stats().current_bytes);
  op.peak_bytes = op.bytes_before;
  open_.push_back(static_cast<int32_t>(step_.ops.size()));
  step_.ops.push_back(op);
  step_.ops.back().start = now();  // last, so that the profiler's own time is not the operation's
}

void Profiler::end(const OpRecord& record, std::span<const Tensor* const> outputs) {
  const double time = now();
  const int32_t index = open_.back();
  note_peak(index);
  open_.pop_back();
  RecordedOp& op = step_.ops[static_cast<size_t>(index)];
  op.seconds = gpu_ ? time : time - op.start;  // on a GPU marks, until the step is over
  op.bytes_after = static_cast<int64_t>(allocator_.stats().current_bytes);
  if (record.nbytes >= 0) return;
  for (const Tensor* output : outputs)
    if (output->defined()) op.bytes += static_cast<double>(output->nbytes());
}

}  // namespace vigor
