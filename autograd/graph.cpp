#include "autograd/graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "autograd/node.h"

namespace vigor {
namespace {

// Every node behind `result`, newest first.
std::vector<const Node*> nodes_of(const Tensor& result) {
  std::vector<const Node*> found;
  std::vector<const Node*> to_visit;
  std::unordered_set<const Node*> seen;
  const Variable* v = variable_of(result);
  if (v != nullptr && v->node != nullptr) {
    to_visit.push_back(v->node.get());
    seen.insert(v->node.get());
  }
  while (!to_visit.empty()) {
    const Node* node = to_visit.back();
    to_visit.pop_back();
    found.push_back(node);
    for (const Edge& edge : node->edges())
      if (edge.node != nullptr && seen.insert(edge.node.get()).second) to_visit.push_back(edge.node.get());
  }
  std::sort(found.begin(), found.end(), [](const Node* a, const Node* b) { return a->sequence() > b->sequence(); });
  return found;
}

}  // namespace

size_t node_count(const Tensor& result) { return nodes_of(result).size(); }

size_t saved_bytes(const Tensor& result) {
  std::unordered_set<const Storage*> seen;
  size_t total = 0;
  for (const Node* node : nodes_of(result))
    for (const SavedTensor* saved : node->saved())
      if (saved->defined() && seen.insert(saved->peek().storage().get()).second)
        total += saved->peek().storage()->nbytes();
  return total;
}

std::string graph_text(const Tensor& result) {
  std::string out;
  for (const Node* node : nodes_of(result)) {
    out += node->label();
    for (const Node::OutputInfo& output : node->outputs())
      out += fmt::format(" {} {}", to_string(output.shape), name_of(output.dtype));
    out += "  saves:";
    for (const SavedTensor* saved : node->saved())
      if (saved->defined())
        out += fmt::format(" {} {} ({} B)", saved->name(), to_string(saved->peek().shape()), saved->peek().nbytes());
    out += '\n';
  }
  return out;
}

std::string graph_dot(const Tensor& result) {
  std::string out = "digraph vigor {\n  rankdir=BT;\n  node [shape=box, fontname=\"sans-serif\"];\n";
  int leaves = 0;
  for (const Node* node : nodes_of(result)) {
    out += fmt::format("  n{} [label=\"{}\"];\n", node->sequence(), node->name());
    for (const Edge& edge : node->edges()) {
      if (edge.node != nullptr) {
        out += fmt::format("  n{} -> n{} [label=\"{}\"];\n", edge.node->sequence(), node->sequence(),
                           to_string(edge.node->outputs()[static_cast<size_t>(edge.output)].shape));
      } else if (edge.leaf.defined()) {
        const std::string name = name_of(edge.leaf);
        out += fmt::format("  l{} [shape=ellipse, label=\"{}\"];\n  l{} -> n{} [label=\"{}\"];\n", leaves,
                           name.empty() ? "leaf" : name, leaves, node->sequence(), to_string(edge.leaf.shape()));
        ++leaves;
      }
    }
  }
  return out + "}\n";
}

}  // namespace vigor
