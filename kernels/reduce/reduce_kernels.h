#pragma once
// Launchers of reductions. y has the rank of x and size 1 in every reduced dimension. f32, f64 (CPU only), bf16; x may
// be strided.
#include <algorithm>

#include "kernels/reduce/reduce_simd.h"
#include "tensor/view.h"

namespace vigor {

// y = scale * sum of x, or its maximum (scale 1) over at least one element. y is contiguous.
void reduce_cpu(Reduction r, const TensorView& y, const TensorView& x, double scale);
// dx = dy where x is the first of the elements equal to y, in row-major order, and 0 elsewhere. dx is contiguous; dy
// may be strided.
void max_backward_cpu(const TensorView& dx, const TensorView& dy, const TensorView& x, const TensorView& y);

// On CUDA few results of many elements are computed in parts, which leave their totals in `partials` [parts, results],
// f64; undefined where reduce_parts() is 1. The number depends on the sizes alone, and so does every sum.
inline int64_t reduce_parts(int64_t results, int64_t elements) {
  constexpr int64_t kPartElements = 4096, kMostParts = 1024;
  return std::clamp<int64_t>(std::min(elements / kPartElements, kMostParts / std::max<int64_t>(results, 1)), 1,
                             kMostParts);
}
void reduce_cuda(Reduction r, const TensorView& y, const TensorView& x, double scale, const TensorView& partials);
// `first`: memory for one i64 a result.
void max_backward_cuda(const TensorView& dx, const TensorView& dy, const TensorView& x, const TensorView& y,
                       const TensorView& first);

}  // namespace vigor
