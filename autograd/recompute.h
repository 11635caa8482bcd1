#pragma once
// Trades time for memory: runs a block without recording, keeps only its inputs, and runs it once more during backward
// (Chen et al., "Training deep nets with sublinear memory cost", 2016).
#include <functional>
#include <span>
#include <vector>

#include "tensor/tensor.h"

namespace vigor {

// `block` must be a pure function of its inputs and of parameters, whose gradients it accumulates as usual. Random
// numbers repeat by themselves: they are functions of their RandomKey.
using Block = std::function<std::vector<Tensor>(std::span<const Tensor> inputs)>;
std::vector<Tensor> recompute(Block block, std::span<const Tensor> inputs);
Tensor recompute(std::function<Tensor(const Tensor&)> block, const Tensor& input);

}  // namespace vigor
