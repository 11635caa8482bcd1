#include "kernels/softmax/softmax.h"

#include "kernels/elementwise/elementwise.h"
#include "kernels/reduce/reduce.h"
#include "tests/support/against_f64.h"

namespace vigor {
namespace {

using namespace vigor::testing;

Operation softmax_along(int dim) {
  return [dim](std::span<const Tensor> in) { return softmax(in[0], dim); };
}

// The same from basic operations. The maximum cancels, so its gradient, which detach() cuts, is 0.
Operation composed_along(int dim) {
  return [dim](std::span<const Tensor> in) {
    const Tensor e = exp(in[0] - detach(max(in[0], {dim}, true)));
    return e / sum(e, {dim}, true);
  };
}

TEST(Softmax, HandWorked) {
  const Tensor x = from_values<double>({0, std::log(2.0), std::log(5.0)}, {3});
  expect_values(softmax(x), {1.0 / 8, 2.0 / 8, 5.0 / 8}, 1e-15);
}

TEST(Softmax, MatchesPyTorch) { expect_fixture(softmax_along(-1), "softmax", {"x"}, 1e-6, 2e-6); }

TEST(Softmax, Gradient) {
  for (const int dim : {0, 1, -1}) expect_gradients(softmax_along(dim), {random({3, 5, 7}, Dtype::f64, 1, -3, 3)});
  for (const int64_t n : {1, 3, 17, 33}) expect_gradients(softmax_along(0), {random({n}, Dtype::f64, 2, -3, 3)});
}

TEST(Softmax, AgreesWithComposedForm) {
  const Tensor x = random({4, 6, 33}, Dtype::f64, 1, -5, 5), dy = random({4, 6, 33}, Dtype::f64, 2);
  for (const int dim : {0, 1, 2, -1}) {
    const Outcome fused = outcome_of(softmax_along(dim), {x}, dy), plain = outcome_of(composed_along(dim), {x}, dy);
    expect_close(fused.y, plain.y, 1e-14, 1e-13);
    expect_close(fused.gradients[0], plain.gradients[0], 1e-14, 1e-12);
  }
}

TEST(Softmax, FastAgreesWithDefinition) {
  for (const int64_t n : {1, 3, 17, 33, 64, 1000}) {
    const Tensor x = random({20, n}, Dtype::f64, 3, -20, 20);
    expect_close_to_f64(softmax_along(-1), {x}, {Dtype::f32}, 1e-6, 4e-6);
    expect_close_to_f64(softmax_along(-1), {x}, {Dtype::bf16}, 1e-2, 1e-2);
    expect_close_to_f64(softmax_along(0), {x}, {Dtype::f32}, 1e-6, 4e-6);
    expect_close_to_f64(softmax_along(0), {x}, {Dtype::bf16}, 1e-2, 1e-2);
  }
}

TEST(Softmax, MaskedAndLargeValues) {
  const float inf = std::numeric_limits<float>::infinity();
  for_each_isa([&] {
    expect_values(softmax(from_values<float>({1e30f, 1e30f, -inf, -1e30f}, {4})), {0.5, 0.5, 0, 0});
    expect_values(softmax(full({5}, -200)), {0.2, 0.2, 0.2, 0.2, 0.2}, 1e-7);
    EXPECT_TRUE(std::isnan(softmax(full({5}, -inf)).to_vector<float>()[0]));
    const Tensor with_nan = softmax(from_values<float>({1, std::nanf(""), 2}, {3}));
    EXPECT_TRUE(std::isnan(with_nan.to_vector<float>()[0]));
  });
}

TEST(Softmax, StridedInputs) {
  const Tensor x = random({3, 5, 17});
  for (const int dim : {0, 2})
    for (const Tensor& strided : strided_variants(x)) expect_equal(softmax(strided, dim), softmax(x, dim));
}

TEST(Softmax, Errors) {
  expect_error([] { softmax(zeros({2, 3}), 2); }, {"softmax", "2"});
  expect_error([] { softmax(zeros({2, 3}, Dtype::i32)); }, {"softmax", "[2,3] i32"});
  expect_error([] { softmax(zeros({})); }, {"softmax", "at least one dimension", "[] f32"});
}

}  // namespace
}  // namespace vigor
