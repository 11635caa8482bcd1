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

// The same on a GPU. There ids are not checked: rows of y with one that is out of range become NaN, and backward leaves
// such tokens out.
void embedding_forward_cuda(const TensorView& y, const TensorView& ids, const TensorView& weight,
                            const TensorView& position_ids, const TensorView& positions);
void embedding_backward_cuda(const GradientView& dtable, const TensorView& dy, const TensorView& ids);

// position_ids[b time + t] = offsets[b] + t; offsets [B] i32, undefined: 0.
void embedding_position_ids_cuda(const TensorView& position_ids, const TensorView& offsets, int64_t time);

}  // namespace vigor
