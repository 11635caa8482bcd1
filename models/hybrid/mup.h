#pragma once
// The maximal update parametrisation (muP; Yang et al. 2022, arXiv:2203.03466): with m = width / base width,
//
//   hidden matrices   initial standard deviation times 1/sqrt(m), learning rate times 1/m
//   everything else   (embedding, head, biases, norms, recurrence parameters) as without muP
//   logits            times 1/m
//   attention scores  q . k / P in place of q . k / sqrt(P)
//
// so that the size of activations, and with it the best learning rate, does not depend on the width. At m = 1 only the
// attention scores differ from a model without muP. AdamW's decay follows the learning rate of the matrix.
#include <string>

#include "nn/initializers.h"
#include "tensor/shape.h"

namespace vigor {

// Whether a block's parameter is a matrix whose number of inputs grows with the model's width: the weight of a Linear,
// or B of the i3 hybrid mixer. Its C and A, A_log and convolutions have inputs of a fixed number.
bool is_hidden_matrix(const std::string& name, const Shape& sizes);

// `init`, then every value times `factor`.
Initializer scaled_init(Initializer init, double factor);

}  // namespace vigor
