#include "kernels/sampling/sampling.h"

#include <cmath>

#include "kernels/sampling/sampling_kernels.h"
#include "tensor/check.h"
#include "tensor/op_scope.h"

namespace vigor {

void check_sampling(const SamplingOptions& options) {
  check(options.temperature >= 0 && std::isfinite(options.temperature),
        "sample: temperature must be at least 0; got {}", options.temperature);
  check(options.top_k >= 0, "sample: top_k must be at least 0; got {}", options.top_k);
  check(options.top_p > 0 && options.top_p <= 1, "sample: top_p must be above 0 and at most 1; got {}", options.top_p);
}

Tensor sample(const Tensor& logits, const SamplingOptions& options, const RandomKey& key) {
  check_sampling(options);
  if (logits.rank() != 2 || logits.size(1) < 1 || logits.size(1) > INT32_MAX)
    fail("sample: logits must be [B,V] with V >= 1; got {}", describe(logits));
  OpScope scope("sample", {&logits});
  const Tensor rows = logits.strides()[1] == 1 || logits.size(1) == 1 ? logits : clone(logits);
  const Tensor ids = empty({logits.size(0)}, Dtype::i32);
  const Tensor order = empty({logits.size(1)}, Dtype::i32);
  switch (logits.device().kind) {
    case DeviceKind::cpu: {
      const int64_t failed = sample_cpu(ids, rows, order, options, key);
      check(failed < 0, "sample: row {} of the logits holds a NaN or nothing but -infinity", failed);
      break;
    }
    case DeviceKind::cuda:
      unsupported_device("sample", logits.device());
  }
  scope.done({&ids});
  return ids;
}

}  // namespace vigor
