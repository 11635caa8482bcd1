#include "kernels/adamw/adamw.h"

#include <gtest/gtest.h>

#include "kernels/global_norm/global_norm.h"
#include "tensor/safetensors.h"
#include "tensor/simd.h"
#include "tests/support/testing.h"

namespace vigor {
namespace {

using testing::expect_close;
using testing::expect_error;
using testing::random;

StepState state_of(int64_t step, double lr, double clip = 1) {
  StepState s;
  s.step = step;
  s.learning_rate = static_cast<float>(lr);
  s.bias_correction1 = static_cast<float>(1 - std::pow(0.9, static_cast<double>(step + 1)));
  s.bias_correction2 = static_cast<float>(1 - std::pow(0.999, static_cast<double>(step + 1)));
  s.clip_factor = static_cast<float>(clip);
  return s;
}

TEST(AdamW, FirstStepByHand) {
  // At the first step m / (1 - beta1) is the gradient and sqrt(v / (1 - beta2)) its size: p moves by lr, after decay.
  const Tensor p = full({1}, 2, Dtype::f64), g = full({1}, -4, Dtype::f64);
  const Tensor m = zeros({1}, Dtype::f64), v = zeros({1}, Dtype::f64);
  adamw_update(p, g, m, v, state_of(0, 0.5, 0.25));
  testing::expect_values(m, {-0.1}, 1e-12);
  testing::expect_values(v, {0.001}, 1e-12);
  testing::expect_values(p, {2 * (1 - 0.5 * 0.01) + 0.5}, 1e-6);  // the bias corrections are f32
}

TEST(AdamW, EqualsPyTorchWithClipping) {
  const SafetensorsFile file = SafetensorsFile::open(VIGOR_SOURCE_DIR "/tests/fixtures/ops/adamw.safetensors");
  std::vector<Tensor> p, m, v;
  for (const char* name : {"p0", "p1"}) {
    p.push_back(clone(file.tensor(name)));
    m.push_back(zeros(p.back().shape()));
    v.push_back(zeros(p.back().shape()));
  }
  for (int64_t step = 0; step < 3; ++step) {
    const std::string prefix = fmt::format("step{}.", step + 1);
    const std::vector<Tensor> grads = {file.tensor(prefix + "grad0"), file.tensor(prefix + "grad1")};
    StepState state = state_of(step, 1e-2);
    global_norm(grads, 1.0, state);
    EXPECT_NEAR(state.grad_norm, file.tensor("grad_norms").to_vector<float>()[static_cast<size_t>(step)], 1e-5);
    for (size_t i = 0; i < 2; ++i) {
      adamw_update(p[i], grads[i], m[i], v[i], state);
      expect_close(p[i], file.tensor(prefix + fmt::format("p{}", i)), 1e-6, 1e-6);
    }
  }
  for (size_t i = 0; i < 2; ++i) {
    expect_close(m[i], file.tensor(fmt::format("m{}", i)), 1e-8, 1e-5);
    expect_close(v[i], file.tensor(fmt::format("v{}", i)), 1e-8, 1e-5);
  }
}

TEST(AdamW, FastEqualsF64OnEveryInstructionSet) {
  for (const Isa isa : {Isa::portable, Isa::neon, Isa::avx2, Isa::avx512}) {
    if (!is_supported(isa)) continue;
    const IsaScope scope(isa);
    for (const int64_t n : {1, 3, 17, 33, 40'000}) {
      std::vector<Tensor> fast, exact;
      for (uint32_t i = 0; i < 4; ++i) {  // param, grad, m, v >= 0
        fast.push_back(random({n}, Dtype::f32, i, i == 3 ? 0 : -1));
        exact.push_back(testing::converted(fast.back(), Dtype::f64));
      }
      AdamWOptions options;
      options.weight_decay = 0.1;
      options.eps = 1e-3;
      for (int64_t step = 4; step < 6; ++step) {
        adamw_update(fast[0], fast[1], fast[2], fast[3], state_of(step, 0.01, 0.7), options);
        adamw_update(exact[0], exact[1], exact[2], exact[3], state_of(step, 0.01, 0.7), options);
      }
      for (size_t i = 0; i < 4; ++i) expect_close(fast[i], exact[i], 1e-6, 1e-6);
    }
  }
}

// Without gradients the moments reach 0 and do not stop at subnormal numbers.
TEST(AdamW, MomentsDecayToZero) {
  const Tensor p = full({20}, 1), g = zeros({20}), m = full({20}, 1e-35), v = full({20}, 1e-37);
  for (int64_t step = 1000; step < 1030; ++step) adamw_update(p, g, m, v, state_of(step, 0.1));
  testing::expect_equal(m, zeros({20}));
  testing::expect_equal(v, zeros({20}));
  testing::expect_values(p, std::vector<double>(20, std::pow(1 - 0.1 * 0.01, 30)), 1e-5);
}

TEST(AdamW, CountsAsAWrite) {
  const Tensor p = random({5}), g = random({5}), m = zeros({5}), v = zeros({5});
  const uint32_t before = p.storage()->version();
  adamw_update(p, g, m, v, state_of(0, 0.1));
  EXPECT_GT(p.storage()->version(), before);
}

TEST(AdamW, Errors) {
  const Tensor p = random({4}), g = random({5});
  expect_error([&] { adamw_update(p, g, p, p, {}); }, {"adamw: grad must be contiguous and like param", "[5]", "[4]"});
  expect_error([&] { adamw_update(p, p, Tensor(), p, {}); }, {"adamw: m must be", "undefined"});
  const Tensor half = random({4}, Dtype::bf16);
  expect_error([&] { adamw_update(half, half, half, half, {}); }, {"adamw: param must be contiguous, in f32", "bf16"});
  AdamWOptions options;
  options.beta2 = 1;
  expect_error([&] { adamw_update(p, p, p, p, {}, options); }, {"adamw: beta1 and beta2 must be in [0, 1)"});
}

}  // namespace
}  // namespace vigor
