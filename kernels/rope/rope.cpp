#include "kernels/rope/rope.h"

#include <cmath>

#include "kernels/arguments.h"
#include "kernels/rope/rope_kernels.h"
#include "tensor/check.h"
#include "tensor/op_scope.h"

namespace vigor {
namespace {

// Both directions.
Tensor turned(const char* op, const Tensor& any_x, const Tensor& offsets, double theta, bool transformers_angles,
              double scale, bool negative) {
  OpScope scope(op, {&any_x}, 3.0 * static_cast<double>(any_x.numel()));
  const Tensor x = any_x.strides()[3] == 1 ? any_x : clone(any_x);
  const Tensor y = empty(x.shape(), x.dtype(), x.device());
  const RopeInputs in{x, view_or_none(offsets), theta, transformers_angles, scale, negative};
  switch (x.device().kind) {
    case DeviceKind::cpu:
      rope_cpu(in, y);
      break;
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) rope_cuda(in, y);
      else unsupported_device(op, x.device());
      break;
  }
  scope.done({&y});
  return y;
}

struct RopeNode : Node {
  RopeNode(double base, double factor, bool as_transformers)
      : Node("rope"), theta(base), scale(factor), transformers_angles(as_transformers) {}
  double theta, scale;
  bool transformers_angles;
  SavedTensor offsets{this, "offsets"};

  void backward(Backward& b) override {
    b.set(0, turned("rope_backward", b.grad(), offsets.get(), theta, transformers_angles, scale, true));
  }
};

void check_inputs(const Tensor& x, const RopeOptions& options) {
  check(x.defined(), "rope: x must be a tensor; got an undefined one");
  if (!is_computed(x.dtype()) || x.rank() != 4 || x.size(3) % 2 != 0 || x.size(3) == 0 || x.size(3) > 2 * kRopeMaxPairs)
    fail("rope: x must be [B,T,H,P] in f32, f64 or bf16 with P even and in 2 .. {}; got {}", 2 * kRopeMaxPairs,
         describe(x));
  check(std::isfinite(options.theta) && options.theta >= 1, "rope: theta must be at least 1; got {}", options.theta);
  const Tensor& offsets = options.offsets;
  if (!offsets.defined()) return;
  if (!(offsets.shape() == Shape{x.size(0)}) || offsets.dtype() != Dtype::i32 || offsets.device() != x.device())
    fail("rope: offsets must be [B]=[{}] i32 on {}; got {}", x.size(0), to_string(x.device()), describe(offsets));
  if (!x.device().is_cpu()) return;  // to look at the values would be to wait for the GPU
  const std::vector<int32_t> values = offsets.to_vector<int32_t>();
  for (size_t b = 0; b < values.size(); ++b)
    check(values[b] >= 0, "rope: offsets must be at least 0; offsets[{}] is {}", b, values[b]);
}

}  // namespace

Tensor rope(const Tensor& x, const RopeOptions& options) {
  check_inputs(x, options);
  const Tensor offsets = contiguous_values(options.offsets);
  const Tensor y = turned("rope", x, offsets, options.theta, options.transformers_angles, options.scale, false);
  if (auto node = record<RopeNode>({&x}, options.theta, options.scale, options.transformers_angles)) {
    node->offsets.save(offsets);
    node->attach({&y});
  }
  return y;
}

}  // namespace vigor
