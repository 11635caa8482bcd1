#pragma once
// The few raw operations that tensors themselves and the engine need: no gradients, any strides, on views.
#include "tensor/philox.h"
#include "tensor/view.h"

namespace vigor {

void fill(const TensorView& y, double value);
// y = x with conversion between dtypes; sizes must agree (std::invalid_argument). Floating to integer truncates.
void copy(const TensorView& y, const TensorView& x);
// y += x, same sizes and dtype; f32, f64 or bf16 (added in f32, rounded once).
void accumulate(const TensorView& y, const TensorView& x);
// Element i in row-major order gets the random number of element i: independent of strides and threads.
void fill_normal(const TensorView& y, double mean, double stddev, const RandomKey& key);
void fill_uniform(const TensorView& y, double low, double high, const RandomKey& key);
// Row-major position of the first element that is infinite or not a number; -1 when all are finite.
int64_t first_non_finite(const TensorView& x);

}  // namespace vigor
