#include "kernels/softmax/softmax.h"

#include "kernels/kernel_version.h"
#include "tests/support/cuda_testing.h"
#include "tests/support/emulator_counters.h"

namespace vigor {
namespace {

using namespace vigor::testing;

constexpr int kVersions = 4;

Operation softmax_along(int dim) {
  return [dim](std::span<const Tensor> in) { return softmax(in[0], dim); };
}

void expect_agreement(const Shape& shape, int dim) {
  SCOPED_TRACE(to_string(shape) + " along " + std::to_string(dim));
  const Tensor x = random(shape, Dtype::f64, 3, -20, 20);
  expect_cuda_close_to_f64(softmax_along(dim), {x}, {Dtype::f32}, 1e-6, 4e-6);
  expect_cuda_close_to_f64(softmax_along(dim), {x}, {Dtype::bf16}, 1e-2, 1e-2);
}

TEST(SoftmaxCuda, EveryVersionAgreesWithTheDefinition) {
  for (int version = 1; version <= kVersions; ++version) {
    SCOPED_TRACE("version " + std::to_string(version));
    const KernelVersionScope scope("softmax", version);
    for (const int64_t n : {1, 3, 17, 64, 256}) expect_agreement({19, n}, -1);
  }
}

TEST(SoftmaxCuda, WidthsOfTheDefaultVersion) {
  // A full warp; a block with idle lanes, in packs and not; rows for which the registers do not suffice.
  for (const int64_t n : {512, 648, 645, 8200, 8193}) expect_agreement({2, n}, -1);
}

TEST(SoftmaxCuda, OtherDimensions) {
  for (const int dim : {0, 1}) expect_agreement({5, 6, 33}, dim);
}

TEST(SoftmaxCuda, MaskedAndLargeValues) {
  const float inf = std::numeric_limits<float>::infinity();
  for (int version = 1; version <= kVersions; ++version) {
    SCOPED_TRACE("version " + std::to_string(version));
    const KernelVersionScope scope("softmax", version);
    for (const int64_t n : {4, 40, 600}) {  // the numbers at the end: most threads have only masked ones
      std::vector<float> row(static_cast<size_t>(n), -inf), expected(static_cast<size_t>(n), 0);
      row[row.size() - 4] = row[row.size() - 3] = 1e30f;
      row[row.size() - 1] = -1e30f;
      expected[row.size() - 4] = expected[row.size() - 3] = 0.5f;
      expect_equal(on_host(softmax(on_cuda(from_values(row, {n})))), from_values(expected, {n}));
      row[1] = std::nanf("");
      for (const float y : on_host(softmax(on_cuda(from_values(row, {n})))).to_vector<float>())
        EXPECT_TRUE(std::isnan(y));
      EXPECT_TRUE(std::isnan(on_host(softmax(on_cuda(full({n}, -inf)))).to_vector<float>()[0]));
    }
  }
}

TEST(SoftmaxCuda, StridedInputs) {
  for (const int dim : {0, 2})
    for (const Tensor& strided : strided_variants(random({3, 5, 16})))
      expect_cuda_close_to_f64(softmax_along(dim), {strided}, {Dtype::f32}, 1e-6, 4e-6);
}

TEST(SoftmaxCuda, NothingAndF64) {
  EXPECT_EQ(softmax(zeros({0, 8}, Dtype::f32, kCuda)).numel(), 0);
  expect_error(
      [] {
        softmax(zeros({2, 8}, Dtype::f64, kCuda));
      },
      {"softmax: CUDA kernels compute in f32 and bf16", "f64"});
}

TEST(SoftmaxCuda, MovesWhatTheCardSays) {
  for (const int64_t n : {512, 1024}) {
    const double rows = 2.0 * 16 * static_cast<double>(n);
    const Tensor x = set_requires_grad(on_cuda(random({16, n}, Dtype::bf16))),
                 dy = on_cuda(random({16, n}, Dtype::bf16));
    const auto forward = [&] { return softmax(x); };
    expect_bytes_moved("forward_v4", rows, rows, forward);
    const Tensor y = forward();
    expect_bytes_moved("backward_v4", 2 * rows, rows, [&] { backward(std::span(&y, 1), std::span(&dy, 1)); });
  }
}

}  // namespace
}  // namespace vigor
