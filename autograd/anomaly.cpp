#include "autograd/anomaly.h"

#include "autograd/node.h"
#include "tensor/check.h"
#include "tensor/primitives.h"

namespace vigor {
namespace {

thread_local int t_anomaly_depth = 0;

std::string shown(const Tensor& x) {
  const std::string name = name_of(x);
  return name.empty() ? describe(x) : fmt::format("{} {}", name, describe(x));
}

}  // namespace

class AnomalyScope::Listener : public OpListener {
 public:
  void begin(const OpRecord&) override {}

  void end(const OpRecord& record, std::span<const Tensor* const> outputs) override {
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (!outputs[i]->defined()) continue;
      const int64_t at = first_non_finite(*outputs[i]);
      if (at < 0) continue;
      std::string inputs;
      for (const Tensor* input : record.inputs) {
        if (!input->defined()) continue;
        if (!inputs.empty()) inputs += ", ";
        inputs += shown(*input);
        if (first_non_finite(*input) >= 0) inputs += " (not finite)";
      }
      throw std::runtime_error(fmt::format("{}: output {} {} is not finite at element {}; inputs: {}", record.name, i,
                                           describe(*outputs[i]), at, inputs));
    }
  }
};

AnomalyScope::AnomalyScope() : listener_(std::make_unique<Listener>()), scope_(*listener_) { ++t_anomaly_depth; }
AnomalyScope::~AnomalyScope() { --t_anomaly_depth; }

bool anomaly_mode() { return t_anomaly_depth > 0; }

void check_gradients(const Node& node, Backward& b) {
  for (size_t i = 0; i < b.gradients().size(); ++i) {
    const Tensor& g = b.gradients()[i].tensor;
    if (!g.defined()) continue;
    const int64_t at = first_non_finite(g);
    if (at < 0) continue;
    const std::string parameter = name_of(node.edges()[i].leaf);
    throw std::runtime_error(fmt::format("{}: the gradient of input {}{} {} is not finite at element {}", node.label(),
                                         i, parameter.empty() ? "" : " (" + parameter + ")", describe(g), at));
  }
}

}  // namespace vigor
