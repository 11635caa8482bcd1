#pragma once
// Softmax and cross-entropy over classes, the mean of the tokens that count.
//
//   forward    lse_i = log sum_v exp(logits[i,v])          with the row's maximum subtracted from every exponent
//              loss = sum_i (lse_i - logits[i,targets_i]) / counted        over tokens with targets_i != ignore_index
//   backward   dlogits[i,v] = dloss (exp(logits[i,v] - lse_i) - [v == targets_i]) / counted;  0 for ignored tokens
//
//   logits     [N,V]  f32, f64 or bf16, any strides
//   targets    [N]    i32 or i64, each in 0 .. V-1 or ignore_index, on the device of logits
//   loss       []     f32; f64 beside f64. 0 when no token counts
//
// computed   rows in f32 (f64 for f64), their mean in f64
// saved      dlogits / dloss, [N,V] in the dtype of logits. It is computed with the loss, while the row is in the
//            cache, and takes the bytes that the logits would.
//
// CUDA       f32 and bf16. A block a row: logits in and dlogits out, the least, for rows of up to 96 KB, which shared
//            memory keeps between the two; longer ones are read twice. Targets cannot be checked without waiting for
//            the device: one that is out of range gives a loss and a gradient of NaN.
//
// The head of a language model calls linear_cross_entropy, which never holds all logits.
#include "tensor/tensor.h"

namespace vigor {

// Throws std::invalid_argument for other shapes or dtypes, and on a CPU for a target out of range, naming its index.
Tensor cross_entropy(const Tensor& logits, const Tensor& targets, int64_t ignore_index = -1);

}  // namespace vigor
