#include "kernels/cross_entropy/class_targets.h"

#include "tensor/check.h"
#include "tensor/primitives.h"

namespace vigor {

Tensor class_ids(const char* op, const Tensor& targets, int64_t tokens) {
  check(targets.defined(), "{}: targets must be a tensor; got an undefined one", op);
  if ((targets.dtype() != Dtype::i32 && targets.dtype() != Dtype::i64) || !(targets.shape() == Shape{tokens}))
    fail("{}: targets must be [N]=[{}] i32 or i64; got {}", op, tokens, describe(targets));
  if (targets.dtype() == Dtype::i64 && targets.is_contiguous()) return targets;
  const Tensor ids = empty({tokens}, Dtype::i64, targets.device());
  copy(ids, targets);
  return ids;
}

ClassTargets class_targets(const char* op, const Tensor& targets, int64_t tokens, int64_t classes,
                           int64_t ignore_index) {
  ClassTargets result;
  result.ids = class_ids(op, targets, tokens);
  const int64_t* ids = result.ids.data<int64_t>();
  for (int64_t i = 0; i < tokens; ++i) {
    if (ids[i] == ignore_index) continue;
    check(ids[i] >= 0 && ids[i] < classes, "{}: targets must be in 0 .. V-1={} or ignore_index={}; targets[{}] is {}",
          op, classes - 1, ignore_index, i, ids[i]);
    ++result.counted;
  }
  return result;
}

}  // namespace vigor
