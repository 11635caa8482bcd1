#include <type_traits>

#include "kernels/repetition_penalty/repetition_penalty_kernels.h"
#include "tensor/dtype.h"

namespace vigor {

void repetition_penalty_cpu(const TensorView& y, const TensorView& logits, const TensorView& seen,
                            const TensorView& lengths, double penalty) {
  const int64_t B = logits.sizes[0], V = logits.sizes[1], N = seen.sizes[1];
  visit_float(logits.dtype, "repetition_penalty", [&]<class T>() {
    using Computed = std::conditional_t<std::is_same_v<T, double>, double, float>;
    const auto factor = static_cast<Computed>(penalty);
    for (int64_t b = 0; b < B; ++b) {
      const int32_t* ids = seen.as<int32_t>() + b * N;
      const int64_t count = lengths.data != nullptr ? lengths.as<int32_t>()[b] : N;
      for (int64_t n = 0; n < count; ++n) {
        const auto z = static_cast<Computed>(logits.as<T>()[b * logits.strides[0] + ids[n] * logits.strides[1]]);
        y.as<T>()[b * V + ids[n]] = static_cast<T>(z > 0 ? z / factor : z * factor);
      }
    }
  });
}

}  // namespace vigor
