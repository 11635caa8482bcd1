#include "kernels/cumsum/cumsum.h"

#include "autograd/graph.h"
#include "tests/support/testing.h"

namespace vigor {
namespace {

using namespace vigor::testing;

Tensor definition(const Tensor& x, int dim) {
  std::vector<double> values = x.to_vector<double>();
  int64_t step = 1;
  for (int d = dim + 1; d < x.rank(); ++d) step *= x.shape()[d];
  for (int64_t i = 0; i < x.numel(); ++i)
    if (i / step % x.shape()[dim] != 0) values[static_cast<size_t>(i)] += values[static_cast<size_t>(i - step)];
  return from_values(values, x.shape());
}

TEST(Cumsum, HandWorked) {
  const Tensor x = from_values(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3});
  expect_values(cumsum(x, 1), {1, 3, 6, 4, 9, 15});
  expect_values(cumsum(x, 0), {1, 2, 3, 5, 7, 9});
  EXPECT_EQ(cumsum(zeros({0, 3}), 1).shape(), (Shape{0, 3}));
  EXPECT_EQ(cumsum(zeros({3, 0}), 1).shape(), (Shape{3, 0}));
}

TEST(Cumsum, EqualsTheDefinition) {
  for (const Shape& sizes : {Shape{1}, Shape{17}, Shape{3, 33}, Shape{4, 5, 100}, Shape{2, 1, 3}, Shape{300, 200}})
    for (int dim = 0; dim < sizes.rank(); ++dim) {
      SCOPED_TRACE(to_string(sizes) + " along " + std::to_string(dim));
      const Tensor exact = random(sizes, Dtype::f64);
      expect_close(cumsum(exact, dim), definition(exact, dim), 1e-12);
      const Tensor x = converted(exact, Dtype::f32);
      expect_close(cumsum(x, dim), definition(x, dim), 1e-6, 1e-6);
      for (const Tensor& strided : strided_variants(x)) expect_equal(cumsum(strided, dim), cumsum(x, dim));
      const Tensor rounded = converted(exact, Dtype::bf16);
      expect_close(cumsum(rounded, dim - sizes.rank()), definition(rounded, dim), 1e-6, 8e-3);
    }
}

TEST(Cumsum, Gradients) {
  for (const Shape& sizes : {Shape{1}, Shape{17}, Shape{3, 33}, Shape{2, 5, 4}})
    for (int dim = 0; dim < sizes.rank(); ++dim)
      expect_gradients([dim](std::span<const Tensor> in) { return cumsum(in[0], dim); }, {random(sizes, Dtype::f64)});
  EXPECT_EQ(saved_bytes(cumsum(set_requires_grad(random({3})), 0)), 0u);
}

TEST(Cumsum, ErrorsNameTheOperationAndWhatArrived) {
  expect_error([] { cumsum(zeros({2, 3}), 2); }, {"cumsum: ", "2"});
  expect_error([] { cumsum(zeros({}), 0); }, {"cumsum: "});
  expect_error([] { cumsum(zeros({2}, Dtype::i32), 0); }, {"cumsum: ", "[2] i32"});
}

}  // namespace
}  // namespace vigor
