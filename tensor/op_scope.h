#pragma once
// One OpScope opens in every operation. Anomaly mode, the profiler, NVTX ranges and benchmarks listen to it; when
// nobody listens it costs one test of a thread-local pointer.
//
//   OpScope scope("layer_norm", {&x, &weight, &bias}, flops);
//   ...
//   scope.done({&y});
#include <initializer_list>
#include <span>

#include "tensor/tensor.h"

namespace vigor {

struct OpRecord {
  const char* name;
  std::span<const Tensor* const> inputs;  // may hold undefined tensors (an absent bias)
  double flops;                           // floating-point operations; 0 for pure data movement
  double nbytes;                          // least bytes read and written; negative: inputs plus outputs
};

class OpListener {
 public:
  virtual ~OpListener() = default;
  virtual void begin(const OpRecord& record) = 0;
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

class OpScope {
 public:
  OpScope(const char* name, std::initializer_list<const Tensor*> inputs, double flops = 0, double nbytes = -1) {
    if (OpListenerScope::active()) [[unlikely]]
      begin(name, inputs, flops, nbytes);
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
  void end(std::span<const Tensor* const> outputs);

  static constexpr size_t kMaxInputs = 16;
  bool heard_ = false;
  const Tensor* inputs_[kMaxInputs];
  OpRecord record_;
};

}  // namespace vigor
