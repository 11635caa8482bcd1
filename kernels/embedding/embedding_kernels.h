#pragma once
#include "kernels/gradient_view.h"
#include "tensor/view.h"

namespace vigor {

// All views contiguous; ids and position_ids [N] i64, in range.
// y [N,C] = weight[ids] (+ positions[position_ids], where they are defined)
void embedding_forward_cpu(const TensorView& y, const TensorView& ids, const TensorView& weight,
                           const TensorView& position_ids, const TensorView& positions);

// dtable[v] (+)= sum of dy[i] over ids[i] = v. `order` [N] i64 is work space.
void embedding_backward_cpu(const GradientView& dtable, const TensorView& order, const TensorView& dy,
                            const TensorView& ids);

}  // namespace vigor
