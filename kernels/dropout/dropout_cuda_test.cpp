#include "kernels/dropout/dropout.h"
#include "tests/support/cuda_testing.h"
#include "tests/support/emulator_counters.h"

namespace vigor {
namespace {

using namespace vigor::testing;

const RandomKey kKey{0x123456789abcdefu, RandomStream::dropout, 77, 5};

// The same elements are dropped, and the others have the same bits.
TEST(DropoutCuda, EqualsTheCpu) {
  const Operation f = [](std::span<const Tensor> in) { return dropout(in[0], 0.25, kKey); };
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16})
    for (const int64_t n : {1, 3, 17, 64, 4101}) {
      const Tensor x = random({n}, dtype), dy = random({n}, dtype, 1);
      const Outcome expected = outcome_of(f, {x}, dy);
      for_each_warp_order([&] {
        const Outcome actual = outcome_of(f, {on_cuda(x)}, on_cuda(dy));
        expect_equal(on_host(actual.y), expected.y);
        expect_equal(on_host(actual.gradients[0]), expected.gradients[0]);
      });
    }
}

TEST(DropoutCuda, StridedInputs) {
  const Tensor x = random({3, 5, 17});
  for (const Tensor& strided : strided_variants(x))
    expect_equal(on_host(dropout(on_cuda_strided(strided), 0.4, kKey)), dropout(x, 0.4, kKey));
}

TEST(DropoutCuda, ElementsThatAreNotAligned) {
  const Tensor memory = on_cuda(random({130})), x = memory.with_view(sliced(memory, 0, 1, 130, 1, "test"));
  expect_equal(on_host(dropout(x, 0.4, kKey)), dropout(on_host(x), 0.4, kKey));
}

TEST(DropoutCuda, TakesTheStepFromDeviceMemory) {
  StepStateMemory memory(kCuda);
  RandomKey key = kKey;
  key.step = 1000;  // not read
  const Tensor x = full({100}, 1.0), there = on_cuda(x);
  for (const int64_t step : {int64_t{5}, int64_t{6}}) {
    StepState state;
    state.step = step;
    memory.set_inputs(state);
    RandomKey expected = kKey;
    expected.step = static_cast<uint32_t>(step);
    expect_equal(on_host(dropout(there, 0.5, key, memory.on_device())), dropout(x, 0.5, expected));
  }
}

TEST(DropoutCuda, BytesMoved) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    const Tensor x = on_cuda(random({64, 256}, dtype));
    const auto n = static_cast<double>(x.nbytes());
    expect_bytes_moved("dropout_kernel", n, n, [&] { dropout(x, 0.1, kKey); });
  }
}

}  // namespace
}  // namespace vigor
