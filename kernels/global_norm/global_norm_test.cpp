#include "kernels/global_norm/global_norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tensor/simd.h"
#include "tests/support/testing.h"

namespace vigor {
namespace {

StepState norm_of(std::span<const Tensor> gradients, double max_norm) {
  StepState state;
  global_norm(gradients, max_norm, state);
  return state;
}

TEST(GlobalNorm, SeveralTensorsByHand) {
  const std::vector<Tensor> g = {from_values(std::vector<float>{3, 0}, {2}),
                                 from_values(std::vector<float>{0, 4, 12}, {3})};
  const StepState state = norm_of(g, 6.5);
  EXPECT_FLOAT_EQ(state.grad_norm, 13.0f);
  EXPECT_NEAR(state.clip_factor, 6.5 / (13.0 + 1e-6), 1e-7);
  EXPECT_EQ(norm_of(g, 20.0).clip_factor, 1.0f);
  EXPECT_EQ(norm_of(g, 0).clip_factor, 1.0f);
}

TEST(GlobalNorm, EverySizeAndInstructionSetEqualsTheDefinition) {
  for (Isa isa : {Isa::portable, Isa::avx2, Isa::avx512}) {
    if (!is_supported(isa)) continue;
    const IsaScope scope(isa);
    for (int64_t n : {1, 3, 17, 33, 300000}) {
      const Tensor g = testing::random({n});
      double expected = 0;
      for (double x : g.to_vector<double>()) expected += x * x;
      EXPECT_NEAR(norm_of(std::vector<Tensor>{g}, 0).grad_norm, std::sqrt(expected), 1e-6 * std::sqrt(expected)) << n;
      const Tensor wide = testing::converted(g, Dtype::f64);
      EXPECT_NEAR(norm_of(std::vector<Tensor>{wide}, 0).grad_norm, std::sqrt(expected), 1e-6 * std::sqrt(expected));
    }
  }
}

TEST(GlobalNorm, LargeGradientsDoNotOverflow) {
  const Tensor g = full({4}, 1e30);
  EXPECT_FLOAT_EQ(norm_of(std::vector<Tensor>{g}, 1.0).grad_norm, 2e30f);
}

TEST(GlobalNorm, NonFiniteValuesAreSeen) {
  const Tensor g = full({40}, 1.0);
  g.data<float>()[35] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(norm_of(std::vector<Tensor>{g}, 1.0).grad_norm));
  g.data<float>()[35] = std::numeric_limits<float>::infinity();
  EXPECT_TRUE(std::isinf(norm_of(std::vector<Tensor>{g}, 1.0).grad_norm));
}

TEST(GlobalNorm, ErrorsNameTheTensor) {
  StepState state;
  EXPECT_THROW(global_norm(zeros({3}, Dtype::bf16), 1.0, state), std::invalid_argument);
  EXPECT_THROW(global_norm(testing::with_gaps(zeros({3})), 1.0, state), std::invalid_argument);
}

}  // namespace
}  // namespace vigor
