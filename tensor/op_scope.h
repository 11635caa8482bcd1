#pragma once
// One OpScope opens in every operation. Anomaly mode, the profiler, NVTX ranges and benchmarks listen to it; when
// nobody listens it costs one test of a thread-local pointer.
//
//   OpScope scope("layer_norm", {&x, &weight, &bias}, flops);
//   ...
//   scope.done({&y});
//
// Whoever runs operations says which phase of a step and which part of the model they belong to:
//
//   const PhaseScope phase(Phase::optimizer);
//   const RegionScope region("layers", 3);
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "tensor/tensor.h"

namespace vigor {

// Parts of a step.
enum class Phase : uint8_t { other, data, forward, backward, recompute, optimizer };
inline constexpr int kPhaseCount = 6;
const char* name_of(Phase phase);

// While it lives, operations of this thread are of `phase`; the innermost scope counts.
class PhaseScope {
 public:
  explicit PhaseScope(Phase phase) : outer_(innermost) { innermost = phase; }
  ~PhaseScope() { innermost = outer_; }
  PhaseScope(const PhaseScope&) = delete;
  PhaseScope& operator=(const PhaseScope&) = delete;

  static Phase current() { return innermost; }

 private:
  Phase outer_;
  static inline thread_local Phase innermost = Phase::other;
};

// A part of a model by name, such as "layers.3"; nullptr: none. Equal names have one pointer, which stays valid.
using Region = const std::string*;

struct OpRecord {
  const char* name;
  std::span<const Tensor* const> inputs;     // may hold undefined tensors (an absent bias)
  double flops;                              // floating-point operations; 0 for pure data movement
  double nbytes;                             // least bytes read and written; negative: inputs plus outputs
  std::span<const TensorView* const> views;  // in place of inputs, for primitives (tensor/primitives.h)
  Phase phase;
  Region region;
};

class OpListener {
 public:
  virtual ~OpListener() = default;
  virtual void begin(const OpRecord& record) = 0;  // must not throw
  // `outputs` is empty when the operation was left by an exception.
  virtual void end(const OpRecord& record, std::span<const Tensor* const> outputs) = 0;
};

// While it lives, `listener` hears every operation of this thread. Scopes nest: all listeners hear.
class OpListenerScope {
 public:
  explicit OpListenerScope(OpListener& listener) : listener_(&listener), outer_(innermost) { innermost = this; }
  ~OpListenerScope() { innermost = outer_; }
  OpListenerScope(const OpListenerScope&) = delete;
  OpListenerScope& operator=(const OpListenerScope&) = delete;

  static bool active() { return innermost != nullptr; }

 private:
  friend class OpScope;
  OpListener* listener_;
  OpListenerScope* outer_;
  static inline thread_local OpListenerScope* innermost = nullptr;
};

// While it lives, operations of this thread belong to that part of the model; the innermost scope counts. Names are not
// even looked at while nobody listens.
class RegionScope {
 public:
  explicit RegionScope(std::string_view name) : outer_(innermost) {
    if (OpListenerScope::active()) [[unlikely]]
      enter(name);
  }
  RegionScope(std::string_view name, int64_t index) : outer_(innermost) {  // "layers", 3: "layers.3"
    if (OpListenerScope::active()) [[unlikely]]
      enter(name, index);
  }
  explicit RegionScope(Region region) : outer_(innermost) { innermost = region; }
  ~RegionScope() { innermost = outer_; }
  RegionScope(const RegionScope&) = delete;
  RegionScope& operator=(const RegionScope&) = delete;

  static Region current() { return innermost; }

 private:
  static void enter(std::string_view name);
  static void enter(std::string_view name, int64_t index);

  Region outer_;
  static inline thread_local Region innermost = nullptr;
};

class OpScope {
 public:
  OpScope(const char* name, std::initializer_list<const Tensor*> inputs, double flops = 0, double nbytes = -1) {
    if (OpListenerScope::active()) [[unlikely]]
      begin(name, inputs, flops, nbytes);
  }
  // A primitive, whose operands are views. Inside another operation it is silent: its work is counted there.
  struct Primitive {
    const char* name;
    double flops, nbytes;
  };
  OpScope(const Primitive& primitive, std::initializer_list<const TensorView*> operands) {
    if (OpListenerScope::active() && open == 0) [[unlikely]]
      begin(primitive, operands);
  }
  ~OpScope() {
    if (heard_) [[unlikely]]
      end({});
  }
  OpScope(const OpScope&) = delete;
  OpScope& operator=(const OpScope&) = delete;

  // The operation's results; call it last. Anomaly mode throws from here when one is not finite.
  void done(std::initializer_list<const Tensor*> outputs) {
    if (heard_) [[unlikely]]
      end({outputs.begin(), outputs.size()});
  }

 private:
  void begin(const char* name, std::initializer_list<const Tensor*> inputs, double flops, double nbytes);
  void begin(const Primitive& primitive, std::initializer_list<const TensorView*> operands);
  void announce();
  void end(std::span<const Tensor* const> outputs);

  static constexpr size_t kMaxInputs = 16, kMaxViews = 2;
  static inline thread_local int open = 0;  // scopes that are heard now
  bool heard_ = false;
  const Tensor* inputs_[kMaxInputs];
  const TensorView* views_[kMaxViews];
  OpRecord record_;
};

}  // namespace vigor
