// The hybrid family: its configuration language, the solver of channel widths, and models of every block alone and
// mixed.
#include <gtest/gtest.h>

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "autograd/engine.h"
#include "autograd/variable.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/views/views.h"
#include "models/families.h"
#include "models/hybrid/block_kinds.h"
#include "models/hybrid/block_sequence.h"
#include "models/hybrid/hybrid_model.h"
#include "tests/support/training_checks.h"
#include "train/optimizer.h"

namespace vigor {
namespace {

using testing::expect_close;
using testing::expect_error;
using testing::random_ids;

// A small valid configuration; `more` adds keys, or replaces those of the same name, as the last one counts.
std::string config_text(const std::string& blocks, const std::string& more = "") {
  return R"({"model_type": "vigor_hybrid", "vocab_size": 11, "d_model": 12, "max_seq_len": 16, "head_dim": 4,)"
         R"("mamba_d_head": 4, "mamba_d_state": 3, "mamba1_d_state": 3, "hybrid_d_state": 3, "channel_base": 4,)"
         R"("blocks": ")" +
         blocks + "\"" + (more.empty() ? "" : ", " + more) + "}";
}

HybridConfig config_of(const std::string& blocks, const std::string& more = "") {
  return dynamic_cast<const HybridConfig&>(*parse_config(config_text(blocks, more), "test"));
}

std::unique_ptr<LanguageModel> model_of(const std::string& blocks, const std::string& more = "",
                                        Dtype dtype = Dtype::f32) {
  auto model = make_model(config_of(blocks, more));
  ArenaOptions options;
  options.dtype = dtype;
  model->allocate(options);
  model->parameters().initialize(3);
  return model;
}

// Every block alone, and sequences of several.
std::vector<std::string> sequences() {
  std::vector<std::string> sequences;
  for (const BlockKind& kind : block_kinds()) sequences.emplace_back(1, kind.letter);
  sequences.push_back(block_letters());
  sequences.emplace_back("MMA H");
  return sequences;
}

// ---- configuration ----

TEST(BlockSequence, ExpandsWordsAndCounts) {
  EXPECT_EQ(expand_blocks("H*3 A*2", "HAM"), "HHHAA");
  EXPECT_EQ(expand_blocks(" MMA*2  H", "HAM"), "MMAMMAH");
  EXPECT_EQ(compact_blocks("HHHAAM"), "H*3 A*2 M");
  EXPECT_EQ(expand_blocks(compact_blocks("MMAMMA"), "HAM"), "MMAMMA");
  expect_error([] { expand_blocks("", "HA"); }, {"blocks", "at least one"});
  expect_error([] { expand_blocks("HX", "HA"); }, {"blocks", "\"X\"", "HA"});
  expect_error([] { expand_blocks("*3", "HA"); }, {"blocks", "repeats nothing"});
  for (const char* text : {"H*", "H*0", "H*-1", "H*2x", "H*1025", "H*99999999999999999999"})
    expect_error([&] { expand_blocks(text, "HA"); }, {"blocks", "count", text});
  expect_error([] { expand_blocks("HA*600", "HA"); }, {"blocks", "1024"});
}

TEST(HybridConfig, ReadsBackWhatItWrites) {
  for (const std::string& text :
       {config_text("H*2 A"), config_text("A", R"("arrangement": "SAM", "channel_split": "0:1:2.5")"),
        config_text("P*2", R"("mup_base_width": 6, "tie_word_embeddings": true, "rope_theta": 1e11)")}) {
    const auto config = parse_config(text, "test");
    const std::string written = config->to_json();
    const auto again = parse_config(written, "again");
    EXPECT_EQ(again->to_json(), written);
    EXPECT_EQ(make_model(*again)->parameter_count(), make_model(*config)->parameter_count());
  }
  EXPECT_NE(config_of("MMA*2").to_json().find("\"MMA*2\""), std::string::npos) << "the words stay as they were written";
  auto shorter = config_of("MMA*4");
  shorter.set_layer_count(6);
  EXPECT_EQ(shorter.layer_count(), 6);
  EXPECT_EQ(parse_config(shorter.to_json(), "again")->layer_count(), 6);
}

TEST(HybridConfig, NamesWhatIsWrong) {
  const auto parse = [](const std::string& blocks, const std::string& more) {
    return [=] { config_of(blocks, more); };
  };
  expect_error(parse("Q", ""), {"test", "blocks", "\"Q\""});
  expect_error(parse("A", R"("chanel_split": "1:1:1")"), {"unknown key chanel_split", "channel_split"});
  expect_error(parse("A", R"("channel_split": "1:1")"), {"channel_split", "1:1"});
  expect_error(parse("A", R"("channel_split": "1:-1:2")"), {"channel_split"});
  expect_error(parse("A", R"("channel_split": 5)"), {"channel_split must be a string"});
  expect_error(parse("A", R"("arrangement": "MAS")"), {"arrangement", "SA_M", "MAS"});
  expect_error(parse("A", R"("block_parameters": 5000)"), {"exactly one of channel_base and block_parameters"});
  expect_error(parse("A", R"("head_dim": 5)"), {"head_dim", "even"});
  expect_error(parse("A", R"("mup_base_width": -1)"), {"mup_base_width", "-1"});
  expect_error(parse("M", R"("mamba_d_conv": 9)"), {"mamba_d_conv", "1..8", "9"});
  expect_error(parse("A", R"("mamba_rms_norm": 1)"), {"mamba_rms_norm must be true or false"});
  expect_error(parse("A", R"("channel_split": "1:0:1")"), {"block A", "attention", "channel_split"});
  expect_error(parse("P", R"("channel_split": "0:0:1")"), {"block P", "channel_split"});
  expect_error([] { parse_config(R"({"model_type": "vigor_hybrid"})", "c.json"); },
               {"c.json", "vocab_size is missing", "d_model is missing", "blocks is missing"});
}

// ---- channel widths ----

TEST(ChannelWidths, AreTheSharesRoundedToHeads) {
  const auto widths = [](const std::string& more) { return solve_channel_widths(config_of("P", more)); };
  ChannelWidths w = widths(R"("channel_base": 16, "channel_split": "2:1:5")");
  EXPECT_EQ(w.ssm, 32);
  EXPECT_EQ(w.attention, 16);
  EXPECT_EQ(w.feed_forward, 80);
  w = widths(R"("channel_base": 10, "channel_split": "1:3:0")");
  EXPECT_EQ(w.ssm, 12);  // 2.5 heads of 4
  EXPECT_EQ(w.attention, 32);
  EXPECT_EQ(w.feed_forward, 0);
  w = widths(R"("channel_base": 0.1, "queries_per_kv": 2, "mamba_n_groups": 3)");
  EXPECT_EQ(w.ssm, 12) << "at least a head for each group";
  EXPECT_EQ(w.attention, 8) << "at least the queries of one key head";
}

TEST(ChannelWidths, MeetTheBudget) {
  for (const char* split : {"2:1:5", "1:1:1", "0:1:2", "3:0:1", "5:1:0.5"}) {
    for (const int64_t budget : {60'000, 100'000, 1'000'003}) {
      const HybridConfig config = config_of("P*3", fmt::format(R"("channel_base": 0, "block_parameters": {},
          "channel_split": "{}", "d_model": 48, "head_dim": 16, "mamba_d_head": 16)",
                                                               budget, split));
      const auto model = make_model(config);
      int64_t in_blocks = 0;
      for (const LayerSummary& layer : model->layer_summaries()) in_blocks += layer.parameters;
      EXPECT_EQ(in_blocks, count_block_parameters(config, solve_channel_widths(config)));
      // Half a step of d_ff in all blocks.
      EXPECT_LE(std::abs(in_blocks - budget), 3 * 3 * 48 * 4 / 2) << split << " " << budget;
      EXPECT_EQ(make_model(*parse_config(config.to_json(), "again"))->parameter_count(), model->parameter_count());
    }
  }
}

