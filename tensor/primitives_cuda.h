#pragma once
// The primitives of primitives.h on a GPU. Sizes and dtypes have been checked and there is at least one element.
#include "tensor/philox.h"
#include "tensor/view.h"

namespace vigor {

void fill_cuda(const TensorView& y, double value);
void copy_cuda(const TensorView& y, const TensorView& x);  // both on the GPU
// y and x contiguous and of one dtype, at least one of them on the GPU; returns when x may be overwritten, and, when y
// is in host memory, when y is complete.
void transfer_cuda(const TensorView& y, const TensorView& x);
void accumulate_cuda(const TensorView& y, const TensorView& x);
void fill_normal_cuda(const TensorView& y, double mean, double stddev, const RandomKey& key);
void fill_uniform_cuda(const TensorView& y, double low, double high, const RandomKey& key);

}  // namespace vigor
