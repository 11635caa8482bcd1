#pragma once
#include "tensor/view.h"

namespace vigor {

// Where a launcher puts the gradient of a parameter: overwrites it, or adds to it. Undefined when it is not wanted.
struct GradientView {
  TensorView view;
  bool accumulate = false;
  bool defined() const { return view.defined(); }
};

}  // namespace vigor
