#pragma once
#include "tensor/step_state.h"
#include "tensor/view.h"

namespace vigor {

inline constexpr int64_t kNormBlock = 1 << 15;  // elements summed together
inline int64_t norm_blocks(int64_t n) { return (n + kNormBlock - 1) / kNormBlock; }

// sums [norm_blocks(n)] f64: of the squares of each block of x [n], contiguous.
void block_squares_cpu(const TensorView& sums, const TensorView& x);

// From the sums of all blocks, in order.
void write_norm_cpu(StepState& state, const TensorView& sums, double max_norm);

}  // namespace vigor
