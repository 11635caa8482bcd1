#pragma once
#include <cmath>

#include "tensor/philox.h"
#include "tensor/step_state.h"
#include "tensor/view.h"

namespace vigor {

inline constexpr int64_t kNormBlock = 1 << 15;  // elements summed together
inline int64_t norm_blocks(int64_t n) { return (n + kNormBlock - 1) / kNormBlock; }

// sums [norm_blocks(n)] f64: of the squares of each block of x [n], contiguous.
void block_squares_cpu(const TensorView& sums, const TensorView& x);
void block_squares_cuda(const TensorView& sums, const TensorView& x);

// From the sums of all blocks, in order.
void write_norm_cpu(StepState* state, const TensorView& sums, double max_norm);
void write_norm_cuda(StepState* state, const TensorView& sums, double max_norm);

// What both write, from the sum of all squares.
VIGOR_HOST_DEVICE inline void write_norm(StepState& state, double squares, double max_norm) {
  const double norm = std::sqrt(squares);
  state.grad_norm = static_cast<float>(norm);
  state.clip_factor = max_norm > 0 ? static_cast<float>(std::fmin(1.0, max_norm / (norm + 1e-6))) : 1.0f;
  const bool finite = std::fabs(state.grad_norm) < HUGE_VALF;  // false for a NaN
  if (!finite && state.failed_step < 0) state.failed_step = state.step;
}

}  // namespace vigor
