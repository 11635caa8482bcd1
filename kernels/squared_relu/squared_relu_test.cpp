#include "kernels/squared_relu/squared_relu.h"

#include "autograd/engine.h"
#include "autograd/graph.h"
#include "kernels/elementwise/elementwise.h"
#include "tests/support/testing.h"

namespace vigor {
namespace {

using namespace vigor::testing;

TEST(SquaredRelu, HandWorked) {
  const Tensor x = set_requires_grad(from_values(std::vector<float>{-2, 0, 0.5, 3}, {4}));
  const Tensor y = squared_relu(x), dy = from_values(std::vector<float>{1, 1, 1, 10}, {4});
  expect_values(y, {0, 0, 0.25, 9});
  backward(std::span(&y, 1), std::span(&dy, 1));
  expect_values(grad(x), {0, 0, 1, 60});
  for (Dtype dtype : {Dtype::f32, Dtype::f64})
    EXPECT_TRUE(std::isnan(squared_relu(full({}, NAN, dtype)).item<double>()));
}

TEST(SquaredRelu, Gradients) {
  for (const Shape& sizes : {Shape{}, Shape{1}, Shape{3}, Shape{17}, Shape{4, 33}, Shape{2, 3, 8}})
    expect_gradients([](std::span<const Tensor> in) { return squared_relu(in[0]); }, {random(sizes, Dtype::f64)});
}

// The same function from basic operations: the test oracle, and what the fused form replaces.
Tensor composed(const Tensor& x) {
  const Tensor positive = clamp(x, 0, INFINITY);
  return positive * positive;
}

TEST(SquaredRelu, FastEqualsComposed) {
  for (const Shape& sizes : {Shape{1}, Shape{17}, Shape{33, 3}, Shape{300, 200}, Shape{0, 4}}) {
    SCOPED_TRACE(to_string(sizes));
    const auto run = [&](auto f, Dtype dtype) {
      const Tensor x = set_requires_grad(converted(random(sizes), dtype));
      const Tensor y = f(x), dy = converted(random(sizes, Dtype::f32, 1), dtype);
      backward(std::span(&y, 1), std::span(&dy, 1));
      return std::vector<Tensor>{y, grad(x)};
    };
    const std::vector<Tensor> exact = run(composed, Dtype::f64), fast = run(squared_relu, Dtype::f32);
    const std::vector<Tensor> rounded = run(squared_relu, Dtype::bf16);
    for (size_t i = 0; i < 2; ++i) {
      expect_close(fast[i], exact[i], 1e-7, 1e-6);
      expect_close(rounded[i], exact[i], 1e-3, 2e-2);  // x, dy and the result are rounded to 8 bits
    }
  }
}

TEST(SquaredRelu, StridedInputs) {
  const Tensor x = random({5, 19});
  for (const Tensor& strided : strided_variants(x)) expect_equal(squared_relu(strided), squared_relu(x));
}

TEST(SquaredRelu, SavesItsInput) {
  const Tensor x = set_requires_grad(random({8, 8}));
  EXPECT_EQ(saved_bytes(squared_relu(x)), x.storage()->nbytes());
}

TEST(SquaredRelu, ErrorsNameTheOperationAndWhatArrived) {
  expect_error([] { squared_relu(zeros({2, 3}, Dtype::i32)); }, {"squared_relu: ", "[2,3] i32"});
}

}  // namespace
}  // namespace vigor
