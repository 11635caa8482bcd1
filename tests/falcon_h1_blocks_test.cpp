// The modules that Falcon-H1 is made of, with every option: gradients of whole modules, and pieces of sequences.
#include <gtest/gtest.h>

#include "nn/gated_feed_forward.h"
#include "nn/grouped_query_attention.h"
#include "nn/mamba2.h"
#include "tests/support/mixer_testing.h"

namespace vigor {
namespace {

using testing::expect_error;
using testing::expect_module_gradients;
using testing::expect_pieces_equal_whole;

Mamba2Options small_mamba() {
  Mamba2Options options;
  options.channels = 3;
  options.heads = 2;
  options.head_width = 3;
  options.states = 2;
  options.conv_width = 3;
  return options;
}

std::vector<Mamba2Options> mambas() {
  Mamba2Options multiplied = small_mamba();
  multiplied.in_multiplier = 1.3;
  multiplied.multipliers = {0.7, 1.2, 0.8, 1.4, 0.9};
  Mamba2Options with_all = multiplied;
  with_all.groups = 2;
  with_all.in_bias = with_all.out_bias = with_all.norm = with_all.norm_before_gate = true;
  Mamba2Options limited = small_mamba();
  limited.conv_bias = false;
  limited.norm = true;
  limited.dt_min = 0.3;
  limited.dt_max = 0.9;
  return {small_mamba(), multiplied, with_all, limited};
}

TEST(Mamba2, Gradients) {
  for (const Mamba2Options& options : mambas()) {
    Mamba2 mixer(options);
    expect_module_gradients(mixer);
  }
}
TEST(Mamba2, PiecesEqualTheWholeSequence) {
  for (const Mamba2Options& options : mambas()) {
    Mamba2 mixer(options);
    expect_pieces_equal_whole(mixer);
  }
}
TEST(Mamba2, ChecksItsOptions) {
  Mamba2Options options = small_mamba();
  options.groups = 3;
  expect_error([&] { Mamba2 mixer(options); }, {"mamba2", "groups must divide heads", "3 groups", "2 heads"});
}

GroupedQueryAttentionOptions small_attention() {
  GroupedQueryAttentionOptions options;
  options.channels = 3;
  options.heads = 4;
  options.kv_heads = 2;
  options.head_width = 4;
  return options;
}

TEST(GroupedQueryAttention, Gradients) {
  GroupedQueryAttentionOptions options = small_attention();
  GroupedQueryAttention plain(options);
  expect_module_gradients(plain);
  options.bias = true;
  options.key_multiplier = 0.6;
  options.score_scale = 0.3;
  options.rope_theta = 3;
  GroupedQueryAttention with_all(options);
  expect_module_gradients(with_all);
}
TEST(GroupedQueryAttention, PiecesEqualTheWholeSequence) {
  GroupedQueryAttentionOptions options = small_attention();
  options.rope_theta = 3;
  GroupedQueryAttention mixer(options);
  expect_pieces_equal_whole(mixer);
}
TEST(GroupedQueryAttention, ChecksItsOptionsAndItsCache) {
  GroupedQueryAttentionOptions options = small_attention();
  options.kv_heads = 3;
  expect_error([&] { GroupedQueryAttention mixer(options); }, {"kv_heads must divide heads", "3 and 4"});
  GroupedQueryAttention mixer(small_attention());
  ParameterArena arena(mixer);
  LayerCache cache = mixer.make_cache(1, 4);
  const std::vector<int32_t> offsets{2}, lengths{3};
  const TokenPositions positions(offsets, lengths, 3);
  const Tensor x = testing::random({1, 3, 3});
  expect_error<std::logic_error>([&] { mixer.forward(x, cache, positions); }, {"NoGrad"});
  const NoGrad no_grad;
  expect_error([&] { mixer.forward(x, cache, positions); }, {"room for 4 tokens", "needs 5"});
}

TEST(GatedFeedForward, Gradients) {
  GatedFeedForwardOptions options;
  options.channels = 3;
  options.hidden = 5;
  options.bias = true;
  options.gate_multiplier = 0.7;
  GatedFeedForward module(options);
  expect_module_gradients(module);
}

}  // namespace
}  // namespace vigor
