#include "kernels/repetition_penalty/repetition_penalty.h"

#include <cmath>

#include "kernels/arguments.h"
#include "kernels/repetition_penalty/repetition_penalty_kernels.h"
#include "tensor/op_scope.h"
#include "tensor/primitives.h"

namespace vigor {
namespace {

void check_arguments(const Tensor& logits, const Tensor& seen, const Tensor& lengths, double penalty) {
  check(logits.defined() && seen.defined(),
        "repetition_penalty: logits and seen must be tensors; got an undefined one");
  if (!is_computed(logits.dtype()) || logits.rank() != 2 || logits.size(1) > INT32_MAX)
    fail("repetition_penalty: logits must be [B,V] in f32, f64 or bf16; got {}", describe(logits));
  if (seen.dtype() != Dtype::i32 || seen.rank() != 2 || seen.size(0) != logits.size(0))
    fail("repetition_penalty: seen must be [B,N] i32; got {} beside logits {}", describe(seen), describe(logits));
  if (lengths.defined() && (lengths.dtype() != Dtype::i32 || !(lengths.shape() == Shape{logits.size(0)})))
    fail("repetition_penalty: lengths must be [B] i32; got {} beside logits {}", describe(lengths), describe(logits));
  if (seen.device() != logits.device() || (lengths.defined() && lengths.device() != logits.device()))
    fail("repetition_penalty: all tensors must be on one device; got logits {} and seen {}", describe(logits),
         describe(seen));
  check(std::isfinite(penalty) && penalty > 0, "repetition_penalty: penalty must be above 0; got {}", penalty);
  if (!logits.device().is_cpu()) return;
  const std::vector<int32_t> ids = seen.to_vector<int32_t>();
  const int64_t V = logits.size(1), N = seen.size(1);
  for (int64_t b = 0; b < seen.size(0); ++b) {
    const int64_t count = lengths.defined() ? lengths.data<int32_t>()[b * lengths.strides()[0]] : N;
    check(count >= 0 && count <= N, "repetition_penalty: lengths must be in 0..N={}; lengths[{}] is {}", N, b, count);
    for (int64_t n = 0; n < count; ++n) {
      const int32_t id = ids[static_cast<size_t>(b * N + n)];
      check(id >= 0 && id < V, "repetition_penalty: ids must be in 0..{}; seen[{},{}] is {}", V - 1, b, n, id);
    }
  }
}

}  // namespace

Tensor repetition_penalty(const Tensor& logits, const Tensor& any_seen, const Tensor& any_lengths, double penalty) {
  check_arguments(logits, any_seen, any_lengths, penalty);
  OpScope scope("repetition_penalty", {&logits, &any_seen});
  const Tensor y = clone(logits);  // without history
  const Tensor seen = contiguous_values(any_seen), lengths = contiguous_values(any_lengths);
  if (penalty != 1 && seen.numel() > 0) {
    switch (y.device().kind) {
      case DeviceKind::cpu:
        repetition_penalty_cpu(y, logits, seen, view_or_none(lengths), penalty);
        break;
      case DeviceKind::cuda:
        if constexpr (kCudaBuild) repetition_penalty_cuda(y, logits, seen, view_or_none(lengths), penalty);
        else unsupported_device("repetition_penalty", y.device());
        break;
    }
  }
  scope.done({&y});
  return y;
}

}  // namespace vigor
