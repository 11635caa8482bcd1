#include "kernels/cross_entropy/class_targets.h"

#include "kernels/cross_entropy/cross_entropy_kernels.h"
#include "tensor/check.h"
#include "tensor/primitives.h"

namespace vigor {

ClassTargets class_targets(const char* op, const Tensor& targets, int64_t tokens, int64_t classes, int64_t ignore_index,
                           Device device) {
  check(targets.defined(), "{}: targets must be a tensor; got an undefined one", op);
  if ((targets.dtype() != Dtype::i32 && targets.dtype() != Dtype::i64) || !(targets.shape() == Shape{tokens}) ||
      targets.device() != device)
    fail("{}: targets must be [N]=[{}] i32 or i64 on {}; got {}", op, tokens, to_string(device), describe(targets));
  ClassTargets result;
  result.ids = targets;
  if (targets.dtype() != Dtype::i64 || !targets.is_contiguous()) {
    result.ids = empty({tokens}, Dtype::i64, device);
    copy(result.ids, targets);
  }
  result.weight = empty({}, Dtype::f64, device);
  if (!device.is_cpu()) {
    if constexpr (kCudaBuild) token_weight_cuda(result.weight, result.ids, ignore_index);
    else unsupported_device(op, device);
    return result;
  }
  const int64_t* ids = result.ids.data<int64_t>();
  int64_t counted = 0;
  for (int64_t i = 0; i < tokens; ++i) {
    if (ids[i] == ignore_index) continue;
    check(ids[i] >= 0 && ids[i] < classes, "{}: targets must be in 0 .. V-1={} or ignore_index={}; targets[{}] is {}",
          op, classes - 1, ignore_index, i, ids[i]);
    ++counted;
  }
  *result.weight.data<double>() = counted > 0 ? 1.0 / static_cast<double>(counted) : 0.0;
  return result;
}

}  // namespace vigor
