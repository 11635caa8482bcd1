#pragma once
// Every operation as an NVTX range, inside one for the phase of the step and one for the part of the model, so that
// Nsight shows the step as it was written. Costs next to nothing while no tool is attached. Defined in the CUDA half
// only.
#include "tensor/op_scope.h"

namespace vigor {

class NvtxRanges : public OpListener {
 public:
  ~NvtxRanges() override { close(); }
  void begin(const OpRecord& record) override;
  void end(const OpRecord& record, std::span<const Tensor* const> outputs) override;

 private:
  void close();

  int depth_ = 0;  // operations that are open
  bool open_ = false;
  Phase phase_ = Phase::other;
  Region region_ = nullptr;
};

}  // namespace vigor
