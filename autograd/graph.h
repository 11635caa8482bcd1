#pragma once
// Looking at a recorded graph: for teaching, and for finding out where memory goes.
#include <cstddef>
#include <string>

#include "tensor/tensor.h"

namespace vigor {

size_t node_count(const Tensor& result);
// Bytes that the graph behind `result` keeps for backward; storage that several nodes share is counted once.
size_t saved_bytes(const Tensor& result);
// One line a node, newest first: name, output shapes, saved tensors with their sizes.
std::string graph_text(const Tensor& result);
// Graphviz: dot -Tsvg graph.dot -o graph.svg. Operations are boxes, parameters ellipses, edges show shapes.
std::string graph_dot(const Tensor& result);

}  // namespace vigor
