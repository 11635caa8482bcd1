#pragma once
#include <string>

#include "bench/kernels/kernel_case.h"

namespace vigor {

enum class Pass : uint8_t { forward, backward };

// The operands in `dtype`, as their roles say; f64 turns all of them that are floating.
std::vector<Tensor> values_of(const Operands& operands, Dtype dtype);

// Compares the result of a case (forward) or its gradients (backward) with the definition in f64, on the same rounded
// operands, at its `checked` sizes. Returns what is wrong, or "".
//
// An element may be off by a part of itself plus the root mean square of all: 1e-3 in f32, 5e-2 in bf16. Wrong kernels
// are off by far more; each operation's own test has the tight limits.
std::string check_kernel(const KernelCase& c, Dtype dtype, Pass pass);

}  // namespace vigor
