#include "kernels/adamw/adamw.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/global_norm/global_norm.h"
#include "tensor/safetensors.h"
#include "tensor/simd.h"
#include "tests/support/testing.h"

namespace vigor {
namespace {

using testing::converted;
using testing::expect_close;

TEST(AdamW, FirstStepByHand) {
  // After one step m / c1 = g and sqrt(v / c2) = |g|, so p moves by lr g / (|g| + eps) after the decay.
  const Tensor p = from_values(std::vector<double>{2.0, -1.0}, {2});
  const Tensor g = from_values(std::vector<double>{0.5, -4.0}, {2});
  const Tensor m = zeros({2}, Dtype::f64), v = zeros({2}, Dtype::f64);
  StepState state;
  state.learning_rate = 0.125f;
  AdamWOptions options;
  options.weight_decay = 0.5;
  set_bias_corrections(state, options);
  const uint32_t version = p.storage()->version();
  adamw_update(p, g, m, v, state, options);
  expect_close(p, from_values(std::vector<double>{2.0 * 0.9375 - 0.125, -1.0 * 0.9375 + 0.125}, {2}), 1e-6, 1e-6);
  EXPECT_NE(p.storage()->version(), version);
}

TEST(AdamW, FastEqualsDefinitionForEverySizeAndInstructionSet) {
  for (Isa isa : {Isa::portable, Isa::avx2, Isa::avx512}) {
    if (!is_supported(isa)) continue;
    const IsaScope scope(isa);
    for (int64_t n : {1, 3, 17, 33, 40000}) {
      const Tensor p = testing::random({n}, Dtype::f32, 1), g = testing::random({n}, Dtype::f32, 2);
      const Tensor m = testing::random({n}, Dtype::f32, 3), v = testing::random({n}, Dtype::f32, 4, 0, 1);
      const Tensor p64 = converted(p, Dtype::f64), m64 = converted(m, Dtype::f64), v64 = converted(v, Dtype::f64);
      StepState state;
      state.step = 6;
      state.learning_rate = 1e-2f;
      state.clip_factor = 0.25f;
      set_bias_corrections(state, {});
      adamw_update(p, g, m, v, state, {});
      adamw_update(p64, converted(g, Dtype::f64), m64, v64, state, {});
      expect_close(converted(p, Dtype::f64), p64, 1e-6, 1e-6);
      expect_close(converted(m, Dtype::f64), m64, 1e-6, 1e-6);
      expect_close(converted(v, Dtype::f64), v64, 1e-6, 1e-6);
    }
  }
}

TEST(AdamW, PyTorchThreeStepsWithClipping) {
  const SafetensorsFile f = SafetensorsFile::open(VIGOR_SOURCE_DIR "/tests/fixtures/ops/adamw.safetensors");
  std::vector<Tensor> p, m, v;
  for (const char* name : {"p0", "p1"}) {
    p.push_back(clone(f.tensor(name)));
    m.push_back(zeros_like(p.back()));
    v.push_back(zeros_like(p.back()));
  }
  const std::vector<double> norms = f.tensor("grad_norms").to_vector<double>();
  for (int step = 0; step < 3; ++step) {
    const std::string prefix = "step" + std::to_string(step + 1) + ".";
    const std::vector<Tensor> g = {f.tensor(prefix + "grad0"), f.tensor(prefix + "grad1")};
    StepState state;
    state.step = step;
    state.learning_rate = 1e-2f;
    set_bias_corrections(state, {});
    global_norm(g, 1.0, state);
    EXPECT_NEAR(state.grad_norm, norms[static_cast<size_t>(step)], 1e-5);
    for (size_t i = 0; i < 2; ++i) {
      adamw_update(p[i], g[i], m[i], v[i], state, {});
      expect_close(p[i], f.tensor(prefix + "p" + std::to_string(i)), 1e-6, 1e-5);
    }
  }
}

TEST(AdamW, ErrorsNameTheShapes) {
  try {
    adamw_update(zeros({3}), zeros({4}), zeros({3}), zeros({3}), {}, {});
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find("adamw: "), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("[4] f32"), std::string::npos);
  }
  EXPECT_THROW(adamw_update(zeros({3}, Dtype::i32), zeros({3}), zeros({3}), zeros({3}), {}, {}), std::invalid_argument);
}

}  // namespace
}  // namespace vigor
