#include <gtest/gtest.h>

#include "kernels/hybrid_mixer/hybrid_mixer_testing.h"
#include "kernels/kernel_version.h"
#include "tests/support/cuda_sequence_testing.h"

namespace vigor {
namespace {

using namespace testing;
using namespace testing::hybrid_mixer_cases;

constexpr int kVersions = 3;

void expect_every_version_close(const SequenceCase& c, Dtype dtype, double tolerance) {
  for (int version = 1; version <= kVersions; ++version) {
    SCOPED_TRACE("version " + std::to_string(version));
    const KernelVersionScope scope("hybrid_mixer", version);
    expect_cuda_equals_f64(kHybridMixer, c, dtype, tolerance);
  }
}

std::vector<SequenceCase> cases() {
  std::vector<SequenceCase> all;
  for (const int64_t size : {1, 3, 17, 33}) all.push_back(make_case(2, size, size, 5));
  all.push_back(make_case(1, 64, 130, 33));  // whole chunks; two splits of the channels; two rounds of states
  all.push_back(make_case(3, 1, 128, 33));   // the decode step
  all.push_back(make_case(130, 33, 2, 2));   // 260 chunks: several for one block
  all.push_back(ragged_case(1, 5, 3));
  all.push_back(ragged_case(33, 16, 32));
  all.push_back(ragged_case(101, 33, 3));
  all.push_back(make_case(2, 40, 6, 3));
  all.back().inputs[6] = all.back().inputs[7] = Tensor();  // no state before
  return all;
}

TEST(HybridMixerCuda, EveryVersionEqualsF64) {
  for (const SequenceCase& c : cases()) {
    SCOPED_TRACE(describe(c.inputs[0]) + ", A " + describe(c.inputs[2]));
    expect_every_version_close(c, Dtype::f32, 1e-5);
  }
}

TEST(HybridMixerCuda, Bf16ActivationsBesideF32States) {
  // y and dx are rounded twice to 8 bits in versions 1 and 2.
  for (const SequenceCase& c : {ragged_case(40, 40, 8), make_case(2, 33, 131, 33), make_case(2, 1, 64, 8)})
    expect_every_version_close(c, Dtype::bf16, 0.012);
}

TEST(HybridMixerCuda, WarpsMayRunInAnyOrder) { expect_same_in_any_warp_order(kHybridMixer, ragged_case(70, 40, 5)); }

// 16 chunks: long memories, strong decays and a rotation that neither grows nor decays.
TEST(HybridMixerCuda, LongSequencesStayAccurate) {
  SequenceCase c = make_case(1, 512, 6, 2);
  const std::vector<double> w = {0, 0.5, 0.9, 0.999, 1, -0.99};
  c.inputs[1] = from_values(w, {6});
  c.inputs[2] = from_values(std::vector<double>{std::cos(0.1), -std::sin(0.1), std::sin(0.1), std::cos(0.1)}, {2, 2});
  expect_every_version_close(c, Dtype::f32, 1e-5);
}

void expect_every_version_equals_cpu(const SequenceCase& c) {
  const std::vector<Tensor> expected = as_vector(run(c.inputs));
  std::vector<Tensor> there;
  for (const Tensor& x : c.inputs) there.push_back(on_cuda(x));
  for (int version = 1; version <= kVersions; ++version) {
    SCOPED_TRACE("version " + std::to_string(version));
    const KernelVersionScope scope("hybrid_mixer", version);
    const std::vector<Tensor> actual = as_vector(run(there));
    for (size_t i = 0; i < expected.size(); ++i) expect_near_largest(on_host(actual[i]), expected[i], 1e-6);
  }
}

// w^32 and A^32 are infinite, but no state leaves zero before step 68.
TEST(HybridMixerCuda, InfinitePowersOfStatesThatStayZero) {
  SequenceCase c = make_case(1, 70, 3, 2, Dtype::f32);
  for (const size_t i : {0, 6, 7}) c.inputs[i] = zeros(c.inputs[i].shape());
  for (int64_t i = 68 * 3; i < 70 * 3; ++i) c.inputs[0].data<float>()[i] = 1;
  c.inputs[1] = full({3}, -40);
  c.inputs[2] = full({2, 2}, 40);
  expect_every_version_equals_cpu(c);
}

// A^2 overflows in one element and A^3 is zero: so is A^32, although zeros meet that infinity on the way.
TEST(HybridMixerCuda, PowersOfANilpotentMatrix) {
  SequenceCase c = make_case(1, 70, 4, 3, Dtype::f32);
  c.inputs[0] = full({1, 70, 4}, 1e-10);
  c.inputs[2] = from_values(std::vector<float>{0, 1e20f, 0, 0, 0, 1e20f, 0, 0, 0}, {3, 3});
  c.inputs[7] = zeros({1, 3});
  expect_every_version_equals_cpu(c);
}

TEST(HybridMixerCuda, StridedInputsGiveTheSameResult) {
  expect_cuda_strides_change_nothing(kHybridMixer, make_case(2, 5, 33, 3));
}

TEST(HybridMixerCuda, GradientsAddUpInLeafBuffers) {
  const SequenceCase c = make_case(2, 40, 9, 9);
  for (int version = 1; version <= kVersions; ++version) {
    const KernelVersionScope scope("hybrid_mixer", version);
    expect_gradients_add_up(kHybridMixer, c, kCuda);
    // One tensor as w_mix and D: both gradients count.
    const auto once = [](const std::vector<Tensor>& inputs) {
      const Tensor y = run(inputs).y, up = on_cuda(full(y.shape(), 1));
      backward(std::span(&y, 1), std::span(&up, 1));
    };
    const std::vector<Tensor> in = inputs_on_cuda(c);
    std::vector<Tensor> apart = in, shared = in;
    apart[1] = set_requires_grad(clone(in[1]));
    apart[5] = set_requires_grad(clone(in[1]));
    shared[1] = shared[5] = set_requires_grad(clone(in[1]));
    set_grad_buffer(shared[1], on_cuda(full(in[1].shape(), 99)));
    once(apart);
    once(shared);
    std::vector<double> sum = on_host(grad(apart[1])).to_vector<double>();
    const std::vector<double> other = on_host(grad(apart[5])).to_vector<double>();
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += other[i];
    expect_values(on_host(grad(shared[1])), sum, 1e-5);
  }
}

TEST(HybridMixerCuda, LengthsOutsideAreTakenAsTheNearest) {
  expect_lengths_clamped(kHybridMixer, make_case(2, 5, 4, 3));
}

// The bytes of the card, to the byte. d = 384: three blocks of channels in one pass, two in another.
TEST(HybridMixerCuda, BytesMovedAreThoseOfTheCard) {
  constexpr uint64_t B = 2, T = 64, d = 384, n = 32, chunks = 4, slices = 4, splits = 3;
  const SequenceCase c = make_case(B, T, d, n, Dtype::f32);
  std::vector<Tensor> in;
  for (size_t i = 0; i < 6; ++i) in.push_back(set_requires_grad(on_cuda(c.inputs[i])));
  in.resize(8);
  in[0] = set_requires_grad(on_cuda(converted(c.inputs[0], Dtype::bf16)));
  const uint64_t activations = 2 * B * T * d, states = 4 * B * T * n, matrix = 4 * n * d, channels = 4 * d;
  Tensor y;
  const auto forward = [&] { y = run(in).y; };
  const auto both = [&] {
    forward();
    const Tensor dy = to_device(full(y.shape(), 1, Dtype::bf16), kCuda);
    backward(std::span(&y, 1), std::span(&dy, 1));
  };
  if (const auto counted = count_kernels("project_kernel", forward)) {
    EXPECT_EQ(counted->global_bytes_read, activations + chunks * (matrix + channels));
    EXPECT_EQ(counted->global_bytes_written, chunks * channels + splits * states);
  }
  if (const auto counted = count_kernels("outputs_kernel", forward)) {
    EXPECT_EQ(counted->global_bytes_read, activations + chunks * (matrix + 3 * channels) + 2 * states);
    EXPECT_EQ(counted->global_bytes_written, activations + B * channels);
    EXPECT_EQ(counted->bank_conflicts, 0u);
  }
  if (const auto counted = count_kernels("gradients_kernel", both)) {
    EXPECT_EQ(counted->global_bytes_read,
              2 * activations + slices * (matrix + 2 * channels) + chunks * 2 * channels + 3 * 2 * states);
    EXPECT_EQ(counted->global_bytes_written, activations + slices * (2 * matrix + 2 * channels));
    EXPECT_EQ(counted->bank_conflicts, 0u);
  }
}

TEST(HybridMixerCuda, Errors) {
  const auto run_on_cuda = [](const SequenceCase& c) {
    std::vector<Tensor> there;
    for (const Tensor& x : c.inputs) there.push_back(on_cuda(x));
    run(there);
  };
  expect_error([&] { run_on_cuda(make_case(1, 2, 2, 257, Dtype::f32)); },
               {"hybrid_mixer: on CUDA x must be f32 or bf16, and n at most 256", "n=257"});
  expect_error([&] { run_on_cuda(make_case(1, 2, 2, 2)); }, {"hybrid_mixer: on CUDA x must be f32 or bf16", "f64"});
}

}  // namespace
}  // namespace vigor
