// The check that stands before every time: it must find a wrong result and a wrong gradient, and let right ones pass.
#include "bench/kernels/check_kernel.h"

#include "kernels/elementwise/elementwise.h"
#include "kernels/linear/linear.h"
#include "tests/support/testing.h"

namespace vigor {
namespace {

using Inputs = std::vector<Tensor>;

KernelCase product(const Operation& run, const Operation& definition) {
  return {.name = "product",
          .operands =
              [](Tokens n) {
                return Operands().activation({n.batch, n.time, 33}).weight({17, 33});
              },
          .run = run,
          .definition = definition};
}

const Operation kLinear = [](const Inputs& in) { return linear(in[0], in[1]); };

TEST(CheckKernel, LetsRightResultsPass) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16})
    for (const Pass pass : {Pass::forward, Pass::backward})
      EXPECT_EQ(check_kernel(product(kLinear, {}), dtype, pass), "") << name_of(dtype);
}

TEST(CheckKernel, FindsAWrongResult) {
  const Operation wrong = [](const Inputs& in) { return linear(in[0], in[1]) * 1.1; };
  EXPECT_NE(check_kernel(product(wrong, kLinear), Dtype::f32, Pass::forward).find("the result is wrong: element"),
            std::string::npos);
}

TEST(CheckKernel, FindsAWrongGradient) {
  // The value of x w, but a gradient of x that is twice too large.
  const Operation wrong = [](const Inputs& in) {
    const Tensor y = linear(in[0], in[1]);
    return sub(linear(in[0] * 2, in[1]), linear(detach(in[0]), in[1]));
  };
  EXPECT_EQ(check_kernel(product(wrong, kLinear), Dtype::f32, Pass::forward), "");
  EXPECT_NE(check_kernel(product(wrong, kLinear), Dtype::f32, Pass::backward).find("gradient of operand 0 is wrong"),
            std::string::npos);
}

TEST(CheckKernel, FindsNotANumber) {
  const Operation wrong = [](const Inputs& in) {
    return linear(in[0], in[1]) * std::numeric_limits<double>::quiet_NaN();
  };
  EXPECT_NE(check_kernel(product(wrong, kLinear), Dtype::f32, Pass::forward).find("nan"), std::string::npos);
}

TEST(Operands, KeepFullWeightsInF32BesideBf16) {
  const Operands operands = Operands().activation({4}).weight({4}).full_weight({4}, 0, 1).ids({4}, 9);
  const std::vector<Tensor> bf16 = values_of(operands, Dtype::bf16), f64 = values_of(operands, Dtype::f64);
  const Dtype expected[] = {Dtype::bf16, Dtype::bf16, Dtype::f32, Dtype::i32};
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(bf16[i].dtype(), expected[i]);
    EXPECT_EQ(f64[i].dtype(), i < 3 ? Dtype::f64 : Dtype::i32);
  }
}

}  // namespace
}  // namespace vigor
