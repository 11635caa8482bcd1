#include "kernels/rms_norm/rms_norm.h"
#include "tests/support/emulator_counters.h"
#include "tests/support/normalisation.h"

namespace vigor {
namespace {

using namespace vigor::testing;

const Normalisation kRmsNorm{[](std::span<const Tensor> in) { return rms_norm(in[0], in[1]); }, {}, 1};

TEST(RmsNormCuda, AgreesWithTheDefinition) {
  // Odd widths; a warp with idle lanes and a full one; a block of two warps; a row for which the registers do not
  // suffice.
  expect_agreement_with_f64(kRmsNorm, {{1}, {1, 17}, {3, 5, 17}, {35, 48}, {9, 512}, {3, 648}, {1, 8200}}, kCuda);
}

TEST(RmsNormCuda, StridedInputs) { expect_any_strides(kRmsNorm, kCuda); }
TEST(RmsNormCuda, WeightGradientsAddUp) { expect_gradients_where_wanted(kRmsNorm, kCuda); }
TEST(RmsNormCuda, NoRows) { expect_no_rows_to_work(kRmsNorm, kCuda); }

TEST(RmsNormCuda, F64IsRefused) {
  const Tensor x = zeros({2, 8}, Dtype::f64, kCuda), weight = zeros({8}, Dtype::f64, kCuda);
  expect_error([&] { rms_norm(x, weight); }, {"rms_norm: CUDA kernels compute in f32 and bf16", "f64"});
}

TEST(RmsNormCuda, MovesWhatTheCardSays) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    const int64_t R = 64, C = 512;
    const double rows = static_cast<double>(size_of(dtype)) * R * C;
    const double parameters = rows;  // read once a row, from the caches
    const Tensor x = set_requires_grad(on_cuda(random({R, C}, dtype))), dy = on_cuda(random({R, C}, dtype));
    const Tensor weight = set_requires_grad(full({C}, 1, dtype, kCuda));
    const auto forward = [&] { return rms_norm(x, weight); };
    expect_bytes_moved("forward_in_registers", rows + parameters, rows + 4 * R, forward);
    const Tensor y = forward();
    const double sums = 4.0 * C * 8;  // of eight blocks of rows
    expect_bytes_moved("backward_in_registers", 2 * rows + parameters, rows + sums,
                       [&] { backward(std::span(&y, 1), std::span(&dy, 1)); });
  }
}

}  // namespace
}  // namespace vigor