TEST(ChannelWidths, SaysWhenABudgetCannotBeMet) {
  const auto solve = [](const std::string& blocks, const std::string& more) {
    return [=] { config_of(blocks, R"("channel_base": 0, )" + more); };
  };
  expect_error(solve("A*4", R"("block_parameters": 100)"), {"block_parameters is 100", "narrowest"});
  expect_error(solve("H", R"("block_parameters": 100000, "channel_split": "1:1:0")"), {"cannot have more", "1:1:0"});
}

// ---- models ----

TEST(HybridModel, CountsItsParameters) {
  const int64_t d = 12, V = 11, ff = 3 * d * 20;  // d_ff = 5 * 4
  const auto count = [](const char* blocks, const char* more = "") {
    return make_model(config_of(blocks, more))->parameter_count();
  };
  const int64_t outside = 2 * V * d + d;
  EXPECT_EQ(count("A"), outside + 2 * d + 4 * d * 4 + ff);
  EXPECT_EQ(count("A", R"("arrangement": "SAM")"), outside + d + 4 * d * 4 + ff);
  EXPECT_EQ(count("H*2", R"("tie_word_embeddings": true)"),
            outside - V * d + 2 * (2 * d + (2 * d + 9 + 2 * 3 * d) + ff));
  // P has the branches of M and A, and shares their norm unless they come one after the other.
  EXPECT_EQ(count("P"), count("M") + 4 * d * 4);
  EXPECT_EQ(count("P", R"("arrangement": "S_A_M")"), count("P") + d);
}

