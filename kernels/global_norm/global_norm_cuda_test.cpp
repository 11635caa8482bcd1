#include "kernels/global_norm/global_norm.h"

#include "kernels/adamw/adamw.h"
#include "tests/support/cuda_testing.h"
#include "tests/support/emulator_counters.h"

namespace vigor {
namespace {

using namespace vigor::testing;

StepState norm_on_cuda(const std::vector<Tensor>& grads, double max_norm) {
  std::vector<Tensor> there;
  for (const Tensor& g : grads) there.push_back(on_cuda_strided(g));
  const StepStateMemory memory(kCuda);
  global_norm(there, max_norm, memory.on_device());
  return memory.read();
}

StepState norm_on_cpu(const std::vector<Tensor>& grads, double max_norm) {
  StepState state;
  global_norm(grads, max_norm, &state);
  return state;
}

TEST(GlobalNormCuda, EqualsTheCpu) {
  const std::vector<std::vector<Tensor>> cases = {
      {random({1})},
      {random({3}), random({17}, Dtype::bf16), random({0})},
      {random({1001}), random({64}, Dtype::bf16)},
      {random({70'003}), random({40'000}, Dtype::bf16)},  // several blocks and a rest
      {full({4}, 1e30)},                                  // squares beyond the range of f32
      {full({4}, 1e-30)}};
  for (const std::vector<Tensor>& grads : cases)
    for (const double max_norm : {0.0, 1.0, 1e6}) {
      const StepState expected = norm_on_cpu(grads, max_norm);
      for_each_warp_order([&] {
        const StepState actual = norm_on_cuda(grads, max_norm);
        EXPECT_FLOAT_EQ(actual.grad_norm, expected.grad_norm);
        EXPECT_FLOAT_EQ(actual.clip_factor, expected.clip_factor);
        EXPECT_EQ(actual.failed_step, -1);
      });
    }
}

TEST(GlobalNormCuda, IsTheSameEveryTime) {
  const std::vector<Tensor> grads = {random({100'003})};
  const StepState first = norm_on_cuda(grads, 1);
  for_each_warp_order([&] { EXPECT_EQ(norm_on_cuda(grads, 1).grad_norm, first.grad_norm); });
}

TEST(GlobalNormCuda, ElementsThatAreNotAligned) {
  const Tensor memory = random({1000}), x = memory.with_view(sliced(memory, 0, 1, 998, 1, "test"));
  EXPECT_FLOAT_EQ(norm_on_cuda({x}, 1).grad_norm, norm_on_cpu({x}, 1).grad_norm);
}

// The whole chain without a word through the host: the norm, the step that failed, and an AdamW that then stands still.
TEST(GlobalNormCuda, AFailedStepStopsAdamW) {
  const Tensor good = on_cuda(random({50})), bad = full({50}, HUGE_VAL, Dtype::f32, kCuda);
  const Tensor p = on_cuda(random({50}, Dtype::f32, 1)), m = zeros({50}, Dtype::f32, kCuda);
  const Tensor v = zeros({50}, Dtype::f32, kCuda);
  StepStateMemory memory(kCuda);
  Tensor before;
  for (int64_t step = 3; step < 8; ++step) {
    StepState inputs;
    inputs.step = step;
    inputs.learning_rate = 0.1f;
    set_bias_corrections(inputs, {});
    memory.set_inputs(inputs);
    const Tensor& g = step == 5 || step == 6 ? bad : good;
    before = on_host(p);
    global_norm(std::span(&g, 1), 1.0, memory.on_device());
    adamw_update(p, g, m, v, memory.on_device());
    EXPECT_EQ(memory.read().failed_step, step < 5 ? -1 : 5);
    if (step >= 5) expect_equal(on_host(p), before);
    else EXPECT_NE(on_host(p).to_vector<float>(), before.to_vector<float>());
  }
  EXPECT_TRUE(std::isfinite(memory.read().grad_norm));
}

TEST(GlobalNormCuda, DoubleIsRefused) {
  expect_error([] { norm_on_cuda({zeros({2}, Dtype::f64)}, 1); }, {"global_norm: CUDA kernels", "f64"});
}

TEST(GlobalNormCuda, BytesMoved) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    const Tensor g = on_cuda(random({1 << 17}, dtype));  // 4 blocks
    const StepStateMemory memory(kCuda);
    const double sums = 4 * sizeof(double);
    expect_bytes_moved("block_squares_kernel", static_cast<double>(g.nbytes()), sums,
                       [&] { global_norm(std::span(&g, 1), 1.0, memory.on_device()); });
  }
}

}  // namespace
}  // namespace vigor
