#include "kernels/layer_norm/layer_norm.h"

#include "kernels/reduce/reduce.h"
#include "tests/support/normalisation.h"

namespace vigor {
namespace {

using namespace vigor::testing;

Tensor run(std::span<const Tensor> in) { return layer_norm(in[0], in[1], in[2]); }

// The same from basic operations.
Tensor composed(std::span<const Tensor> in) {
  const Tensor centred = in[0] - mean(in[0], {-1}, true);
  const Tensor variance = mean(centred * centred, {-1}, true);
  return centred / sqrt(variance + 1e-5) * in[1] + in[2];
}

const Normalisation kLayerNorm{run, composed, 2};

TEST(LayerNorm, HandWorked) {
  // Mean 4, variance ((-3)^2 + (-1)^2 + 0 + 4^2) / 4 = 6.5.
  const Tensor x = from_values<double>({1, 3, 4, 8}, {1, 4});
  const Tensor weight = from_values<double>({1, 2, 1, 1}, {4});
  const Tensor bias = from_values<double>({0, 0, 10, 0}, {4});
  const double rstd = 1 / std::sqrt(6.5);
  expect_values(layer_norm(x, weight, bias, 0), {-3 * rstd, -2 * rstd, 10, 4 * rstd}, 1e-12);
}

TEST(LayerNorm, MatchesPyTorch) { expect_fixture(run, "layer_norm", {"x", "weight", "bias"}, 2e-6, 2e-6); }

TEST(LayerNorm, Gradient) { expect_normalisation_gradients(kLayerNorm); }
TEST(LayerNorm, AgreesWithComposedForm) { expect_agreement_with_composed_form(kLayerNorm); }
TEST(LayerNorm, FastAgreesWithDefinition) {
  expect_agreement_with_f64(kLayerNorm, {{1}, {3}, {1, 17}, {3, 5, 17}, {7, 33}, {2, 64}, {100, 48}});
}
TEST(LayerNorm, StridedInputs) { expect_any_strides(kLayerNorm); }
TEST(LayerNorm, ParameterGradientsAddUp) { expect_gradients_where_wanted(kLayerNorm); }
TEST(LayerNorm, NoRows) { expect_no_rows_to_work(kLayerNorm); }

TEST(LayerNorm, LargeMeanCostsNoDigits) {
  std::vector<Tensor> inputs = kLayerNorm.inputs({4, 32});
  double* x = inputs[0].data<double>();
  for (int64_t i = 0; i < inputs[0].numel(); ++i) x[i] += 1000;
  expect_close_to_f64(run, inputs, {Dtype::f32}, 1e-4, 1e-4);
}

TEST(LayerNorm, Errors) {
  const Tensor x = zeros({2, 8}), good = zeros({8});
  expect_error([&] { layer_norm(x, zeros({4}), good); }, {"layer_norm: weight", "[C]=[8]", "[4] f32", "[2,8] f32"});
  expect_error([&] { layer_norm(x, good, zeros({8}, Dtype::f64)); }, {"layer_norm: bias", "[8] f64"});
  expect_error([&] { layer_norm(zeros({2, 0}), zeros({0}), zeros({0})); }, {"layer_norm", "[2,0]"});
  expect_error([&] { layer_norm(zeros({2, 8}, Dtype::i32), good, good); }, {"layer_norm", "[2,8] i32"});
  expect_error([&] { layer_norm(zeros({2, 8}, Dtype::bf16), zeros({8}, Dtype::bf16), good); }, {"one dtype"});
}

}  // namespace
}  // namespace vigor
