#include "kernels/gated_rms_norm/gated_rms_norm.h"

#include "kernels/gated_rms_norm/gated_rms_norm_testing.h"
#include "tests/support/emulator_counters.h"

namespace vigor {
namespace {

using namespace vigor::testing;

TEST(GatedRmsNormCuda, AgreesWithTheDefinition) {
  // Odd groups; a warp with idle lanes and a full one.
  expect_gated_norm_close_to_f64({{6}, {3, 5, 18}, {35, 48}, {9, 384}}, kCuda);
}

TEST(GatedRmsNormCuda, WideGroups) {
  // A block of two warps, and a group for which the registers do not suffice.
  for (const int64_t columns : {648, 8200})
    for (const bool norm_before_gate : {true, false}) {
      const Operation f = gated_norm(1, norm_before_gate);
      expect_cuda_close_to_f64(f, gated_norm_inputs({3, columns}), {Dtype::f32}, 1e-5, 1e-5);
      expect_cuda_close_to_f64(f, gated_norm_inputs({3, columns}), {Dtype::bf16}, 1e-2, 1e-2);
    }
}

// Slices of a projection: rows that begin at multiples of 16 bytes, and rows that do not.
TEST(GatedRmsNormCuda, StridedInputs) {
  const Tensor both = random({6, 80}), weight = random({32}, Dtype::f32, 3, 0.5, 1.5);
  const auto part = [&](int64_t start) { return both.with_view(sliced(both, 1, start, start + 32, 1, "test")); };
  expect_cuda_close_to_f64(gated_norm(2, false), {part(0), part(32), weight}, {Dtype::f32}, 1e-5, 1e-5);
  expect_cuda_close_to_f64(gated_norm(2, true), {part(3), part(40), weight}, {Dtype::f32}, 1e-5, 1e-5);
  for (const Tensor& strided : strided_variants(part(0)))
    expect_cuda_close_to_f64(gated_norm(2, true), {strided, part(32), with_gaps(weight)}, {Dtype::f32}, 1e-5, 1e-5);
}

TEST(GatedRmsNormCuda, GradientsWhereWanted) { expect_gated_norm_gradients_where_wanted(kCuda); }
TEST(GatedRmsNormCuda, NoRows) { expect_no_gated_rows_to_work(kCuda); }

TEST(GatedRmsNormCuda, F64IsRefused) {
  const Tensor x = zeros({2, 8}, Dtype::f64, kCuda), weight = zeros({8}, Dtype::f64, kCuda);
  expect_error([&] { gated_rms_norm(x, x, weight, 1, true); }, {"gated_rms_norm: CUDA kernels compute in f32", "f64"});
}

TEST(GatedRmsNormCuda, MovesWhatTheCardSays) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    const int64_t R = 64, C = 512, groups = 2;
    const double pass = static_cast<double>(size_of(dtype)) * R * C, rstd = 4.0 * R * groups;
    const Tensor x = set_requires_grad(on_cuda(random({R, C}, dtype)));
    const Tensor gate = set_requires_grad(on_cuda(random({R, C}, dtype))), dy = on_cuda(random({R, C}, dtype));
    const Tensor weight = set_requires_grad(full({C}, 1, dtype, kCuda));
    const auto forward = [&] { return gated_rms_norm(x, gate, weight, groups, false); };
    expect_bytes_moved("forward_in_registers", 2 * pass + pass, pass + rstd, forward);
    const Tensor y = forward();
    const double sums = 4.0 * C * 8;  // of eight blocks of rows
    expect_bytes_moved("backward_in_registers", 3 * pass + 2 * pass + rstd, 2 * pass + sums,
                       [&] { backward(std::span(&y, 1), std::span(&dy, 1)); });
  }
}

}  // namespace
}  // namespace vigor
