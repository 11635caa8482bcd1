#pragma once
// What the normalisations ask about their arguments.
#include "kernels/arguments.h"
#include "tensor/check.h"

namespace vigor {

inline void check_normalised(const char* op, const Tensor& x) {
  if (!is_computed(x.dtype()) || x.rank() == 0 || x.size(-1) == 0)
    fail("{}: x must be [..,C] in f32, f64 or bf16 with C at least 1; got {}", op, describe(x));
}

// The parameter `name` [C] of normalised rows x [..,C].
inline void check_norm_parameter(const char* op, const char* name, const Tensor& parameter, const Tensor& x) {
  if (!(parameter.shape() == Shape{x.size(-1)}) || !fits_beside(parameter, x) || parameter.device() != x.device())
    fail("{}: {} must be [C]=[{}] in the dtype of x, or f32 beside bf16; got {} (x is {})", op, name, x.size(-1),
         describe(parameter), describe(x));
}

}  // namespace vigor
