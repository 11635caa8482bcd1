#pragma once
// Anomaly mode: while an AnomalyScope lives, every operation's results and every gradient are searched for infinities
// and NaNs, and the first one found throws std::runtime_error naming the operation, the input or output and the
// parameters involved. Slow: the trainer uses it to replay a step whose loss was not finite.
#include <memory>

#include "tensor/op_scope.h"

namespace vigor {

class Node;
class Backward;

class AnomalyScope {
 public:
  AnomalyScope();
  ~AnomalyScope();
  AnomalyScope(const AnomalyScope&) = delete;
  AnomalyScope& operator=(const AnomalyScope&) = delete;

 private:
  class Listener;
  std::unique_ptr<Listener> listener_;
  OpListenerScope scope_;
};

bool anomaly_mode();
void check_gradients(const Node& node, Backward& b);  // for the engine

}  // namespace vigor
