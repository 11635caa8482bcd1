#include "kernels/sampling/sampling.h"

#include <cmath>
#include <stdexcept>

#include "kernels/arguments.h"
#include "kernels/sampling/sampling_kernels.h"
#include "tensor/op_scope.h"

namespace vigor {

Tensor sample(const Tensor& logits, const SamplingOptions& options, const RandomKey& key) {
  check(logits.defined(), "sample: logits must be a tensor; got an undefined one");
  if (!is_computed(logits.dtype()) || logits.rank() != 2 || logits.numel() == 0 || logits.size(1) > INT32_MAX)
    fail("sample: logits must be [B,V] in f32, f64 or bf16, neither of them 0; got {}", describe(logits));
  check(std::isfinite(options.temperature) && options.temperature >= 0,
        "sample: temperature must be at least 0 (0: greedy); got {}", options.temperature);
  check(options.top_k >= 0, "sample: top_k must be at least 0 (0: all tokens); got {}", options.top_k);
  check(options.top_p > 0 && options.top_p <= 1, "sample: top_p must be above 0 and at most 1; got {}", options.top_p);
  check(options.min_p >= 0 && options.min_p <= 1, "sample: min_p must be at least 0 (0: all) and at most 1; got {}",
        options.min_p);
  OpScope scope("sample", {&logits});
  const NoGrad no_grad;
  const Tensor in = contiguous_values(logits);
  const int64_t B = in.size(0), V = in.size(1);
  const Tensor ids = empty({B}, Dtype::i32, in.device());
  RandomKey sampling_key = key;
  sampling_key.stream = RandomStream::sampling;
  const bool draws = !options.greedy && options.temperature > 0,
             filters = options.top_k > 0 || options.top_p < 1 || options.min_p > 0;
  const Tensor candidates = draws && (filters || !in.device().is_cpu())
                                ? empty({B * V * static_cast<int64_t>(sizeof(Candidate))}, Dtype::u8, in.device())
                                : Tensor();
  Candidate* scratch = candidates.defined() ? static_cast<Candidate*>(candidates.raw()) : nullptr;
  switch (in.device().kind) {
    case DeviceKind::cpu:
      sample_cpu(ids, in, options, sampling_key, scratch);
      break;
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) sample_cuda(ids, in, options, sampling_key, scratch);
      else unsupported_device("sample", in.device());
      break;
  }
  const Tensor drawn = to_device(ids, kCpu);
  for (int64_t b = 0; b < B; ++b)
    if (drawn.data<int32_t>()[b] < 0)
      throw std::runtime_error(
          fmt::format("sample: logits must be finite or -infinity, and not all -infinity; row {} of {} is not", b,
                      describe(logits)));
  scope.done({&ids});
  return ids;
}

}  // namespace vigor
