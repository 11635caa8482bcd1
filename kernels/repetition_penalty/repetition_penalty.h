#pragma once
// Makes tokens that a text already has less likely, before the next one is sampled (Keskar et al. 2019, CTRL,
// arXiv:1909.05858, section 4.1, in the form of transformers' generate()). For each id that row b has seen:
//
//   y[b,id] = z[b,id] / penalty     where z[b,id] > 0
//             z[b,id] penalty       elsewhere          all other logits stay
//
//   logits z   [B,V]  f32, bf16 or f64, any strides
//   seen       [B,N]  i32: ids of 0..V-1, in any order; an id that comes twice counts once
//   lengths    [B]    i32 in 0..N: how many ids of each row count; undefined: all
//   result y   [B,V]  new memory
//
// computed   in f32 (f64 beside f64), rounded once
//
// Not differentiable. An id outside 0..V-1 is an error on the CPU; a GPU, which cannot throw, leaves it out.
#include "tensor/tensor.h"

namespace vigor {

// penalty > 0; 1 changes nothing, above 1 discourages repetition. Throws std::invalid_argument.
Tensor repetition_penalty(const Tensor& logits, const Tensor& seen, const Tensor& lengths, double penalty);

}  // namespace vigor
