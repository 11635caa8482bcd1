#include "kernels/dropout/dropout_kernels.h"
#include "kernels/dropout/dropout_simd.h"
#include "kernels/parallel.h"
#include "kernels/random_sequence.h"

namespace vigor {
namespace {

// ---- the definition, in f64 ----
void dropout_naive(double* y, const double* x, int64_t begin, int64_t end, double p, const RandomKey& key) {
  for (int64_t i = begin; i < end; ++i)
    y[i] = random_bits(key, static_cast<uint64_t>(i)) >= dropout_threshold(p) ? x[i] / (1 - p) : 0.0;
}

}  // namespace

void dropout_cpu(const TensorView& y, const TensorView& x, double p, const RandomKey& given, const StepState* state) {
  RandomKey key = given;
  if (state != nullptr) key.step = static_cast<uint32_t>(state->step);
  visit_float(x.dtype, "dropout", [&]<class T>() {
    parallel_blocks(x.numel(), kElementsPerBlock, [&](int64_t begin, int64_t end) {
      if constexpr (std::is_same_v<T, double>) {
        dropout_naive(y.as<double>(), x.as<double>(), begin, end, p, key);
      } else {
        const DropoutRange<T> range{end - begin,
                                    y.as<T>() + begin,
                                    x.as<T>() + begin,
                                    dropout_threshold(p),
                                    static_cast<float>(1 / (1 - p)),
                                    random_sequence(key, static_cast<uint64_t>(begin))};
        VIGOR_PICK(dropout)(range);
      }
    });
  });
}

}  // namespace vigor