TEST(HybridModel, EveryBlockSeesThePastOnly) {
  for (const std::string& blocks : sequences()) {
    const auto model = model_of(blocks, R"("initializer_range": 0.2)");
    const NoGrad no_grad;
    const Tensor ids = random_ids({2, 7}, 11), other = clone(ids);
    other.data<int32_t>()[5] = (other.data<int32_t>()[5] + 1) % 11;  // row 0, step 5
    const Tensor a = model->logits(ids), b = model->logits(other);
    expect_close(slice(a, 1, 0, 5), slice(b, 1, 0, 5), 1e-6, 1e-6);
    EXPECT_NE(slice(a, 1, 6, 7).to_vector<float>(), slice(b, 1, 6, 7).to_vector<float>()) << blocks;
  }
}

// Rows of 9 and 6 tokens in pieces of (4, 1), (1, 2) and (4, 3).
TEST(HybridModel, CachedPiecesEqualTheWholeSequence) {
  for (const char* arrangement : {"SA_M", "S_A_M", "SAM"}) {
    for (const std::string& blocks : sequences()) {
      const auto model =
          model_of(blocks, fmt::format(R"("initializer_range": 0.2, "arrangement": "{}", "channel_base": 8,
                                       "queries_per_kv": 2)",
                                       arrangement));
      const NoGrad no_grad;
      const Tensor ids = random_ids({2, 9}, 11);
      const Tensor whole = model->logits(ids);
      ModelCache cache = model->make_cache(2);
      std::vector<int32_t> begin{0, 0};
      for (const std::vector<int32_t>& lengths : {std::vector<int32_t>{4, 1}, {1, 2}, {4, 3}}) {
        const int64_t T = std::max(lengths[0], lengths[1]);
        const Tensor piece = zeros({2, T}, Dtype::i32);
        for (int64_t b = 0; b < 2; ++b)
          for (int32_t t = 0; t < lengths[static_cast<size_t>(b)]; ++t)
            piece.data<int32_t>()[b * T + t] = ids.data<int32_t>()[b * 9 + begin[static_cast<size_t>(b)] + t];
        const Tensor last = model->extend(piece, lengths, cache);  // [B,V]
        for (int64_t b = 0; b < 2; ++b) {
          int32_t& at = begin[static_cast<size_t>(b)];
          at += lengths[static_cast<size_t>(b)];
          expect_close(slice(last, 0, b, b + 1), reshape(slice(slice(whole, 0, b, b + 1), 1, at - 1, at), {1, 11}),
                       2e-5, 1e-4);
        }
      }
    }
  }
}

