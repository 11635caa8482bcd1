#include "kernels/rms_norm/rms_norm.h"

#include "kernels/reduce/reduce.h"
#include "tests/support/normalisation.h"

namespace vigor {
namespace {

using namespace vigor::testing;

Tensor run(std::span<const Tensor> in) { return rms_norm(in[0], in[1]); }

// The same from basic operations.
Tensor composed(std::span<const Tensor> in) { return in[0] / sqrt(mean(in[0] * in[0], {-1}, true) + 1e-5) * in[1]; }

const Normalisation kRmsNorm{run, composed, 1};

TEST(RmsNorm, HandWorked) {
  // Mean square (1 + 9 + 16 + 64) / 4 = 22.5.
  const Tensor x = from_values<double>({1, 3, -4, 8}, {1, 4});
  const Tensor weight = from_values<double>({1, 2, 1, 0}, {4});
  const double rstd = 1 / std::sqrt(22.5);
  expect_values(rms_norm(x, weight, 0), {rstd, 6 * rstd, -4 * rstd, 0}, 1e-12);
}

TEST(RmsNorm, MatchesPyTorch) { expect_fixture(run, "rms_norm", {"x", "weight"}, 2e-6, 2e-6); }

TEST(RmsNorm, Gradient) { expect_normalisation_gradients(kRmsNorm); }
TEST(RmsNorm, AgreesWithComposedForm) { expect_agreement_with_composed_form(kRmsNorm); }
TEST(RmsNorm, FastAgreesWithDefinition) {
  expect_agreement_with_f64(kRmsNorm, {{1}, {3}, {1, 17}, {3, 5, 17}, {7, 33}, {2, 64}, {100, 48}});
}
TEST(RmsNorm, StridedInputs) { expect_any_strides(kRmsNorm); }
TEST(RmsNorm, WeightGradientsAddUp) { expect_gradients_where_wanted(kRmsNorm); }
TEST(RmsNorm, NoRows) { expect_no_rows_to_work(kRmsNorm); }

TEST(RmsNorm, Errors) {
  const Tensor x = zeros({2, 8});
  expect_error([&] { rms_norm(x, zeros({4})); }, {"rms_norm: weight", "[C]=[8]", "[4] f32", "[2,8] f32"});
  expect_error([&] { rms_norm(x, zeros({8}, Dtype::bf16)); }, {"rms_norm: weight", "[8] bf16"});
  expect_error([&] { rms_norm(zeros({2, 0}), zeros({0})); }, {"rms_norm", "[2,0]"});
  expect_error([&] { rms_norm(zeros({2, 8}, Dtype::i32), zeros({8})); }, {"rms_norm", "[2,8] i32"});
}

}  // namespace
}  // namespace vigor
