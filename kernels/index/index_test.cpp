#include "kernels/index/index.h"

#include "autograd/engine.h"
#include "autograd/graph.h"
#include "tests/support/testing.h"

namespace vigor {
namespace {

using namespace vigor::testing;

TEST(Index, HandWorked) {
  const Tensor x = from_values(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3});
  expect_values(index_select(x, 1, from_values(std::vector<int32_t>{2, 0, 2, 1}, {4})), {3, 1, 3, 2, 6, 4, 6, 5});
  expect_values(index_select(x, 0, from_values(std::vector<int64_t>{1}, {1})), {4, 5, 6});
  expect_values(gather(x, 1, from_values(std::vector<int32_t>{2, 2, 0, 1}, {2, 2})), {3, 3, 4, 5});
  expect_values(gather(x, 0, from_values(std::vector<int64_t>{1, 0}, {1, 2})), {4, 2});
}

// y[.., j, ..] = x[.., ids[.., j, ..], ..], element by element.
Tensor definition(const Tensor& x, int dim, const Tensor& ids) {
  const std::vector<double> values = x.to_vector<double>();
  const std::vector<int64_t> id = ids.to_vector<int64_t>();
  std::vector<double> y;
  for (int64_t i = 0; i < ids.numel(); ++i) {
    int64_t rest = i, at = 0, step = 1;
    for (int d = x.rank() - 1; d >= 0; --d) {
      at += (d == dim ? id[static_cast<size_t>(i)] : rest % ids.shape()[d]) * step;
      rest /= ids.shape()[d];
      step *= x.shape()[d];
    }
    y.push_back(values[static_cast<size_t>(at)]);
  }
  return from_values(y, ids.shape());
}

struct Case {
  Shape x;
  int dim;
  Shape ids;  // of gather
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {{1}, 0, {1}},
      {{17}, 0, {33}},
      {{3, 5}, 0, {7, 5}},
      {{3, 5}, 1, {2, 9}},
      {{4, 3, 33}, 0, {6, 3, 20}},
      {{4, 3, 5}, 1, {4, 6, 5}},
      {{4, 3, 5}, 2, {3, 3, 1}},
      {{100, 130}, 0, {150, 130}},
      {{3, 5}, 1, {0, 2}},
      {{3, 5}, 0, {0, 5}},
  };
  return all;
}

TEST(Index, EqualsTheDefinition) {
  for (const Case& c : cases())
    for (Dtype ids_dtype : {Dtype::i32, Dtype::i64}) {
      SCOPED_TRACE(to_string(c.x) + " along " + std::to_string(c.dim));
      const Tensor ids = random_ids(c.ids, c.x[c.dim], ids_dtype);
      const Tensor line = random_ids({c.ids[c.dim]}, c.x[c.dim], ids_dtype, 1);
      // index_select is the gather whose ids are the same in every line.
      Shape selected = c.x, along = c.x;
      selected[c.dim] = line.numel();
      for (int d = 0; d < along.rank(); ++d) along[d] = d == c.dim ? line.numel() : 1;
      const Tensor all = clone(line.with_view(expanded(*reshaped(line, along), selected, "test")));
      for (Dtype dtype : {Dtype::f32, Dtype::f64, Dtype::bf16, Dtype::i64, Dtype::u8}) {
        const Tensor x = converted(random(c.x, Dtype::f64, 2, 0, 100), dtype);
        expect_close(gather(x, c.dim, ids), definition(x, c.dim, ids), 0);
        expect_close(index_select(x, c.dim, line), definition(x, c.dim, all), 0);
        for (const Tensor& strided : strided_variants(x)) {
          expect_equal(gather(strided, c.dim - c.x.rank(), transposed_storage(ids)), gather(x, c.dim, ids));
          expect_equal(index_select(strided, c.dim, with_gaps(line)), index_select(x, c.dim, line));
        }
      }
    }
}

TEST(Index, Gradients) {
  for (const Case& c : cases()) {
    if (c.x.numel() > 1000) continue;
    SCOPED_TRACE(to_string(c.x) + " along " + std::to_string(c.dim));
    const Tensor ids = random_ids(c.ids, c.x[c.dim]), line = random_ids({c.ids[c.dim]}, c.x[c.dim], Dtype::i64, 1);
    expect_gradients(
        [&](std::span<const Tensor> in) {
          return std::vector<Tensor>{gather(in[0], c.dim, ids), index_select(in[0], c.dim, line)};
        },
        {random(c.x, Dtype::f64)});
  }
}

TEST(Index, RepeatedIdsAddUpInF32) {
  // 300 ones: in bf16 the sum would stop at 256.
  for (Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    const Tensor x = set_requires_grad(zeros({2, 3}, dtype));
    const Tensor y = index_select(x, 0, full({300}, 1, Dtype::i32)), dy = full({300, 3}, 1, dtype);
    backward(std::span(&y, 1), std::span(&dy, 1));
    expect_values(grad(x), {0, 0, 0, 300, 300, 300});
    EXPECT_EQ(grad(x).dtype(), dtype);
  }
}

TEST(Index, LargeGradientsAreTheSameEveryTime) {
  const Tensor ids = random_ids({3000}, 100), dy = random({3000, 96});
  const auto gradient = [&] {
    const Tensor x = set_requires_grad(zeros({100, 96}));
    const Tensor y = index_select(x, 0, ids);
    backward(std::span(&y, 1), std::span(&dy, 1));
    return grad(x);
  };
  expect_equal(gradient(), gradient());
}

TEST(Index, SavesTheIdsAlone) {
  const Tensor x = set_requires_grad(random({10, 64})), ids = random_ids({5}, 10);
  EXPECT_EQ(saved_bytes(index_select(x, 0, ids)), ids.storage()->nbytes());
}

TEST(Index, ErrorsNameTheOperationAndTheId) {
  const Tensor x = zeros({10, 4});
  expect_error(
      [&] {
        index_select(x, 0, from_values(std::vector<int32_t>{1, 9, 10}, {3}));
      },
      {"index_select: ", "[0, 10)", "[10,4] f32", "got 10 at position 2"});
  expect_error(
      [&] {
        gather(x, 1, from_values(std::vector<int64_t>{0, -1}, {1, 2}));
      },
      {"gather: ", "[0, 4)", "got -1 at position 1"});
  expect_error([&] { index_select(x, 0, zeros({2, 2}, Dtype::i32)); }, {"index_select: ", "[2,2] i32"});
  expect_error([&] { index_select(x, 2, zeros({2}, Dtype::i32)); }, {"index_select: ", "2"});
  expect_error([&] { index_select(x, 0, zeros({2})); }, {"index_select: ", "i32 or i64", "[2] f32"});
  expect_error([&] { gather(x, 0, zeros({2, 5}, Dtype::i32)); }, {"gather: ", "[2,5] i32", "[10,4] f32"});
  expect_error([&] { gather(x, 0, zeros({2}, Dtype::i32)); }, {"gather: ", "[2] i32"});
}

}  // namespace
}  // namespace vigor
