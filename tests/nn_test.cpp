// Modules: names, the parameter arena, initial values, caches, and gradients through whole modules.
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <stdexcept>

#include "autograd/engine.h"
#include "autograd/variable.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/reduce/reduce.h"
#include "kernels/views/views.h"
#include "nn/attention.h"
#include "nn/embedding.h"
#include "nn/feed_forward.h"
#include "nn/forward_context.h"
#include "nn/hybrid_mixer.h"
#include "nn/norm.h"
#include "nn/parameter_arena.h"
#include "tests/support/mixer_testing.h"

namespace vigor {
namespace {

using testing::expect_close;
using testing::expect_module_gradients;
using testing::expect_pieces_equal_whole;

RandomKey key(uint32_t salt) { return {7, RandomStream::data, salt, 0}; }

struct Pair : Module {
  Pair() : first(3, 5), second(5, 2, false) {
    add_parameter("scale", scale, {5}, constant_init(2.0));
    add_buffer("table", table);
    add_child("layers.0", first);
    add_child("layers.1", second);
  }
  Tensor forward(const Tensor& x) const { return second.forward(mul(first.forward(x), scale)); }

  Tensor scale;
  Tensor table = zeros({4});
  Linear first, second;
};

std::vector<std::string> names_of(const Module& module) {
  std::vector<std::string> names;
  for (const NamedParameter& parameter : module.named_parameters()) names.push_back(parameter.name);
  return names;
}

TEST(Module, ListsParametersByPathInOrderOfRegistration) {
  const Pair pair;
  EXPECT_EQ(names_of(pair), (std::vector<std::string>{"scale", "layers.0.weight", "layers.0.bias", "layers.1.weight"}));
  EXPECT_EQ(pair.parameter_count(), 5 + 15 + 5 + 10);
  ASSERT_EQ(pair.named_buffers().size(), 1u);
  EXPECT_EQ(pair.named_buffers()[0].name, "table");
}

TEST(Module, RefusesANameTwice) {
  struct Twice : Module {
    Twice() {
      add_parameter("w", a, {1}, constant_init(0));
      add_parameter("w", b, {1}, constant_init(0));
    }
    Tensor a, b;
  };
  EXPECT_THROW(Twice(), std::logic_error);
}

TEST(ParameterArena, HoldsAllParametersInOneTensor) {
  Pair pair;
  ParameterArena arena(pair);
  ASSERT_EQ(arena.groups().size(), 1u);
  const ArenaGroup& group = arena.groups()[0];
  for (const ArenaSlot& slot : group.slots) {
    EXPECT_EQ(slot.tensor.storage(), group.values.storage()) << slot.name;
    EXPECT_EQ(slot.offset * 4 % 64, 0) << slot.name;
    EXPECT_EQ(name_of(slot.tensor), slot.name);
    EXPECT_TRUE(requires_grad(slot.tensor));
  }
  EXPECT_TRUE(arena.find("layers.1.weight")->same_as(pair.second.weight));
  EXPECT_EQ(arena.find("layers.1.bias"), nullptr);
  const int64_t offset = group.slots[1].offset + 7;
  EXPECT_EQ(group.describe_element(offset), "layers.0.weight[2,1]");
  EXPECT_THROW(ParameterArena{pair}, std::logic_error);
}

TEST(ParameterArena, SeparatesGroups) {
  Pair pair;
  ArenaOptions options;
  options.group_of = [](const std::string&, const Shape& sizes) { return sizes.rank() == 2 ? 1 : 0; };
  const ParameterArena arena(pair, options);
  ASSERT_EQ(arena.groups().size(), 2u);
  EXPECT_EQ(arena.groups()[0].group, 0);
  EXPECT_EQ(arena.groups()[0].slots.size(), 2u);
  EXPECT_EQ(arena.groups()[1].slots[1].name, "layers.1.weight");
  EXPECT_EQ(arena.parameters()[3].name, "layers.1.weight");
}

TEST(ParameterArena, CollectsGradientsAndLeavesGapsZero) {
  Pair pair, other;
  ParameterArena arena(pair), plain(other);
  arena.initialize(3);
  plain.initialize(3);
  arena.allocate_gradients();
  const Tensor x = normal({4, 3}, 0, 1, key(1));
  backward(sum(other.forward(x)));
  for (int step = 0; step < 2; ++step) {
    arena.zero_gradients();
    backward(sum(pair.forward(x)));
    arena.complete_gradients();
  }
  const ArenaGroup& group = arena.groups()[0];
  const std::vector<float> gradients = group.gradients.to_vector<float>();
  std::set<int64_t> used;
  for (const ArenaSlot& slot : group.slots) {
    EXPECT_EQ(grad(slot.tensor).storage(), group.gradients.storage());
    expect_close(grad(slot.tensor), grad(*plain.find(slot.name)), 1e-6, 1e-6);
    for (int64_t i = 0; i < slot.tensor.numel(); ++i) used.insert(slot.offset + i);
  }
  for (size_t i = 0; i < gradients.size(); ++i)
    EXPECT_TRUE(used.count(static_cast<int64_t>(i)) != 0 || gradients[i] == 0.0f) << i;
}

TEST(ParameterArena, ClearsWhatBackwardDidNotReach) {
  Pair pair;
  ParameterArena arena(pair);
  arena.initialize(3);
  arena.allocate_gradients();
  const Tensor x = normal({4, 3}, 0, 1, key(1));
  backward(sum(pair.forward(x)));
  arena.zero_gradients();
  backward(sum(pair.first.forward(x)));
  arena.complete_gradients();
  for (const float value : grad(pair.second.weight).to_vector<float>()) EXPECT_EQ(value, 0.0f);
}

TEST(Initializers, DependOnNameAndSeedOnly) {
  struct Other : Module {  // the same linear, elsewhere in another tree
    Other() : before(64, 64), linear(30, 40) {
      add_child("before", before);
      add_child("layers.0", linear);
    }
    Linear before, linear;
  };
  struct One : Module {
    One() : linear(30, 40) { add_child("layers.0", linear); }
    Linear linear;
  };
  Other other;
  One one, different;
  ParameterArena(other).initialize(5);
  ParameterArena(one).initialize(5);
  ParameterArena(different).initialize(6);
  EXPECT_EQ(other.linear.weight.to_vector<float>(), one.linear.weight.to_vector<float>());
  EXPECT_NE(different.linear.weight.to_vector<float>(), one.linear.weight.to_vector<float>());
  double squares = 0;
  for (const float w : one.linear.weight.to_vector<float>()) squares += double{w} * w;
  EXPECT_NEAR(std::sqrt(squares / 1200), 0.02, 0.002);
  for (const float b : one.linear.bias.to_vector<float>()) EXPECT_EQ(b, 0.0f);
}

TEST(Layers, HaveThePublishedParameters) {
  EXPECT_EQ(names_of(HybridMixer(6, 3)), (std::vector<std::string>{"w_mix", "A", "B", "C", "D"}));
  EXPECT_EQ(names_of(Attention(6, 3)),
            (std::vector<std::string>{"qkv.weight", "qkv.bias", "out_proj.weight", "out_proj.bias"}));
  EXPECT_EQ(names_of(FeedForward(6, 24)), (std::vector<std::string>{"0.weight", "0.bias", "2.weight", "2.bias"}));
  EXPECT_EQ(names_of(FeedForward(6, 24, 2)),
            (std::vector<std::string>{"0.lora_A", "0.lora_B", "0.bias", "2.lora_A", "2.lora_B", "2.bias"}));
  EXPECT_EQ(names_of(LayerNorm(4)), (std::vector<std::string>{"weight", "bias"}));
  EXPECT_EQ(names_of(RMSNorm(4)), (std::vector<std::string>{"weight"}));
  EXPECT_EQ(names_of(Embedding(9, 4)), (std::vector<std::string>{"weight"}));
  EXPECT_THROW(Attention(10, 3), std::invalid_argument);
}

TEST(Layers, NormalizeAndLookUp) {
  RMSNorm norm(3);
  Embedding table(4, 3);
  ParameterArena(norm).initialize(1);
  ParameterArena(table).initialize(1);
  const double rms = std::sqrt((1.0 + 4.0 + 9.0) / 3.0 + 1e-5);
  const Tensor y = norm.forward(from_values(std::vector<float>{1, 2, 3}, {1, 3}));
  for (int i = 0; i < 3; ++i) EXPECT_NEAR(y.to_vector<float>()[static_cast<size_t>(i)], (i + 1) / rms, 1e-6);
  const Tensor rows = table.forward(from_values(std::vector<int32_t>{3, 0}, {2}));
  expect_close(slice(rows, 0, 0, 1), slice(table.weight, 0, 3, 4), 0, 0);
}

TEST(Layers, HaveRightGradients) {
  HybridMixer hybrid(6, 3);
  expect_module_gradients(hybrid, 6);
  Attention attention(6, 3);
  expect_module_gradients(attention, 6);
  FeedForward dense(6, 7);
  expect_module_gradients(dense, 6);
  FeedForward low_rank(6, 7, 2);
  expect_module_gradients(low_rank, 6);
  LayerNorm norm(6);
  expect_module_gradients(norm, 6);
}

TEST(LayerCache, PiecesEqualTheWholeSequence) {
  HybridMixer hybrid(6, 3);
  expect_pieces_equal_whole(hybrid, 6);
  Attention attention(6, 3);
  expect_pieces_equal_whole(attention, 6);
}

TEST(LayerCache, AttentionCacheIsBoundedAndForInferenceOnly) {
  Attention attention(6, 3);
  ParameterArena(attention).initialize(1);
  LayerCache cache = attention.make_cache(1, 2);
  const Tensor x = zeros({1, 1, 6});
  const std::vector<int32_t> offset{2}, start{0}, length{1};
  EXPECT_THROW(attention.forward(x, cache, TokenPositions(start, length, 1)), std::logic_error);
  const NoGrad no_grad;
  EXPECT_THROW(attention.forward(x, cache, TokenPositions(offset, length, 1)), std::invalid_argument);
}

TEST(LayerCache, GradientsFlowThroughTheHybridState) {
  HybridMixer mixer(4, 2);
  ParameterArena arena(mixer);
  arena.initialize(2);
  const Tensor x = set_requires_grad(normal({1, 6, 4}, 0, 1, key(3)));
  backward(sum(mul(mixer.forward(x), mixer.forward(x))));
  const Tensor whole = clone(grad(x));
  zero_grad(x);
  LayerCache cache = mixer.make_cache(1, 6);
  const std::vector<int32_t> start{0}, middle{3}, length{3};
  const Tensor a = mixer.forward(slice(x, 1, 0, 3), cache, TokenPositions(start, length, 3));
  const Tensor b = mixer.forward(slice(x, 1, 3, 6), cache, TokenPositions(middle, length, 3));
  backward(add(sum(mul(a, a)), sum(mul(b, b))));
  expect_close(grad(x), whole, 1e-6, 1e-5);
}

TEST(LayerCache, ClonesSelectsAndAssignsRows) {
  LayerCache cache{{normal({3, 2}, 0, 1, key(4)), normal({3, 2, 2}, 0, 1, key(5))}};
  EXPECT_EQ(cache.nbytes(), 4u * (6 + 12));
  const std::vector<int64_t> rows{2, 0, 2, 2};
  const LayerCache selected = cache.select_rows(rows);
  expect_close(slice(selected.tensors[1], 0, 3, 4), slice(cache.tensors[1], 0, 2, 3), 0, 0);
  const LayerCache copied = cache.clone();
  cache.assign_row(1, selected, 0);
  expect_close(slice(cache.tensors[0], 0, 1, 2), slice(copied.tensors[0], 0, 2, 3), 0, 0);
  EXPECT_NE(cache.tensors[0].to_vector<float>(), copied.tensors[0].to_vector<float>());
  const std::vector<int64_t> outside{3};
  EXPECT_THROW(cache.select_rows(outside), std::invalid_argument);
}

TEST(LayerCache, PositionsAreChecked) {
  const std::vector<int32_t> offsets{0, 4}, lengths{3, 1}, empty_row{0, 1};
  const TokenPositions positions(offsets, lengths, 3);
  EXPECT_EQ(positions.ends.to_vector<int32_t>(), (std::vector<int32_t>{3, 5}));
  EXPECT_EQ(positions.max_end, 5);
  EXPECT_THROW(TokenPositions(offsets, lengths, 2), std::invalid_argument);
  EXPECT_THROW(TokenPositions(offsets, empty_row, 3), std::invalid_argument);
}

TEST(Dropout, MasksAreNumberedByPlaceStepAndMicroBatch) {
  const Tensor x = full({40, 50}, 1.0);
  EXPECT_TRUE(apply_dropout(x, {}, "a").same_as(x));
  ForwardContext context;
  context.dropout = 0.25;
  context.seed = 3;
  const std::vector<float> mask = apply_dropout(x, context, "a").to_vector<float>();
  EXPECT_EQ(apply_dropout(x, context, "a").to_vector<float>(), mask);
  EXPECT_NE(apply_dropout(x, context, "b").to_vector<float>(), mask);
  ForwardContext next_step = context, next_part = context;
  next_step.step = 1;
  next_part.micro_batch = 1;
  EXPECT_NE(apply_dropout(x, next_step, "a").to_vector<float>(), mask);
  EXPECT_NE(apply_dropout(x, next_part, "a").to_vector<float>(), mask);
  double mean = 0;
  for (const float value : mask) mean += value / 2000;
  EXPECT_NEAR(mean, 1.0, 0.05);
}

}  // namespace
}  // namespace vigor
