#include "kernels/where/where.h"

#include "autograd/graph.h"
#include "tests/support/testing.h"

namespace vigor {
namespace {

using namespace vigor::testing;

TEST(Where, HandWorked) {
  const Tensor mask = from_values(std::vector<uint8_t>{1, 0, 7}, {3});  // any number but 0 means yes
  const Tensor a = from_values(std::vector<float>{1, 2, 3}, {3}), b = from_values(std::vector<float>{-1, -2, -3}, {3});
  expect_values(where(mask, a, b), {1, -2, 3});
  expect_values(masked_fill(a, mask, -9), {-9, 2, -9});
  // The value that is not chosen has no influence, not even a NaN.
  expect_values(masked_fill(from_values(std::vector<float>{NAN, 2, NAN}, {3}), mask, 0), {0, 2, 0});
}

TEST(Where, BroadcastsAndTakesAnyStridesAndDtype) {
  const Tensor mask = random_ids({4, 1, 3}, 2, Dtype::u8);
  for (Dtype dtype : {Dtype::f32, Dtype::f64, Dtype::bf16, Dtype::f16, Dtype::i32, Dtype::i64, Dtype::u8}) {
    SCOPED_TRACE(name_of(dtype));
    const Tensor a = converted(random({2, 3}, Dtype::f64, 1, 0, 100), dtype);
    const Tensor b = converted(random({4, 2, 1}, Dtype::f64, 2, 0, 100), dtype);
    const std::vector<double> m = mask.to_vector<double>(), x = a.to_vector<double>(), y = b.to_vector<double>();
    std::vector<double> expected;
    for (size_t i = 0; i < 4; ++i)
      for (size_t j = 0; j < 2; ++j)
        for (size_t k = 0; k < 3; ++k) expected.push_back(m[i * 3 + k] != 0 ? x[j * 3 + k] : y[i * 2 + j]);
    expect_values(where(mask, a, b), expected);
    expect_equal(where(with_gaps(mask), transposed_storage(a), with_gaps(b)), where(mask, a, b));
  }
  const Tensor large_mask = random_ids({300, 200}, 2, Dtype::u8), x = random({300, 200});
  expect_close(where(large_mask, x, x), x, 0);
  EXPECT_EQ(where(zeros({0, 3}, Dtype::u8), zeros({3}), zeros({})).shape(), (Shape{0, 3}));
}

TEST(Where, Gradients) {
  for (const Shape& sizes : {Shape{}, Shape{1}, Shape{17}, Shape{3, 33}}) {
    const Tensor mask = random_ids(sizes, 2, Dtype::u8);
    expect_gradients([&](std::span<const Tensor> in) { return where(mask, in[0], in[1]); },
                     {random(sizes, Dtype::f64), random(sizes, Dtype::f64, 1)});
    expect_gradients([&](std::span<const Tensor> in) { return masked_fill(in[0], mask, 5); },
                     {random(sizes, Dtype::f64)});
  }
  const Tensor mask = random_ids({4, 1, 3}, 2, Dtype::u8);
  expect_gradients([&](std::span<const Tensor> in) { return where(mask, in[0], in[1]); },
                   {random({2, 3}, Dtype::f64), random({4, 2, 1}, Dtype::f64, 1)});
  expect_gradients([&](std::span<const Tensor> in) { return masked_fill(in[0], mask, 2); },
                   {random({4, 2, 3}, Dtype::f64)});
}

TEST(Where, SavesTheMaskAlone) {
  const Tensor mask = random_ids({64, 64}, 2, Dtype::u8), x = set_requires_grad(random({64, 64}));
  EXPECT_EQ(saved_bytes(where(mask, x, x)), mask.storage()->nbytes());
}

TEST(Where, ErrorsNameTheOperationAndWhatArrived) {
  const Tensor mask = zeros({3}, Dtype::u8);
  expect_error([] { where(zeros({3}), zeros({3}), zeros({3})); }, {"where: ", "u8", "[3] f32"});
  expect_error([&] { where(mask, zeros({3}), zeros({3}, Dtype::f64)); }, {"where: ", "f32", "f64"});
  expect_error([&] { where(mask, zeros({4}), zeros({4})); }, {"where: ", "[3]", "[4]"});
  expect_error([&] { masked_fill(zeros({1}), mask, 0); }, {"masked_fill: ", "[3] u8", "[1] f32"});
}

}  // namespace
}  // namespace vigor