TEST(HybridModel, HasRightGradients) {
  for (const std::string& blocks : sequences()) {
    if (blocks.size() > 1 && blocks != "MMA H") continue;
    const auto model = make_model(config_of(blocks, R"("d_model": 4, "mamba_d_head": 2, "head_dim": 2,
        "mamba_d_state": 2, "mamba1_d_state": 2, "channel_base": 2, "vocab_size": 5, "channel_split": "2:2:4")"));
    ArenaOptions f64;
    f64.dtype = Dtype::f64;
    model->allocate(f64);
    const std::vector<NamedParameter> parameters = model->named_parameters();
    std::vector<Tensor> inputs;
    for (const NamedParameter& p : parameters)
      inputs.push_back(testing::random(p.sizes, Dtype::f64, static_cast<uint32_t>(inputs.size()), -0.7, 0.7));
    const Tensor ids = random_ids({2, 4}, 5), targets = random_ids({2, 4}, 5, Dtype::i32, 1);
    const GradientCheckReport report = gradient_check(
        [&](std::span<const Tensor> in) {
          for (size_t i = 0; i < in.size(); ++i) *parameters[i].tensor = in[i];
          return std::vector<Tensor>{model->loss(ids, targets)};
        },
        inputs);
    EXPECT_TRUE(report.ok) << blocks << ": " << report.message;
  }
}

TEST(HybridModel, RecomputationChangesNoBitAndKeepsLess) {
  testing::expect_recomputation_keeps_less([] { return model_of("P A H", R"("initializer_range": 0.2)"); }, 8);
}

// Every kind of block.
TEST(HybridModel, Bf16ActivationsKeepLess) {
  testing::expect_bf16_activations_keep_less(*model_of("P A H M m W", R"("initializer_range": 0.2)"), 8, 0.65, 0.05);
}

TEST(HybridModel, EstimatesTheMemoryOfAStep) {
  for (const std::string& blocks : sequences()) {
    SCOPED_TRACE(blocks);
    const auto model = model_of(blocks, R"("d_model": 32, "channel_base": 16, "max_seq_len": 128)");
    testing::expect_memory_estimate(*model, 2, 128);
  }
}

TEST(HybridModel, ArrangementsDiffer) {
  std::set<std::vector<float>> results;
  for (const char* arrangement : {"SA_M", "S_A_M", "SAM"}) {
    const auto model = model_of("P*2", fmt::format(R"("initializer_range": 0.2, "arrangement": "{}")", arrangement));
    results.insert(model->logits(random_ids({1, 6}, 11)).to_vector<float>());
  }
  EXPECT_EQ(results.size(), 3u);
}

// ---- muP ----

TEST(MuP, ScalesHiddenMatricesOnly) {
  const auto wide = make_model(config_of("H A M P m W", R"("d_model": 48, "mup_base_width": 12)"));
  EXPECT_EQ(wide->learning_rate_scales(), (std::vector<double>{1.0, 0.25}));
  std::set<std::string> hidden;
  for (const NamedParameter& p : wide->named_parameters())
    if (wide->parameter_group(p.name, p.sizes) == 1) hidden.insert(p.name);
  for (const char* name : {"layers.0.hybrid.B", "layers.0.ffn.down_proj.weight", "layers.1.attn.q_proj.weight",
                           "layers.2.ssm.in_proj.weight", "layers.4.ssm.dt_proj.weight", "layers.5.time_mix.key.weight",
                           "layers.5.channel_mix.value.weight"})
    EXPECT_EQ(hidden.count(name), 1u) << name;
  for (const char* name :
       {"embed.weight", "head.weight", "norm.weight", "layers.0.hybrid_norm.weight", "layers.0.hybrid.A",
        "layers.0.hybrid.C", "layers.2.ssm.conv1d.weight", "layers.4.ssm.A_log", "layers.5.time_mix.time_mix_k"})
    EXPECT_EQ(hidden.count(name), 0u) << name;
  // Without muP there is one group, and one pass of the optimiser.
  const auto plain = model_of("A M");
  EXPECT_EQ(plain->parameters().groups().size(), 1u);
  EXPECT_EQ(model_of("A M", R"("mup_base_width": 6)")->parameters().groups().size(), 2u);
}

double deviation_of(const LanguageModel& model, const char* name) {
  double squares = 0;
  const std::vector<double> values = model.parameters().find(name)->to_vector<double>();
  for (const double value : values) squares += value * value;
  return std::sqrt(squares / static_cast<double>(values.size()));
}

TEST(MuP, StartsHiddenMatricesByTheirInputs) {
  const auto model = model_of("A", R"("d_model": 64, "channel_base": 20, "mup_base_width": 16)");
  EXPECT_NEAR(deviation_of(*model, "layers.0.attn.q_proj.weight"), 0.02 / 2, 0.001);  // m = 4
  EXPECT_NEAR(deviation_of(*model, "embed.weight"), 0.02, 0.002);
  // B starts by a scale of its own, which initializer_range leaves alone.
  const auto i3 =
      model_of("H", R"("d_model": 64, "hybrid_d_state": 32, "mup_base_width": 16, "initializer_range": 0.1)");
  EXPECT_NEAR(deviation_of(*i3, "layers.0.hybrid.B"), 0.01 / 2, 0.0003);
  EXPECT_NEAR(deviation_of(*i3, "layers.0.hybrid.C"), 0.01, 0.0006);
  EXPECT_NEAR(deviation_of(*i3, "layers.0.ffn.up_proj.weight"), 0.1 / 2, 0.004);
}

// How far five steps of AdamW on one batch move the residual stream after each block, and the logits: root mean square.
struct Coordinates {
  std::vector<double> blocks;
  double logits = 0;
};

Coordinates coordinates(int64_t width, bool mup) {
  const auto model = make_model(
      config_of("M A H", fmt::format(R"("vocab_size": 32, "d_model": {0}, "channel_base": {1}, "head_dim": 16,
                           "mamba_d_head": 16, "initializer_range": 0.17, "channel_split": "2:2:4"{2})",
                                     width, width / 2, mup ? R"(, "mup_base_width": 32)" : "")));
  model->allocate();
  model->parameters().initialize(1);
  model->parameters().allocate_gradients();
  OptimizerOptions options;
  options.learning_rate_scales = model->learning_rate_scales();
  Optimizer optimizer(model->parameters(), options);
  const Tensor ids = random_ids({4, 16}, 32), targets = random_ids({4, 16}, 32, Dtype::i32, 1);
  const auto size_of = [](const Tensor& x) {
    double squares = 0;
    for (const float value : x.to_vector<float>()) squares += static_cast<double>(value) * static_cast<double>(value);
    return std::sqrt(squares / static_cast<double>(x.numel()));
  };
  const auto& hybrid = dynamic_cast<const HybridModel&>(*model);
  const auto outputs = [&] {
    const NoGrad no_grad;
    std::vector<Tensor> found = hybrid.block_outputs(ids);
    found.push_back(model->logits(ids));
    return found;
  };
  const std::vector<Tensor> before = outputs();
  for (int64_t step = 0; step < 5; ++step) {
    StepState state = optimizer.inputs(step, 0.02);
    model->parameters().zero_gradients();
    backward(model->loss(ids, targets));
    optimizer.measure(&state);
    optimizer.update(&state);
  }
  const std::vector<Tensor> after = outputs();
  Coordinates result;
  const NoGrad no_grad;
  for (size_t i = 0; i + 1 < after.size(); ++i) result.blocks.push_back(size_of(sub(after[i], before[i])));
  result.logits = size_of(sub(after.back(), before.back()));
  return result;
}

// The coordinate check: how far five steps move the activations is the same at every width with muP, and grows with the
// width without it.
TEST(MuP, CoordinateCheck) {
  for (const bool mup : {true, false}) {
    std::vector<std::vector<double>> by_width;  // of blocks 0, 1, 2 and the logits
    for (const int64_t width : {32, 64, 128, 256}) {
      const Coordinates c = coordinates(width, mup);
      by_width.push_back(c.blocks);
      by_width.back().push_back(c.logits);
    }
    for (size_t k = 0; k < by_width[0].size(); ++k) {
      std::vector<double> sizes;
      for (const std::vector<double>& at : by_width) sizes.push_back(at[k]);
      const double growth = sizes.back() / sizes.front();
      const auto [least, most] = std::minmax_element(sizes.begin(), sizes.end());
      if (mup) EXPECT_LT(*most / *least, 1.5) << k << ": " << fmt::format("{:.3f}", fmt::join(sizes, " "));
      else EXPECT_GT(growth, 3) << k << ": " << fmt::format("{:.3f}", fmt::join(sizes, " "));
    }
  }
}

}  // namespace
}  // namespace vigor
