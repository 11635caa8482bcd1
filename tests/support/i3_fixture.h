#pragma once
#include "tests/support/parity_fixture.h"

namespace vigor::testing {

struct I3Fixture : ParityFixture {
  explicit I3Fixture(const std::string& name, Dtype dtype = Dtype::f32, Device device = kCpu)
      : ParityFixture("i3", name, dtype, device) {}
};

inline constexpr const char* kI3Fixtures[] = {"pure_hybrid", "mixed", "pure_attention", "low_rank", "interleaved"};

// Its middle third is the bias of the keys, which softmax ignores.
inline constexpr const char* kI3Noise = "qkv.bias";

}  // namespace vigor::testing
