#pragma once
// Listens to the operations of some steps and keeps a record of each: when, how long, with which operands, and how much
// memory was in use. On a GPU the times are those of the device, by marks in its stream that are read after the step.
//
//   Profiler profiler(device);
//   profiler.begin_step();
//   ...a training step...
//   profiler.end_step();
//   summarize(profiler.steps(), ...)              train/profile/summary.h
//
// An operation costs it a fraction of a microsecond: two looks at the clock, four at the allocator, one copy of the
// shapes.
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tensor/allocator.h"
#include "tensor/op_scope.h"
#include "train/profile/gpu_clock.h"

namespace vigor {

// One call of one operation. Times in seconds since the start of the step.
struct RecordedOp {
  const char* name;
  Phase phase;
  Region region;
  Dtype dtype;                      // of the first operand
  int32_t parent;                   // the operation around this one; -1: none
  size_t sizes_begin, sizes_end;    // of the operands, in RecordedStep::sizes
  double start, seconds;            // with the operations inside it
  double inner_seconds;             // of those
  double flops, bytes, read_bytes;  // least bytes read and written, and of them those of operands
  double inner_flops, inner_bytes;
  int64_t bytes_before, bytes_after, peak_bytes;  // in use by tensors

  // What is left when the operations inside it are taken out. Their work may have been counted in its own or not.
  double self_seconds() const { return seconds - inner_seconds; }
  double self_flops() const { return flops > inner_flops ? flops - inner_flops : 0; }
  double self_bytes() const { return bytes > inner_bytes ? bytes - inner_bytes : 0; }
};

struct RecordedStep {
  double start = 0;  // since the profiler was made, by the host's clock
  double seconds = 0;
  std::vector<RecordedOp> ops;  // in the order of their starts
  std::vector<int64_t> sizes;   // for each operand its rank, then its sizes
  int64_t start_bytes = 0, peak_bytes = 0;
  int32_t peak_op = -1;  // during which the peak was; -1: between operations

  std::string shapes_of(const RecordedOp& op) const;  // "[4,256,512] [2048,512]"
};

class Profiler : public OpListener {
 public:
  explicit Profiler(Device device);

  // Everything that this thread does between the two is a step.
  void begin_step();
  void end_step();
  const std::vector<RecordedStep>& steps() const { return steps_; }
  std::vector<RecordedStep> take_steps() { return std::exchange(steps_, {}); }

  void begin(const OpRecord& record) override;
  void end(const OpRecord& record, std::span<const Tensor* const> outputs) override;

 private:
  double now();  // since the start of the step; on a GPU the number of a mark, until the step is over
  void note_peak(int32_t op);
  void add_sizes(const Shape& sizes);

  Device device_;
  Allocator& allocator_;
  std::shared_ptr<GpuClock> gpu_;  // null on a CPU
  double made_ = 0, step_start_ = 0;
  RecordedStep step_;          // the one that is going on
  std::vector<int32_t> open_;  // operations that have begun, the innermost last
  std::vector<RecordedStep> steps_;
  std::optional<OpListenerScope> listening_;
};

}  // namespace vigor
