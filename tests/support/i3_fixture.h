#pragma once
#include "tests/support/parity_fixture.h"

namespace vigor::testing {

struct I3Fixture : ParityFixture {
  explicit I3Fixture(const std::string& name, Dtype dtype = Dtype::f32, Device device = kCpu)
      : ParityFixture("i3", name, dtype, device) {}
};

}  // namespace vigor::testing
