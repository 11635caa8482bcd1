#pragma once
// Runs a recorded graph backwards. Nodes run in reverse order of creation as soon as all their gradients have arrived,
// so sums of gradients are always formed in the same order and two runs agree bit for bit. Nothing recurses over the
// depth of the graph. Each node frees its saved tensors when it has run.
#include <span>

#include "tensor/tensor.h"

namespace vigor {

// d loss / d leaf into grad(leaf) for every leaf that wants one; loss has one element. Gradients add up over calls
// until zero_grad(). Throws std::logic_error on a second backward through the same graph.
void backward(const Tensor& loss);
// The same from several roots with given gradients (same shapes; an undefined one is skipped).
void backward(std::span<const Tensor> roots, std::span<const Tensor> gradients);

}  // namespace vigor
