// Mamba-1 and RWKV-4 blocks on the device against the same plain Python definitions as on the CPU.
#include <gtest/gtest.h>

#include "tests/support/block_fixture.h"

namespace vigor {
namespace {

using namespace testing;

template <class Module, class Options>
void expect_parity_on_cuda(const Options& options, const char* fixture) {
  SCOPED_TRACE(fixture);
  Module module(options);
  const BlockParity parity(module, fixture, Dtype::f32, kCuda);
  parity.expect({2e-6, 1e-5});
  parity.expect_pieces(2e-6);
  Module rounded(options);  // bf16 has 8 bits, and every operation of the block rounds to them
  BlockParity(rounded, fixture, Dtype::bf16, kCuda).expect({0.03, 0.06});
}

TEST(BlocksCuda, Mamba1) {
  expect_parity_on_cuda<Mamba1>(fixture_mamba1(), "mamba1_3");
  expect_parity_on_cuda<Mamba1>(fixture_mamba1(), "mamba1_37");
}
TEST(BlocksCuda, RwkvTimeMixing) { expect_parity_on_cuda<RwkvTimeMixing>(fixture_time_mixing(), "rwkv_time_mixing"); }
TEST(BlocksCuda, RwkvChannelMixing) {
  expect_parity_on_cuda<RwkvChannelMixing>(fixture_channel_mixing(), "rwkv_channel_mixing");
}

}  // namespace
}  // namespace vigor
