#pragma once
// Choosing the next token from logits. Rows are independent:
//
//   p = softmax(logits / temperature), restricted to the top_k likeliest ids, then to the smallest set of likeliest ids
//   whose probability reaches top_p (nucleus sampling, Holtzman et al. 2020, arXiv:1904.09751), renormalised
//
// and one id is drawn. Equal logits count the lower id as the likelier one, so the result is a function of its inputs.
//
//   logits    [B,V]  f32, f64 or bf16
//   result    i32 [B]
//   computed  in f64
//   not differentiable
#include <cstdint>

#include "tensor/tensor.h"

namespace vigor {

struct SamplingOptions {
  double temperature = 1.0;  // 0: greedy
  int64_t top_k = 0;         // 0: all
  double top_p = 1.0;        // in (0, 1]
  bool greedy = false;       // the likeliest id, whatever else is set
};

// Throws std::invalid_argument for options out of range, or when a row of logits holds a NaN or nothing but -infinity.
void check_sampling(const SamplingOptions& options);
// Row b draws the random number of element b of `key`.
Tensor sample(const Tensor& logits, const SamplingOptions& options, const RandomKey& key);

}  // namespace vigor
