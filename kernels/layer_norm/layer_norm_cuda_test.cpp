#include "kernels/kernel_version.h"
#include "kernels/layer_norm/layer_norm.h"
#include "tests/support/emulator_counters.h"
#include "tests/support/normalisation.h"

namespace vigor {
namespace {

using namespace vigor::testing;

constexpr int kVersions = 3;

const Normalisation kLayerNorm{[](std::span<const Tensor> in) { return layer_norm(in[0], in[1], in[2]); }, {}, 2};

TEST(LayerNormCuda, EveryVersionAgreesWithTheDefinition) {
  for (int version = 1; version <= kVersions; ++version) {
    SCOPED_TRACE("version " + std::to_string(version));
    const KernelVersionScope scope("layer_norm", version);
    expect_agreement_with_f64(kLayerNorm, {{1}, {1, 17}, {3, 5, 17}, {35, 48}, {2, 256}}, kCuda);
  }
}

TEST(LayerNormCuda, WidthsOfTheDefaultVersion) {
  // A full warp, a block of two warps with idle lanes, and a row for which the registers do not suffice.
  expect_agreement_with_f64(kLayerNorm, {{9, 512}, {3, 648}, {1, 8200}}, kCuda);
}

TEST(LayerNormCuda, LargeMeanCostsNoDigits) {
  std::vector<Tensor> inputs = kLayerNorm.inputs({4, 32});
  double* x = inputs[0].data<double>();
  for (int64_t i = 0; i < inputs[0].numel(); ++i) x[i] += 1000;
  for (int version = 1; version <= kVersions; ++version) {
    const KernelVersionScope scope("layer_norm", version);
    expect_cuda_close_to_f64(kLayerNorm.run, inputs, {Dtype::f32}, 1e-4, 1e-4);
  }
}

TEST(LayerNormCuda, StridedInputs) { expect_any_strides(kLayerNorm, kCuda); }
TEST(LayerNormCuda, ParameterGradientsAddUp) { expect_gradients_where_wanted(kLayerNorm, kCuda); }
TEST(LayerNormCuda, NoRows) { expect_no_rows_to_work(kLayerNorm, kCuda); }

TEST(LayerNormCuda, F64IsRefused) {
  const Tensor x = zeros({2, 8}, Dtype::f64, kCuda), parameter = zeros({8}, Dtype::f64, kCuda);
  expect_error([&] { layer_norm(x, parameter, parameter); },
               {"layer_norm: CUDA kernels compute in f32 and bf16", "f64"});
}

TEST(LayerNormCuda, MovesWhatTheCardSays) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    const int64_t R = 64, C = 512;
    const double rows = static_cast<double>(size_of(dtype)) * R * C;
    const double parameters = rows;  // each of the two, read once a row, from the caches
    const Tensor x = set_requires_grad(on_cuda(random({R, C}, dtype))), dy = on_cuda(random({R, C}, dtype));
    const Tensor weight = set_requires_grad(full({C}, 1, dtype, kCuda)),
                 bias = set_requires_grad(zeros({C}, dtype, kCuda));
    const auto forward = [&] { return layer_norm(x, weight, bias); };
    expect_bytes_moved("forward_v3", rows + 2 * parameters, rows + 8 * R, forward);
    const Tensor y = forward();
    const double sums = 2.0 * 4 * C * 8;  // of eight blocks of rows
    expect_bytes_moved("backward_v3", 2 * rows + parameters, rows + sums,
                       [&] { backward(std::span(&y, 1), std::span(&dy, 1)); });
  }
}

// What coalescing is: version 1 reads as many bytes as version 2, but from eight times as many sectors of 32 bytes.
TEST(LayerNormCuda, VersionsDifferInSectors) {
  const Tensor x = on_cuda(random({64, 256})), weight = on_cuda(full({256}, 1)), bias = on_cuda(zeros({256}));
  uint64_t sectors[kVersions + 1] = {};
  for (int version = 1; version <= kVersions; ++version) {
    const KernelVersionScope scope("layer_norm", version);
    const auto counters = count_kernels("forward_v", [&] { layer_norm(x, weight, bias); });
    if (!counters) GTEST_SKIP() << "only the emulated device counts";
    sectors[version] = counters->global_sectors;
  }
  EXPECT_GT(sectors[1], 4 * sectors[2]);
  EXPECT_GT(sectors[2], sectors[3]);
}

}  // namespace
}  // namespace vigor
