#include "kernels/concat/concat.h"

#include "autograd/engine.h"
#include "autograd/graph.h"
#include "tests/support/testing.h"

namespace vigor {
namespace {

using namespace vigor::testing;

TEST(Concat, HandWorked) {
  const Tensor a = from_values(std::vector<float>{1, 2, 3, 4}, {2, 2});
  const Tensor b = from_values(std::vector<float>{5, 6}, {2, 1});
  expect_values(cat({a, b}, 1), {1, 2, 5, 3, 4, 6});
  expect_values(cat({a, a}, 0), {1, 2, 3, 4, 1, 2, 3, 4});
  EXPECT_EQ(cat({a, b, a}, -1).shape(), (Shape{2, 5}));
  expect_values(cat({a, zeros({0, 2})}, 0), {1, 2, 3, 4});
}

TEST(Concat, SplitIsTheInverse) {
  for (Dtype dtype : {Dtype::f32, Dtype::f64, Dtype::bf16, Dtype::f16, Dtype::i32, Dtype::i64, Dtype::u8}) {
    SCOPED_TRACE(name_of(dtype));
    const Tensor x = converted(random({3, 17, 2}, Dtype::f64, 0, 0, 100), dtype);
    for (int dim = 0; dim < 3; ++dim)
      for (int64_t chunk : {1, 2, 5, 40}) {
        const std::vector<Tensor> pieces = split(x, chunk, dim);
        EXPECT_EQ(pieces[0].raw(), x.raw());
        EXPECT_EQ(pieces[0].shape()[dim], std::min<int64_t>(chunk, x.shape()[dim]));
        expect_equal(cat(pieces, dim), x);
      }
    expect_equal(cat(split(x, {3, 0, 14}, 1), 1), x);
    expect_equal(cat({with_gaps(x), transposed_storage(x)}, 1), cat({x, x}, 1));
  }
}

TEST(Concat, Gradients) {
  for (int dim = 0; dim < 2; ++dim) {
    const Shape other = dim == 0 ? Shape{1, 17} : Shape{3, 5};
    expect_gradients(
        [dim](std::span<const Tensor> in) {
          return cat({in[0], in[1], in[0]}, dim);
        },
        {random({3, 17}, Dtype::f64), random(other, Dtype::f64, 1)});
  }
  expect_gradients(
      [](std::span<const Tensor> in) {
        return split(in[0], {1, 3, 13}, 1);
      },
      {random({3, 17}, Dtype::f64)});
  expect_gradients([](std::span<const Tensor> in) { return split(in[0], 2, 0); }, {random({3, 4}, Dtype::f64)});
}

TEST(Concat, APieceWithoutAGradientCountsAsZero) {
  const Tensor x = set_requires_grad(random({2, 6}));
  const std::vector<Tensor> pieces = split(x, 2, 1);
  const Tensor dy = full({2, 2}, 3);
  backward(std::span(&pieces[1], 1), std::span(&dy, 1));
  expect_values(grad(x), {0, 0, 3, 3, 0, 0, 0, 0, 3, 3, 0, 0});
}

TEST(Concat, OnlyWantedGradients) {
  const Tensor a = set_requires_grad(random({2, 2})), b = random({2, 2});
  const Tensor y = cat({b, a}, 0), dy = random({4, 2}, Dtype::f32, 1);
  backward(std::span(&y, 1), std::span(&dy, 1));
  const std::vector<float> all = dy.to_vector<float>();
  expect_values(grad(a), {all[4], all[5], all[6], all[7]});
  EXPECT_FALSE(grad(b).defined());
  EXPECT_EQ(saved_bytes(y), 0u);
}

TEST(Concat, ErrorsNameTheOperationAndWhatArrived) {
  expect_error([] { cat(std::span<const Tensor>(), 0); }, {"cat: "});
  expect_error([] { cat({zeros({2, 3}), zeros({2, 4})}, 0); }, {"cat: ", "[2,3] f32", "[2,4] f32", "1"});
  expect_error([] { cat({zeros({2}), zeros({2}, Dtype::f64)}, 0); }, {"cat: ", "f64"});
  expect_error([] { cat({zeros({2})}, 1); }, {"cat: ", "1"});
  expect_error([] { split(zeros({2, 5}), {2, 2}, 1); }, {"split: ", "[2,2]", "[2,5] f32"});
  expect_error([] { split(zeros({2, 5}), {7, -2}, 1); }, {"split: ", "[7,-2]"});
  expect_error([] { split(zeros({2, 5}), 0, 1); }, {"split: ", "0"});
}

}  // namespace
}  // namespace vigor
