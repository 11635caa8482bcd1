#include "kernels/index/index.h"

#include "tests/support/cuda_testing.h"

namespace vigor {
namespace {

using namespace vigor::testing;

struct Case {
  Shape x;
  int dim;
  Shape ids;  // of gather
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {{1}, 0, {1}},
      {{17}, 0, {33}},
      {{3, 5}, 1, {2, 9}},
      {{4, 3, 33}, 0, {6, 3, 20}},
      {{4, 3, 5}, 1, {4, 6, 5}},
      {{3, 5}, 1, {0, 2}},
      {{3, 5}, 0, {0, 5}},
  };
  return all;
}

TEST(IndexCuda, EqualsTheCpuForEveryDtype) {
  for (const Case& c : cases())
    for (const Dtype ids_dtype : {Dtype::i32, Dtype::i64}) {
      SCOPED_TRACE(to_string(c.x) + " along " + std::to_string(c.dim));
      const Tensor ids = random_ids(c.ids, c.x[c.dim], ids_dtype);
      const Tensor line = random_ids({c.ids[c.dim]}, c.x[c.dim], ids_dtype, 1);
      for (const Dtype dtype : {Dtype::f32, Dtype::f64, Dtype::bf16, Dtype::i64, Dtype::u8}) {
        const Tensor x = converted(random(c.x, Dtype::f64, 2, 0, 100), dtype);
        for (const Tensor& strided : strided_variants(x)) {
          const Tensor there = on_cuda_strided(strided);
          expect_equal(on_host(gather(there, c.dim, on_cuda_strided(transposed_storage(ids)))), gather(x, c.dim, ids));
          expect_equal(on_host(index_select(there, c.dim, on_cuda_strided(with_gaps(line)))),
                       index_select(x, c.dim, line));
        }
      }
    }
}

TEST(IndexCuda, GradientsAgreeWithTheDefinition) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(to_string(c.x) + " along " + std::to_string(c.dim));
    const Tensor x = random(c.x, Dtype::f64);
    const Tensor ids = random_ids(c.ids, c.x[c.dim]), line = random_ids({c.ids[c.dim]}, c.x[c.dim], Dtype::i64, 1);
    const auto gathered = [&](std::span<const Tensor> in) { return gather(in[0], c.dim, in[1]); };
    const auto selected = [&](std::span<const Tensor> in) { return index_select(in[0], c.dim, in[1]); };
    for (const auto& [dtype, rtol] : {std::pair{Dtype::f32, 1e-6}, std::pair{Dtype::bf16, 4e-3}}) {
      expect_cuda_close_to_f64(gathered, {x, ids}, {dtype}, 1e-6, rtol);
      expect_cuda_close_to_f64(selected, {x, line}, {dtype}, 1e-6, rtol);
    }
  }
}

TEST(IndexCuda, RepeatedIdsAddUpInF32) {
  // 300 ones: in bf16 the sum would stop at 256.
  const Tensor x = set_requires_grad(zeros({2, 3}, Dtype::bf16, kCuda));
  const Tensor y = index_select(x, 0, full({300}, 1, Dtype::i32, kCuda)), dy = full({300, 3}, 1, Dtype::bf16, kCuda);
  backward(std::span(&y, 1), std::span(&dy, 1));
  expect_values(on_host(grad(x)), {0, 0, 0, 300, 300, 300});
}

TEST(IndexCuda, IdsOutOfRangeGiveNanAndNoGradient) {
  const Tensor x = set_requires_grad(full({2, 2}, 3, Dtype::f32, kCuda));
  const Tensor ids = on_cuda(from_values<int32_t>({1, 2, -1}, {3})), dy = full({3, 2}, 1, Dtype::f32, kCuda);
  const Tensor y = index_select(x, 0, ids);
  const std::vector<float> values = on_host(y).to_vector<float>();
  for (size_t i = 0; i < values.size(); ++i) EXPECT_EQ(std::isnan(values[i]), i >= 2);
  backward(std::span(&y, 1), std::span(&dy, 1));
  expect_values(on_host(grad(x)), {0, 0, 1, 1});
}

TEST(IndexCuda, IdsMustBeOnTheDevice) {
  expect_error(
      [] {
        index_select(zeros({2, 2}, Dtype::f32, kCuda), 0, zeros({1}, Dtype::i32));
      },
      {"index_select: ids must be on the device of x", "[1] i32"});
}

}  // namespace
}  // namespace vigor
