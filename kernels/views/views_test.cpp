#include "kernels/views/views.h"

#include "autograd/engine.h"
#include "autograd/graph.h"
#include "tests/support/testing.h"

namespace vigor {
namespace {

using namespace vigor::testing;

Tensor counting(const Shape& sizes) {
  std::vector<double> values(static_cast<size_t>(sizes.numel()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(i);
  return from_values(values, sizes);
}

TEST(Views, ReshapeKeepsRowMajorOrderAndMemory) {
  const Tensor x = counting({2, 6});
  const Tensor y = reshape(x, {3, -1});
  EXPECT_EQ(y.shape(), (Shape{3, 4}));
  EXPECT_EQ(y.raw(), x.raw());
  expect_values(y, x.to_vector<double>());
  EXPECT_EQ(reshape(x, {-1}).shape(), Shape{12});
  EXPECT_EQ(reshape(counting({1}), {}).rank(), 0);
  EXPECT_EQ(reshape(counting({}), {1, 1}).shape(), (Shape{1, 1}));
  EXPECT_EQ(reshape(zeros({0, 3}), {3, 0}).shape(), (Shape{3, 0}));
}

TEST(Views, ReshapeOfStridedElementsCopiesOnlyWhenItMust) {
  const Tensor x = counting({4, 6});
  const Tensor rows = slice(x, 0, 0, 4, 2);  // [2,6] with a gap between rows
  EXPECT_EQ(reshape(rows, {2, 2, 3}).raw(), x.raw());
  expect_values(reshape(rows, {2, 2, 3}), {0, 1, 2, 3, 4, 5, 12, 13, 14, 15, 16, 17});
  expect_values(reshape(rows, {12}), {0, 1, 2, 3, 4, 5, 12, 13, 14, 15, 16, 17});
  EXPECT_NE(reshape(rows, {12}).raw(), x.raw());
  const Tensor turned = transpose(x, 0, 1);  // [6,4]
  expect_values(reshape(turned, {3, 8}), turned.to_vector<double>());
  EXPECT_NE(reshape(turned, {3, 8}).raw(), x.raw());
  EXPECT_EQ(reshape(turned, {2, 3, 4}).raw(), x.raw());
}

// Every small shape to every other of the same size, from every layout: compared through values.
TEST(Views, ReshapeOfManyShapes) {
  const std::vector<Shape> shapes = {{24}, {4, 6}, {2, 12}, {2, 3, 4}, {1, 24, 1}, {2, 1, 2, 6}, {3, 8}, {4, 3, 2}};
  for (const Shape& from : shapes)
    for (const Tensor& x : strided_variants(counting(from)))
      for (const Shape& to : shapes) {
        SCOPED_TRACE(to_string(from) + " to " + to_string(to));
        expect_values(reshape(x, to), x.to_vector<double>());
      }
}

TEST(Views, PermuteAndTranspose) {
  const Tensor x = counting({2, 3, 4});
  const Tensor y = permute(x, {2, 0, -2});
  EXPECT_EQ(y.shape(), (Shape{4, 2, 3}));
  EXPECT_EQ(y.raw(), x.raw());
  const std::vector<double> values = y.to_vector<double>();
  for (int64_t i = 0; i < 4; ++i)
    for (int64_t j = 0; j < 2; ++j)
      for (int64_t k = 0; k < 3; ++k)
        EXPECT_EQ(values[static_cast<size_t>((i * 2 + j) * 3 + k)], static_cast<double>((j * 3 + k) * 4 + i));
  expect_values(transpose(counting({2, 3}), 0, -1), {0, 3, 1, 4, 2, 5});
}

TEST(Views, SliceCountsAsPythonDoes) {
  const Tensor x = counting({10});
  expect_values(slice(x, 0, 2, 5), {2, 3, 4});
  expect_values(slice(x, 0, -3, 100), {7, 8, 9});
  expect_values(slice(x, 0, 1, -1, 3), {1, 4, 7});
  expect_values(slice(x, 0, 5, 2), {});
  EXPECT_EQ(slice(counting({3, 4}), -1, 1, 3).shape(), (Shape{3, 2}));
}

TEST(Views, ExpandRepeatsWithoutCopying) {
  const Tensor x = counting({2, 1});
  const Tensor y = expand(x, {3, 2, 2});
  EXPECT_EQ(y.raw(), x.raw());
  expect_values(y, {0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1});
  EXPECT_EQ(expand(counting({}), {0, 4}).numel(), 0);
}

TEST(Views, ContiguousCopiesOnlyWhenItMust) {
  const Tensor x = counting({3, 4});
  EXPECT_TRUE(contiguous(x).same_as(x));
  for (const Tensor& strided : {with_gaps(x), transposed_storage(x)}) {
    EXPECT_TRUE(contiguous(strided).is_contiguous());
    expect_equal(contiguous(strided), x);
  }
}

TEST(Views, Gradients) {
  const auto check = [](const Shape& sizes, const std::function<Tensor(const Tensor&)>& f) {
    SCOPED_TRACE(to_string(sizes));
    expect_gradients([&f](std::span<const Tensor> in) { return f(in[0]); }, {random(sizes, Dtype::f64)});
  };
  check({4, 6}, [](const Tensor& x) { return reshape(x, {3, 8}); });
  check({4, 6}, [](const Tensor& x) { return reshape(transpose(x, 0, 1), {3, 8}); });
  check({1}, [](const Tensor& x) { return reshape(x, {}); });
  check({2, 3, 17}, [](const Tensor& x) { return permute(x, {2, 0, 1}); });
  check({3, 17, 2}, [](const Tensor& x) { return transpose(x, 1, 2); });
  check({5, 17}, [](const Tensor& x) { return slice(x, 1, 3, -2); });
  check({5, 17}, [](const Tensor& x) { return slice(x, -2, 1, 5, 2); });
  check({5, 17}, [](const Tensor& x) { return slice(x, 0, 2, 2); });
  check({3, 1}, [](const Tensor& x) { return expand(x, {2, 3, 5}); });
  check({}, [](const Tensor& x) { return expand(x, {33}); });
  check({3, 4}, [](const Tensor& x) { return contiguous(transpose(x, 0, 1)); });
  check({3, 4}, [](const Tensor& x) { return contiguous(x); });
}

TEST(Views, GradientsOfOverlappingSlicesAddUp) {
  expect_gradients(
      [](std::span<const Tensor> in) {
        return std::vector<Tensor>{slice(in[0], 0, 0, 3), slice(in[0], 0, 2, 5), in[0]};
      },
      {random({5, 2}, Dtype::f64)});
}

TEST(Views, KeepNothingForBackward) {
  const Tensor x = set_requires_grad(random({4, 6}));
  EXPECT_EQ(saved_bytes(permute(reshape(slice(x, 0, 1, 3), {3, 4}), {1, 0})), 0u);
}

TEST(Views, EveryDtype) {
  for (Dtype dtype : {Dtype::f32, Dtype::f64, Dtype::bf16, Dtype::f16, Dtype::i32, Dtype::i64, Dtype::u8}) {
    SCOPED_TRACE(name_of(dtype));
    const Tensor x = converted(counting({2, 6}), dtype);
    expect_equal(
        contiguous(transpose(reshape(transpose(x, 0, 1), {3, 4}), 0, 1)),
        transpose(converted(from_values(std::vector<double>{0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11}, {3, 4}), dtype), 0,
                  1));
  }
}

TEST(Views, ErrorsNameTheOperationAndWhatArrived) {
  expect_error([] { reshape(zeros({2, 3}), {4, 2}); }, {"reshape: ", "[4,2]", "[2,3] f32"});
  expect_error([] { reshape(zeros({2, 3}), {-1, -1}); }, {"reshape: ", "[-1,-1]"});
  expect_error([] { reshape(zeros({2, 3}), {-1, 4}); }, {"reshape: ", "[2,3] f32"});
  expect_error([] { reshape(zeros({2, 3}), {-2, -3}); }, {"reshape: ", "[-2,-3]"});
  expect_error([] { permute(zeros({2, 3}), {0}); }, {"permute: ", "1", "2"});
  expect_error([] { permute(zeros({2, 3}), {0, 0}); }, {"permute: ", "0", "twice"});
  expect_error([] { transpose(zeros({2, 3}), 0, 2); }, {"transpose: ", "2"});
  expect_error([] { slice(zeros({2, 3}), 2, 0, 1); }, {"slice: ", "2"});
  expect_error([] { slice(zeros({2, 3}), 0, 0, 1, 0); }, {"slice: ", "step"});
  expect_error([] { expand(zeros({2, 3}), {4, 3}); }, {"expand: ", "[2,3]", "[4,3]"});
}

}  // namespace
}  // namespace vigor
