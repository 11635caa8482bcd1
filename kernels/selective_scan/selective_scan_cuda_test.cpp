#include <gtest/gtest.h>

#include "kernels/selective_scan/selective_scan_testing.h"
#include "tests/support/cuda_sequence_testing.h"

namespace vigor {
namespace {

using namespace testing;
using namespace testing::selective_scan_cases;

TEST(SelectiveScanCuda, EqualsF64) {
  for (const SequenceCase& c : {make_case(2, 1, 1, 1), make_case(2, 3, 17, 5), make_case(1, 33, 40, 16),
                                make_case(1, 17, 9, 24), make_case(2, 5, 3, 64), ragged(make_case(4, 40, 11, 8))}) {
    SCOPED_TRACE(describe(c.inputs[0]) + ", N = " + std::to_string(c.inputs[2].size(2)));
    expect_cuda_equals_f64(kSelectiveScan, c, Dtype::f32, 1e-5);
    expect_cuda_equals_f64(kSelectiveScan, c, Dtype::bf16, 0.012);
  }
  SequenceCase c = make_case(2, 18, 8, 4);
  c.inputs[7] = Tensor();
  expect_cuda_equals_f64(kSelectiveScan, c, Dtype::f32, 1e-5);
}

// Step sizes from 1e-9 to 100: nearly no decay, and all of it.
TEST(SelectiveScanCuda, LargeAndSmallSteps) {
  SequenceCase c = make_case(1, 40, 20, 4);
  fill_uniform(c.inputs[1], -20, 100, {7, RandomStream::init, 9, 0});
  expect_cuda_equals_f64(kSelectiveScan, c, Dtype::f32, 1e-5);
}

TEST(SelectiveScanCuda, StridesChangeNothing) {
  expect_cuda_strides_change_nothing(kSelectiveScan, make_case(2, 5, 12, 8));
}
TEST(SelectiveScanCuda, GradientsAddUp) { expect_gradients_add_up(kSelectiveScan, make_case(2, 20, 9, 3), kCuda); }
TEST(SelectiveScanCuda, WarpsMayRunInAnyOrder) {
  expect_same_in_any_warp_order(kSelectiveScan, ragged(make_case(4, 20, 40, 6)));
}
TEST(SelectiveScanCuda, LengthsOutsideAreTakenAsTheNearest) {
  expect_lengths_clamped(kSelectiveScan, make_case(2, 5, 4, 3));
}

TEST(SelectiveScanCuda, BytesMovedAreThoseOfTheCard) {
  constexpr double B = 2, T = 64, E = 64, N = 16, M = 2, K = 4, pass = 4 * B * T * E, states = 4 * B * E * N;
  const SequenceCase c = make_case(2, 64, 64, 16);
  std::vector<Tensor> in = inputs_on_cuda(c);
  for (Tensor& x : in) set_requires_grad(x);
  in[7] = Tensor();
  Tensor y;
  const auto forward = [&] { y = kSelectiveScan.run(in, {}, {})[0]; };
  // a_log, d and the bias, and B and C, once for each block of channels.
  const double parameters = 4 * B * E * (N + 2), bc = 8 * B * T * N * M;
  expect_bytes_moved("selective_scan_forward_kernel", 2 * pass + bc + parameters, pass + states * (K + 1), forward);
  const Tensor dy = on_cuda(full(y.shape(), 1));
  expect_bytes_moved("selective_scan_backward_kernel", 3 * pass + bc + parameters + states * K,
                     2 * pass + bc + 2 * states + 8 * B * E, [&] {
                       forward();
                       backward(std::span(&y, 1), std::span(&dy, 1));
                     });
}

// Neighbouring threads of a warp use different banks of the shared memory, in every phase.
TEST(SelectiveScanCuda, NoBankConflicts) {
  for (const int64_t N : {16, 64})
    for (const char* kernel : {"selective_scan_forward_kernel", "selective_scan_backward_kernel"}) {
      const SequenceCase c = make_case(1, 32, 64, N);
      const auto counted = count_kernels(kernel, [&] { results_and_gradients(kSelectiveScan, c, Dtype::f32, kCuda); });
      if (!counted) continue;
      EXPECT_EQ(counted->bank_conflicts, 0u) << kernel << ", N = " << N;
    }
}

TEST(SelectiveScanCuda, Errors) {
  expect_error([&] { kSelectiveScan.run(inputs_on_cuda(make_case(1, 2, 2, 65)), {}, {}); },
               {"selective_scan: on CUDA N may be at most 64; got 65", "[1,2,2]"});
}

}  // namespace
}  // namespace vigor
