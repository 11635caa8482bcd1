// The mixers that hybrids are compared against: gradients through whole modules, caches, names and starting values.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "nn/mamba1.h"
#include "nn/rwkv.h"
#include "tests/support/mixer_testing.h"

namespace vigor {
namespace {

using testing::expect_module_gradients;
using testing::expect_pieces_equal_whole;
using testing::expect_values;
using testing::random;

Mamba1Options small_mamba() {
  Mamba1Options options;
  options.channels = 3;
  options.inner = 4;
  options.states = 2;
  options.conv_width = 3;
  options.dt_rank = 2;
  return options;
}
RwkvTimeMixingOptions small_time_mixing() {
  RwkvTimeMixingOptions options;
  options.channels = 3;
  options.inner = 4;
  return options;
}
RwkvChannelMixingOptions small_channel_mixing() {
  RwkvChannelMixingOptions options;
  options.channels = 3;
  options.hidden = 5;
  return options;
}

std::vector<std::string> names_of(const Module& module) {
  std::vector<std::string> names;
  for (const NamedParameter& parameter : module.named_parameters()) names.push_back(parameter.name);
  std::sort(names.begin(), names.end());
  return names;
}

TEST(Mamba1, Gradients) {
  Mamba1 mixer(small_mamba());
  expect_module_gradients(mixer);
}
TEST(Mamba1, PiecesEqualTheWholeSequence) {
  Mamba1 mixer(small_mamba());
  expect_pieces_equal_whole(mixer);
}
TEST(Mamba1, NamesAndStartingValuesAreThePublishedOnes) {
  Mamba1Options options;
  options.channels = 40;
  options.inner = 80;
  Mamba1 mixer(options);
  EXPECT_EQ(names_of(mixer),
            (std::vector<std::string>{"A_log", "D", "conv1d.bias", "conv1d.weight", "dt_proj.bias", "dt_proj.weight",
                                      "in_proj.weight", "out_proj.weight", "x_proj.weight"}));
  ParameterArena arena(mixer);
  arena.initialize(1);
  EXPECT_EQ(mixer.dt_proj.weight.shape(), (Shape{80, 3}));  // R = 40 / 16, rounded up
  for (int64_t i = 0; i < 80 * 16; ++i)
    EXPECT_FLOAT_EQ(mixer.a_log.data<float>()[i], static_cast<float>(std::log(static_cast<double>(i % 16 + 1))));
  double smallest = 1, largest = 0;
  for (const double bias : mixer.dt_bias.to_vector<double>()) {
    smallest = std::min(smallest, std::log1p(std::exp(bias)));
    largest = std::max(largest, std::log1p(std::exp(bias)));
  }
  EXPECT_GE(smallest, 0.000999);
  EXPECT_LT(smallest, 0.002);
  EXPECT_GT(largest, 0.05);
  EXPECT_LE(largest, 0.1001);
}
TEST(Blocks, RefuseSizesThatAreNotPositive) {
  Mamba1Options mamba = small_mamba();
  mamba.inner = 0;
  testing::expect_error([&] { Mamba1 mixer(mamba); }, {"mamba1: sizes must be positive", "inner 0"});
  RwkvTimeMixingOptions time_mixing = small_time_mixing();
  time_mixing.inner = -1;
  testing::expect_error([&] { RwkvTimeMixing mixer(time_mixing); }, {"rwkv time mixing: sizes", "inner -1"});
  RwkvChannelMixingOptions channel_mixing = small_channel_mixing();
  channel_mixing.hidden = 0;
  testing::expect_error([&] { RwkvChannelMixing mixer(channel_mixing); }, {"rwkv channel mixing: sizes", "hidden 0"});
}

TEST(RwkvTimeMixing, Gradients) {
  RwkvTimeMixing mixer(small_time_mixing());
  expect_module_gradients(mixer);
}
TEST(RwkvTimeMixing, PiecesEqualTheWholeSequence) {
  RwkvTimeMixing mixer(small_time_mixing());
  expect_pieces_equal_whole(mixer);
}
TEST(RwkvTimeMixing, NamesAndStartingValuesAreThePublishedOnes) {
  RwkvTimeMixingOptions options;
  options.channels = 4;
  options.depth = {1, 3};  // l = 1/2, r = 2/3
  RwkvTimeMixing mixer(options);
  EXPECT_EQ(names_of(mixer),
            (std::vector<std::string>{"key.weight", "output.weight", "receptance.weight", "time_decay", "time_first",
                                      "time_mix_k", "time_mix_r", "time_mix_v", "value.weight"}));
  ParameterArena arena(mixer);
  arena.initialize(1);
  const auto powers = [](double power, double of, double factor, double shift) {
    std::vector<double> values;
    for (int i = 0; i < 4; ++i) values.push_back(factor * std::pow(i / of, power) + shift);
    return values;
  };
  expect_values(mixer.time_decay, powers(1.35, 3, 8, -5), 1e-6);
  const double log3 = std::log(0.3);
  expect_values(mixer.time_first, {log3, log3 + 0.5, log3 - 0.5, log3}, 1e-6);
  EXPECT_EQ(mixer.time_mix_k.shape(), (Shape{1, 1, 4}));
  expect_values(mixer.time_mix_k, powers(2.0 / 3, 4, 1, 0), 1e-6);
  expect_values(mixer.time_mix_v, powers(2.0 / 3, 4, 1, 0.15), 1e-6);
  expect_values(mixer.time_mix_r, powers(1.0 / 3, 4, 1, 0), 1e-6);
}

TEST(RwkvChannelMixing, Gradients) {
  RwkvChannelMixing mixer(small_channel_mixing());
  expect_module_gradients(mixer);
}
TEST(RwkvChannelMixing, PiecesEqualTheWholeSequence) {
  RwkvChannelMixing mixer(small_channel_mixing());
  expect_pieces_equal_whole(mixer);
}
TEST(RwkvChannelMixing, NamesAreThePublishedOnes) {
  EXPECT_EQ(names_of(RwkvChannelMixing(small_channel_mixing())),
            (std::vector<std::string>{"key.weight", "receptance.weight", "time_mix_k", "time_mix_r", "value.weight"}));
}

// bf16 activations and matrices beside f32 recurrences and states.
TEST(Blocks, RunInBf16) {
  Mamba1 mamba(small_mamba());
  RwkvTimeMixing time_mixing(small_time_mixing());
  RwkvChannelMixing channel_mixing(small_channel_mixing());
  for (Mixer* mixer :
       {static_cast<Mixer*>(&mamba), static_cast<Mixer*>(&time_mixing), static_cast<Mixer*>(&channel_mixing)}) {
    ArenaOptions options;
    options.dtype = Dtype::bf16;
    ParameterArena arena(*mixer, options);
    arena.initialize(3);
    const Tensor x = random({2, 5, 3}, Dtype::bf16);
    EXPECT_EQ(mixer->forward(x).dtype(), Dtype::bf16);
    const NoGrad no_grad;
    LayerCache cache = mixer->make_cache(2, 5);
    const std::vector<int32_t> offsets{0, 0}, lengths{5, 2};
    mixer->forward(x, cache, TokenPositions(offsets, lengths, 5));
    EXPECT_EQ(cache.tensors.back().dtype(), Dtype::f32);
  }
}

TEST(Blocks, ReportTheirCost) {
  const Mamba1 mamba(small_mamba());
  // 3 -> 8, 4 -> 6, 2 -> 4, 4 -> 3; 3 steps of 4 channels; 4 channels of 2 states, twice
  EXPECT_EQ(mamba.flops_per_token(1), 2 * (24 + 24 + 8 + 12 + 12 + 16));
  EXPECT_EQ(RwkvTimeMixing(small_time_mixing()).flops_per_token(1), 2 * 48);
  EXPECT_EQ(RwkvChannelMixing(small_channel_mixing()).flops_per_token(1), 2 * (30 + 9));
}

}  // namespace
}  // namespace vigor
