#pragma once
// Dropout (Srivastava et al. 2014): each element is 0 with probability p, else scaled so that the mean stays.
//
//   forward    y_i = keep_i x_i / (1 - p)
//   backward   dx_i = keep_i dy_i / (1 - p)
//
//   keep_i   1 where word i of the key's Philox sequence (random_bits in tensor/philox.h) is at least p 2^32, i counted
//            in row-major order: a function of the key alone, so that backward, a recomputed block, another thread
//            count and another device see the same mask
//   x, y     [..]  f32, f64 or bf16, any strides; y contiguous
//   saved    nothing: the mask is computed again
//
// The key's step and salt must differ between steps and layers; its stream is RandomStream::dropout.
#include "tensor/tensor.h"

namespace vigor {

// 0 <= p < 1; with p = 0 the result is x itself. Throws std::invalid_argument for another p, stream or dtype.
Tensor dropout(const Tensor& x, double p, const RandomKey& key);

}  // namespace vigor
