#include <gtest/gtest.h>

#include "kernels/kernel_version.h"
#include "kernels/mamba2_scan/mamba2_scan_testing.h"
#include "tests/support/cuda_sequence_testing.h"

namespace vigor {
namespace {

using namespace testing;
using namespace testing::mamba2_scan_cases;

std::string sizes_of(const SequenceCase& c) { return describe(c.inputs[0]) + ", B " + describe(c.inputs[2]); }

// A chunk has 64 steps, a tile 64 channels and 64 numbers of N.
TEST(Mamba2ScanCuda, EqualsF64) {
  std::vector<SequenceCase> cases = {make_case({2, 1, 3, 5, 1, 7}),    make_case({1, 17, 2, 16, 1, 16}),
                                     make_case({1, 64, 2, 66, 2, 65}), make_case({1, 9, 1, 8, 1, 130}),
                                     ragged_case({4, 70, 2, 6, 1, 4}), ragged_case({4, 9, 2, 3, 2, 4}),
                                     make_case({2, 130, 2, 4, 2, 4})};
  cases[1].inputs[kState] = Tensor();
  for (const SequenceCase& c : cases) {
    SCOPED_TRACE(sizes_of(c));
    expect_cuda_equals_f64(kScan, c, Dtype::f32, 1e-5);
  }
  expect_cuda_equals_f64(scan(0.3, 0.8), make_case({1, 65, 3, 4, 1, 5}), Dtype::f32, 1e-5);
}

// y and the gradients of activations are rounded to 8 bits; in version 2 the factors of products too, which shows most
// in sums over steps that cancel.
TEST(Mamba2ScanCuda, Bf16ActivationsBesideF32States) {
  const std::vector<SequenceCase> all = {ragged_case({4, 66, 2, 6, 1, 4}), make_case({1, 20, 4, 33, 2, 16}),
                                         make_case({1, 65, 2, 66, 2, 70})};
  for (const int version : {1, 2}) {
    const KernelVersionScope scope("mamba2_scan", version);
    SCOPED_TRACE("version " + std::to_string(version));
    for (const SequenceCase& c : all) {
      SCOPED_TRACE(sizes_of(c));
      expect_cuda_equals_f64(kScan, c, Dtype::bf16, version == 1 ? 0.005 : 0.02);
    }
  }
}

// Decays that leave nothing of a state beside ones that keep it: no overflow, no 0 / 0, no loss of accuracy.
TEST(Mamba2ScanCuda, ExtremeDecays) {
  SequenceCase c = make_case({1, 70, 3, 4, 1, 4});
  c.inputs[1] = random({1, 70, 3}, Dtype::f64, 2, -30, 30);
  c.inputs[4] = from_values(std::vector<double>{-12, 0, 7}, {3});
  expect_cuda_equals_f64(kScan, c, Dtype::f32, 1e-4);
}

TEST(Mamba2ScanCuda, WarpsMayRunInAnyOrder) { expect_same_in_any_warp_order(kScan, ragged_case({4, 67, 2, 3, 1, 4})); }

// Without a gradient T = 1 is one launch.
TEST(Mamba2ScanCuda, StepEqualsF64) {
  std::vector<SequenceCase> all = {make_case({2, 1, 4, 9, 2, 40}), make_case({1, 1, 2, 3, 1, 7}),
                                   ragged_case({4, 1, 2, 5, 1, 8})};
  all.push_back(make_case({1, 1, 1, 4, 1, 4}));
  all.back().inputs[kState] = Tensor();
  const auto there = [](const Tensor& x) { return x.defined() ? on_cuda(x) : x; };
  for (const SequenceCase& c : all)
    for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
      std::vector<Tensor> in;
      for (const Tensor& x : inputs_in(dtype, kScan, c)) in.push_back(there(x));
      const std::vector<Tensor> expected = kScan.run(rounded(kScan, c, dtype).inputs, c.lengths, c.resets),
                                actual = kScan.run(in, there(c.lengths), there(c.resets));
      const double tolerance = dtype == Dtype::f32 ? 1e-6 : 0.004;
      for (size_t i = 0; i < 2; ++i) expect_near_largest(on_host(actual[i]), expected[i], tolerance);
    }
}

TEST(Mamba2ScanCuda, StepReadsAndWritesTheStateOnce) {
  const std::vector<Tensor> in = inputs_on_cuda(make_case({2, 1, 4, 32, 1, 128}));
  const double state = 4.0 * 2 * 4 * 32 * 128, rows = 2 * 4 * 32;
  const double others = 4 * rows * (1 + 2 * 128 + 4);  // each warp reads x, B, C, dt and three parameters
  const auto counted = count_kernels("step_kernel", [&] { kScan.run(in, {}, {}); });
  if (!counted) return;
  EXPECT_EQ(counted->launches, 1u);
  EXPECT_LE(static_cast<double>(counted->global_bytes_read), state + others * 32);
  EXPECT_EQ(static_cast<double>(counted->global_bytes_written), state + 4 * rows);
}

// The bytes of the card.
TEST(Mamba2ScanCuda, StatesMoveAsOftenAsTheCardSays) {
  constexpr double B = 2, T = 192, H = 2, P = 8, N = 16, K = 3, states = 4 * B * K * H * P * N, state = states / K;
  const std::vector<Tensor> in = inputs_on_cuda(make_case({2, 192, 2, 8, 1, 16}));
  const auto forward = [&] { kScan.run(in, {}, {}); };
  if (const auto counted = count_kernels("carries_kernel", forward)) {
    EXPECT_EQ(static_cast<double>(counted->global_bytes_read), states + state + states / 32);  // a decay a warp
    EXPECT_EQ(static_cast<double>(counted->global_bytes_written), states + state);
  }
  if (const auto counted = count_kernels("chunk_sums_kernel", forward)) {
    EXPECT_EQ(static_cast<double>(counted->global_bytes_written), states);
    EXPECT_NEAR(static_cast<double>(counted->global_bytes_read), 4 * B * T * H * (P + N + 2), 64);
    EXPECT_EQ(counted->bank_conflicts, 0u);
  }
}

TEST(Mamba2ScanCuda, SlicesOfOneProjectionAreReadInPlace) {
  expect_cuda_strides_change_nothing(kScan, make_case({2, 66, 2, 8, 1, 4}));
}

TEST(Mamba2ScanCuda, GradientsAddUp) { expect_gradients_add_up(kScan, make_case({2, 20, 2, 3, 1, 4}), kCuda); }

TEST(Mamba2ScanCuda, LengthsOutsideAreTakenAsTheNearest) {
  expect_lengths_clamped(kScan, make_case({2, 5, 1, 4, 1, 3}));
}

}  // namespace
}  // namespace vigor
