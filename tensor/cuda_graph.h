#pragma once
// A piece of GPU work recorded once and replayed as a whole: one launch by the host instead of hundreds. Every pointer
// and argument is as it was at the recording, so what changes between replays must lie in device memory (step_state.h,
// staged_tensor.h).
//
//   CudaGraph step;
//   step.capture([&] { ... });   // records; executes nothing
//   loop: step.replay();
#include <functional>
#include <memory>

namespace vigor {

class CudaGraph {
 public:
  CudaGraph();
  ~CudaGraph();
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;

  // Calls `work`, whose kernels and copies are recorded. Tensors that it makes lie in memory that the graph owns and
  // keeps, for replays write there again; those that outlive the call may be read after a replay, as long as the graph
  // lives. `work` must have run before, so that everything made on first use is there, and must not wait for the
  // device. Throws std::runtime_error when something in it cannot be recorded; std::logic_error when called twice.
  void capture(const std::function<void()>& work);
  bool captured() const;
  void replay();  // in stream order; does not wait

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vigor
