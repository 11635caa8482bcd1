#include <gtest/gtest.h>

#include "kernels/kernel_version.h"
#include "kernels/mamba2_scan/mamba2_scan_testing.h"
#include "tests/support/cuda_testing.h"
#include "tests/support/emulator_counters.h"

namespace vigor {
namespace {

using namespace testing::mamba2_scan_cases;
using testing::expect_equal;
using testing::random;

void expect_equals_f64(const Case& c, Dtype dtype, double tolerance) {
  SCOPED_TRACE(describe(c.inputs[0]) + ", B " + describe(c.inputs[2]));
  const Case rounded = rounded_to(c, dtype);
  const std::vector<Tensor> expected = results_and_gradients(rounded, Dtype::f64);
  const std::vector<Tensor> actual = results_and_gradients(rounded, dtype, kCuda);
  for (size_t i = 0; i < expected.size(); ++i) {
    SCOPED_TRACE("of y, last_state and the gradients of the inputs: " + std::to_string(i));
    if (expected[i].defined()) expect_near_largest(actual[i], expected[i], tolerance);
  }
}

// A chunk has 64 steps, a tile 64 channels and 64 numbers of N.
std::vector<Case> cases() {
  std::vector<Case> all = {make_case({2, 1, 3, 5, 1, 7}),   make_case({1, 17, 2, 16, 1, 16}),
                           make_case({1, 65, 3, 4, 1, 5}),  make_case({1, 64, 2, 66, 2, 65}),
                           make_case({1, 9, 1, 8, 1, 130}), ragged_case({4, 70, 2, 6, 1, 4}),
                           ragged_case({4, 9, 2, 3, 2, 4}), make_case({2, 130, 2, 4, 2, 4})};
  all[1].inputs[kState] = Tensor();
  all[2].dt_min = 0.3, all[2].dt_max = 0.8;
  return all;
}

TEST(Mamba2ScanCuda, EqualsF64) {
  for (const Case& c : cases()) expect_equals_f64(c, Dtype::f32, 1e-5);
}

// y and the gradients of activations are rounded to 8 bits; in version 2 the factors of products too, which shows most
// in sums over steps that cancel.
TEST(Mamba2ScanCuda, Bf16ActivationsBesideF32States) {
  const std::vector<Case> all = {ragged_case({4, 66, 2, 6, 1, 4}), make_case({1, 20, 4, 33, 2, 16}),
                                 make_case({1, 65, 2, 66, 2, 70})};
  for (const int version : {1, 2}) {
    const KernelVersionScope scope("mamba2_scan", version);
    SCOPED_TRACE("version " + std::to_string(version));
    for (const Case& c : all) expect_equals_f64(c, Dtype::bf16, version == 1 ? 0.005 : 0.02);
  }
}

// Decays that leave nothing of a state beside ones that keep it: no overflow, no 0 / 0, no loss of accuracy.
TEST(Mamba2ScanCuda, ExtremeDecays) {
  Case c = make_case({1, 70, 3, 4, 1, 4});
  c.inputs[1] = random({1, 70, 3}, Dtype::f64, 2, -30, 30);
  c.inputs[4] = from_values(std::vector<double>{-12, 0, 7}, {3});
  expect_equals_f64(c, Dtype::f32, 1e-4);
}

TEST(Mamba2ScanCuda, WarpsMayRunInAnyOrder) {
  const Case c = ragged_case({4, 67, 2, 3, 1, 4});
  std::vector<Tensor> first;
  testing::for_each_warp_order([&] {
    const std::vector<Tensor> again = results_and_gradients(c, Dtype::f32, kCuda);
    if (first.empty()) first = again;
    for (size_t i = 0; i < first.size(); ++i) expect_equal(again[i], first[i]);
  });
}

Case on_cuda(Case c, Dtype activations = Dtype::f32) {
  for (size_t i = 0; i < c.inputs.size(); ++i)
    if (c.inputs[i].defined())
      c.inputs[i] = testing::on_cuda(testing::converted(c.inputs[i], i < 4 ? activations : Dtype::f32));
  if (c.lengths.defined()) c.lengths = testing::on_cuda(c.lengths);
  if (c.resets.defined()) c.resets = testing::on_cuda(c.resets);
  return c;
}

// Without a gradient T = 1 is one launch.
TEST(Mamba2ScanCuda, StepEqualsF64) {
  std::vector<Case> all = {make_case({2, 1, 4, 9, 2, 40}), make_case({1, 1, 2, 3, 1, 7}),
                           ragged_case({4, 1, 2, 5, 1, 8})};
  all.push_back(make_case({1, 1, 1, 4, 1, 4}));
  all.back().inputs[kState] = Tensor();
  for (const Case& c : all)
    for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
      const Case rounded = rounded_to(c, dtype);
      const std::vector<Tensor> expected = as_vector(run(rounded)), actual = as_vector(run(on_cuda(rounded, dtype)));
      const double tolerance = dtype == Dtype::f32 ? 1e-6 : 0.004;
      for (size_t i = 0; i < 2; ++i) expect_near_largest(testing::on_host(actual[i]), expected[i], tolerance);
    }
}

TEST(Mamba2ScanCuda, StepReadsAndWritesTheStateOnce) {
  const Case c = on_cuda(make_case({2, 1, 4, 32, 1, 128}));
  const double state = 4.0 * 2 * 4 * 32 * 128, rows = 2 * 4 * 32;
  const double others = 4 * rows * (1 + 2 * 128 + 4);  // each warp reads x, B, C, dt and three parameters
  const auto counted = testing::count_kernels("step_kernel", [&] { run(c); });
  if (!counted) return;
  EXPECT_EQ(counted->launches, 1u);
  EXPECT_LE(static_cast<double>(counted->global_bytes_read), state + others * 32);
  EXPECT_EQ(static_cast<double>(counted->global_bytes_written), state + 4 * rows);
}

// The bytes of the card.
TEST(Mamba2ScanCuda, StatesMoveAsOftenAsTheCardSays) {
  constexpr double B = 2, T = 192, H = 2, P = 8, N = 16, K = 3, states = 4 * B * K * H * P * N, state = states / K;
  const Case c = on_cuda(make_case({2, 192, 2, 8, 1, 16}));
  const auto forward = [&] { run(c); };
  if (const auto counted = testing::count_kernels("carries_kernel", forward)) {
    EXPECT_EQ(static_cast<double>(counted->global_bytes_read), states + state + states / 32);  // a decay a warp
    EXPECT_EQ(static_cast<double>(counted->global_bytes_written), states + state);
  }
  if (const auto counted = testing::count_kernels("chunk_sums_kernel", forward)) {
    EXPECT_EQ(static_cast<double>(counted->global_bytes_written), states);
    EXPECT_NEAR(static_cast<double>(counted->global_bytes_read), 4 * B * T * H * (P + N + 2), 64);
    EXPECT_EQ(counted->bank_conflicts, 0u);
  }
}

TEST(Mamba2ScanCuda, SlicesOfOneProjectionAreReadInPlace) {
  Case c = make_case({2, 66, 2, 8, 1, 4});
  const std::vector<Tensor> expected = as_vector(run(on_cuda(c)));
  for (const size_t variant : {size_t{0}, size_t{1}, size_t{2}}) {
    Case sliced = on_cuda(c);
    for (size_t i = 0; i < 4; ++i)
      sliced.inputs[i] =
          testing::on_cuda_strided(testing::strided_variants(testing::converted(c.inputs[i], Dtype::f32))[variant]);
    const std::vector<Tensor> actual = as_vector(run(sliced));
    for (size_t i = 0; i < 2; ++i) expect_equal(testing::on_host(actual[i]), testing::on_host(expected[i]));
  }
}

// The host does not wait to look at lengths on the GPU; the kernels take the nearest that is allowed.
TEST(Mamba2ScanCuda, LengthsOutsideAreTakenAsTheNearest) {
  Case c = on_cuda(make_case({2, 5, 1, 4, 1, 3}));
  const auto with = [&](std::vector<int32_t> lengths) {
    c.lengths = testing::on_cuda(from_values(lengths, {2}));
    return testing::on_host(run(c).y);
  };
  expect_equal(with({-3, 99}), with({0, 5}));
}

}  // namespace
}  // namespace vigor
