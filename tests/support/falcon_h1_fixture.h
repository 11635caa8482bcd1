#pragma once
#include "tests/support/parity_fixture.h"

namespace vigor::testing {

struct FalconH1Fixture : ParityFixture {
  explicit FalconH1Fixture(const std::string& name, Dtype dtype = Dtype::f32, Device device = kCpu)
      : ParityFixture("falcon_h1", name, dtype, device) {}
};

// tests/fixtures/falcon_h1/README.md says what each is for.
inline constexpr const char* kFalconH1Fixtures[] = {
    "plain",       "multipliers", "norm_after_gate",          "groups_norm_before_gate",      "groups_norm_after_gate",
    "groups_tied", "biases",      "biases_norm_no_conv_bias", "head_dim_and_time_step_limit", "ragged"};

// With slow rotation a bias of the keys is nearly the same for all keys, which softmax ignores.
inline constexpr const char* kFalconH1Noise = "k_proj.bias";

}  // namespace vigor::testing
