#include "kernels/gelu/gelu.h"

#include "kernels/elementwise/elementwise.h"
#include "tests/support/against_f64.h"

namespace vigor {
namespace {

using namespace vigor::testing;

constexpr GeluKind kKinds[] = {GeluKind::erf, GeluKind::tanh};

Operation gelu_of(GeluKind kind) {
  return [kind](std::span<const Tensor> in) { return gelu(in[0], kind); };
}

TEST(Gelu, HandWorked) {
  // x Phi(x) with Phi(0) = 1/2, Phi(1) = 0.841344746, Phi(-2) = 0.022750132.
  const Tensor x = from_values<double>({0, 1, -2}, {3});
  expect_values(gelu(x), {0, 0.841344746, -2 * 0.022750132}, 1e-8);
  // x (1 + tanh u) / 2 with u(1) = 0.797884561 * 1.044715, u(-2) = -0.797884561 * 2.35772.
  expect_values(gelu(x, GeluKind::tanh), {0, 0.841191991, -0.045402306}, 1e-8);
}

TEST(Gelu, MatchesPyTorch) {
  expect_fixture(gelu_of(GeluKind::erf), "gelu", {"x"}, 1e-6, 1e-6);
  expect_fixture(gelu_of(GeluKind::tanh), "gelu_tanh", {"x"}, 1e-6, 1e-6);
}

TEST(Gelu, Gradient) {
  for (const GeluKind kind : kKinds)
    for (const Shape& shape : {Shape{}, Shape{1}, Shape{3, 17}, Shape{2, 4, 8}})
      expect_gradients(gelu_of(kind), {random(shape, Dtype::f64, 1, -4, 4)});
}

TEST(Gelu, TanhFormAgreesWithComposedForm) {
  const Operation composed = [](std::span<const Tensor> in) {
    const Tensor u = std::sqrt(2 / M_PI) * (in[0] + 0.044715 * in[0] * in[0] * in[0]);
    return 0.5 * in[0] * (1.0 + tanh(u));
  };
  const Tensor x = random({3, 17}, Dtype::f64, 3, -4, 4), dy = random({3, 17}, Dtype::f64, 4);
  const Outcome fused = outcome_of(gelu_of(GeluKind::tanh), {x}, dy), plain = outcome_of(composed, {x}, dy);
  expect_close(fused.y, plain.y, 1e-14, 1e-13);
  expect_close(fused.gradients[0], plain.gradients[0], 1e-13, 1e-13);
}

TEST(Gelu, FastAgreesWithDefinition) {
  for (const GeluKind kind : kKinds)
    for (const int64_t n : {1, 3, 17, 33, 64, 40000}) {
      const Tensor x = random({n}, Dtype::f64, 2, -8, 8);
      expect_close_to_f64(gelu_of(kind), {x}, {Dtype::f32}, 2e-6, 2e-6);
      expect_close_to_f64(gelu_of(kind), {x}, {Dtype::bf16}, 1e-3, 8e-3);
    }
}

TEST(Gelu, LargeValuesStayFinite) {
  for_each_isa([] {
    for (const GeluKind kind : kKinds) {
      const Tensor x = from_values<float>({1e30f, -1e30f, 60.0f, -60.0f}, {4});
      const Outcome result = outcome_of(gelu_of(kind), {x}, full({4}, 1.0));
      expect_close(result.y, from_values<float>({1e30f, 0, 60, 0}, {4}), 0, 1e-6);
      expect_values(result.gradients[0], {1, 0, 1, 0});
    }
  });
}

TEST(Gelu, StridedInputs) {
  const Tensor x = random({3, 5, 17});
  for (const GeluKind kind : kKinds)
    for (const Tensor& strided : strided_variants(x)) expect_equal(gelu(strided, kind), gelu(x, kind));
}

TEST(Gelu, Errors) {
  expect_error([] { gelu(Tensor()); }, {"gelu", "undefined"});
  expect_error([] { gelu(zeros({2, 3}, Dtype::i32)); }, {"gelu", "[2,3] i32"});
}

}  // namespace
}  // namespace vigor
