// Mamba-1 and RWKV-4 blocks against plain Python definitions: results and the gradient of every parameter. In f64,
// where only the rounding of the fixture is left, and in f32 with the fast code of every instruction set.
#include <gtest/gtest.h>

#include "tests/support/against_f64.h"
#include "tests/support/block_fixture.h"

namespace vigor {
namespace {

using namespace testing;

template <class Module, class Options>
void expect_parity(const Options& options, const char* fixture) {
  SCOPED_TRACE(fixture);
  Module exact(options), fast(options);
  BlockParity(exact, fixture, Dtype::f64).expect({2e-7, 2e-7});
  const BlockParity parity(fast, fixture, Dtype::f32);
  for_each_isa([&] {
    parity.expect({2e-6, 1e-5});
    parity.expect_pieces(2e-6);
  });
}

TEST(BlocksParity, Mamba1) {
  expect_parity<Mamba1>(fixture_mamba1(), "mamba1_3");
  expect_parity<Mamba1>(fixture_mamba1(), "mamba1_37");
}
TEST(BlocksParity, RwkvTimeMixing) { expect_parity<RwkvTimeMixing>(fixture_time_mixing(), "rwkv_time_mixing"); }
TEST(BlocksParity, RwkvChannelMixing) {
  expect_parity<RwkvChannelMixing>(fixture_channel_mixing(), "rwkv_channel_mixing");
}

// Every parameter has its gradient in the file, and the file holds no other.
TEST(BlocksParity, FixturesHoldEveryParameter) {
  const Mamba1 mamba(fixture_mamba1());
  const RwkvTimeMixing time_mixing(fixture_time_mixing());
  const RwkvChannelMixing channel_mixing(fixture_channel_mixing());
  const std::pair<const char*, const Module*> files[] = {
      {"mamba1_37", &mamba}, {"rwkv_time_mixing", &time_mixing}, {"rwkv_channel_mixing", &channel_mixing}};
  for (const auto& [name, module] : files) {
    const SafetensorsFile file = block_fixture(name);
    const std::vector<NamedParameter> parameters = module->named_parameters();
    EXPECT_EQ(file.entries().size(), 2 * parameters.size() + 4) << name;  // beside x, d.x, y and dy
    for (const NamedParameter& parameter : parameters)
      EXPECT_EQ(file.tensor(parameter.name).shape(), parameter.sizes) << name << " " << parameter.name;
  }
}

}  // namespace
}  // namespace vigor
