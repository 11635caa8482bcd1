#include "kernels/cast/cast.h"

#include "autograd/engine.h"
#include "tests/support/testing.h"

namespace vigor {
namespace {

using namespace vigor::testing;

TEST(Cast, ConvertsValues) {
  const Tensor x = from_values(std::vector<float>{-1.75f, 0.1f, 2.9f, 1e5f}, {4});
  expect_values(cast(x, Dtype::i32), {-1, 0, 2, 100000});
  expect_values(cast(x, Dtype::bf16), {-1.75, 0.10009765625, 2.90625, 99840});
  expect_values(cast(x, Dtype::f16), {-1.75, 0.0999755859375, 2.900390625, INFINITY});
  EXPECT_EQ(cast(x, Dtype::f64).dtype(), Dtype::f64);
  EXPECT_TRUE(cast(x, Dtype::f32).same_as(x));
  expect_values(cast(from_values(std::vector<uint8_t>{0, 255}, {2}), Dtype::f32), {0, 255});
  EXPECT_EQ(cast(zeros({0, 3}), Dtype::bf16).shape(), (Shape{0, 3}));
}

TEST(Cast, StridedAndLargeInputs) {
  const Tensor x = random({5, 33});
  for (const Tensor& strided : strided_variants(x)) expect_equal(cast(strided, Dtype::bf16), cast(x, Dtype::bf16));
  const Tensor large = random({200, 1000});
  expect_close(cast(large, Dtype::bf16), large, 0, 1.0 / 256);
}

TEST(Cast, Gradients) {
  for (const Shape& sizes : {Shape{}, Shape{3}, Shape{4, 17}})
    expect_gradients([](std::span<const Tensor> in) { return cast(cast(in[0], Dtype::f64), Dtype::f64); },
                     {random(sizes, Dtype::f64)});
  // Through a narrower type the gradient is rounded as the values are.
  const Tensor x = set_requires_grad(random({3, 5}, Dtype::f64));
  const Tensor y = cast(x, Dtype::bf16), dy = cast(random({3, 5}, Dtype::f32, 1), Dtype::bf16);
  backward(std::span(&y, 1), std::span(&dy, 1));
  EXPECT_EQ(grad(x).dtype(), Dtype::f64);
  expect_close(grad(x), dy, 0);
}

TEST(Cast, IntegersHaveNoGradient) {
  const Tensor x = set_requires_grad(random({3}));
  EXPECT_FALSE(requires_grad(cast(x, Dtype::i64)));
  EXPECT_TRUE(requires_grad(cast(x, Dtype::f16)));
}

}  // namespace
}  // namespace vigor
