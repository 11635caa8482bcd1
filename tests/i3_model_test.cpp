// The i3 family without PyTorch: parameter counts, configurations, training behaviour.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "autograd/engine.h"
#include "autograd/variable.h"
#include "models/families.h"
#include "models/i3/i3_config.h"
#include "tests/support/training_checks.h"

namespace vigor {
namespace {

using testing::expect_close;
using testing::expect_error;
using testing::random_ids;

int64_t parameters_of(const char* preset, const ConfigOverrides& overrides = {}) {
  const auto config = preset_config(preset);
  apply_overrides(*config, overrides);
  return make_model(*config)->parameter_count();
}

ConfigOverrides with_vocabulary(int64_t V) {
  ConfigOverrides overrides;
  overrides.vocab_size = V;
  return overrides;
}

TEST(I3Presets, HaveThePublishedParameterCounts) {
  EXPECT_EQ(parameters_of("i3-80m"), 76861160);
  EXPECT_EQ(parameters_of("i3-80m", with_vocabulary(41320)), 82765160);
  EXPECT_EQ(parameters_of("i3-22m"), 22613362);
  // d = 64, n = 8: a layer has 4 d + (8 d^2 + 5 d) and 2 d + n^2 + 2 n d or 4 d^2 + 4 d.
  const int64_t d = 64, n = 8, V = 100, T = 64;
  const int64_t common = 4 * d + 8 * d * d + 5 * d;
  EXPECT_EQ(parameters_of("i3-tiny", with_vocabulary(V)),
            2 * V * d + V + T * d + 2 * d + 3 * common + 2 * (2 * d + n * n + 2 * n * d) + 4 * d * d + 4 * d);
}

TEST(I3Presets, CanBeOverridden) {
  const auto config = preset_config("i3-80m");
  ConfigOverrides overrides;
  overrides.max_seq_len = 1024;
  overrides.layers = 8;
  apply_overrides(*config, overrides);
  EXPECT_EQ(config->max_seq_len, 1024);
  EXPECT_EQ(config->layer_count(), 8);
  const auto& i3 = dynamic_cast<const I3Config&>(*config);
  EXPECT_EQ(i3.count(I3LayerKind::hybrid), 5);
  EXPECT_EQ(i3.count(I3LayerKind::attention), 3);
  EXPECT_EQ(parameters_of("i3-80m", overrides), make_model(*config)->parameter_count());
  overrides.layers = -3;
  expect_error([&] { apply_overrides(*config, overrides); }, {"layers"});
  overrides.layers = 0;
  overrides.vocab_size = -1;
  expect_error([&] { apply_overrides(*config, overrides); }, {"vocab_size", "-1"});
  expect_error([] { preset_config("i3-81m"); }, {"i3-81m", "i3-80m", "i3-22m", "i3-tiny"});
}

TEST(I3Config, KeepsUnknownKeysAndReadsBack) {
  const std::string text = R"({"architectures": ["I3ForCausalLM"], "model_type": "i3", "vocab_size": 11, "d_model": 8,
    "n_layers": 16, "n_heads": 2, "max_seq_len": 9, "d_state": 3, "tokenizer_type": "chunk", "torch_dtype": "float32",
    "dataset_sources": ["a", {"b": [1.5, null, true]}]})";
  const auto config = parse_config(text, "config.json");
  EXPECT_EQ(config->layer_count(), 16);  // 10 + 6, as both are absent
  config->vocab_size = 12;
  const std::string written = config->to_json();
  EXPECT_NE(written.find("\"I3ForCausalLM\""), std::string::npos);
  EXPECT_NE(written.find("\"vocab_size\": 12"), std::string::npos);
  EXPECT_LT(written.find("torch_dtype"), written.find("dataset_sources"));
  EXPECT_EQ(written.find("layer_types"), std::string::npos);
  EXPECT_EQ(written.find("ffn_rank"), std::string::npos);
  EXPECT_EQ(parse_config(written, "again")->to_json(), written);
  for (const std::string& name : preset_names()) {
    const std::string preset = preset_config(name)->to_json();
    EXPECT_EQ(parse_config(preset, name)->to_json(), preset);
    EXPECT_EQ(make_model(*parse_config(preset, name))->parameter_count(), parameters_of(name.c_str()));
  }
}

// A valid configuration with one part replaced.
std::string config_text(const std::string& from = "", const std::string& to = "") {
  std::string text =
      R"({"model_type":"i3","vocab_size":11,"d_model":8,"n_layers":3,"n_heads":2,"max_seq_len":9,"d_state":3,)"
      R"("conv_layers":2,"attn_layers":1})";
  if (!from.empty()) text.replace(text.find(from), from.size(), to);
  return text;
}

TEST(I3Config, NamesWhatIsWrong) {
  const auto parse = [](const std::string& from, const std::string& to) {
    return [=] { parse_config(config_text(from, to), "c.json"); };
  };
  parse("", "")();
  expect_error(parse("\"vocab_size\":11", "\"vocab_size\":\"11\""), {"c.json", "vocab_size", "integer", "string"});
  expect_error(parse("\"vocab_size\":11", "\"vocab_size\":11.5"), {"vocab_size", "fraction"});
  expect_error(parse("\"vocab_size\":11,", ""), {"vocab_size is missing"});
  expect_error(parse("11", "1e30"), {"vocab_size"});
  expect_error(parse("11", "99999999999999999999"), {"vocab_size"});
  expect_error(parse("\"n_heads\":2", "\"n_heads\":3"), {"n_heads must divide d_model", "3", "8"});
  expect_error(parse("\"n_layers\":3", "\"n_layers\":4"), {"n_layers is 4", "conv_layers (2)", "attn_layers (1)"});
  expect_error(parse("\"conv_layers\":2,", ""), {"conv_layers (10, the default)"});
  expect_error(parse("\"d_state\":3", "\"d_state\":0"), {"d_state", "0"});
  expect_error(parse("\"max_seq_len\":9", "\"max_seq_len\":-1"), {"max_seq_len", "-1"});
  expect_error(parse("}", ",\"layer_types\":[\"hybrid\",\"attention\"]}"),
               {"conv_layers is 2, but layer_types has 1", "n_layers is 3, but layer_types lists 2"});
  expect_error(parse("}", ",\"layer_types\":[\"hybrid\",\"hybrid\",\"lstm\"]}"), {"layer_types"});
  expect_error(parse("}", ",\"layer_types\":[1]}"), {"layer_types", "list of strings"});
  expect_error(parse("}", ",\"tokenizer_type\":\"words\"}"), {"tokenizer_type", "words"});
  expect_error(parse("\"i3\"", "\"i4\""), {"model_type", "i4", "known: i3"});
  expect_error(parse("\"model_type\":\"i3\",", ""), {"model_type is missing"});
  // All at once.
  expect_error([] { parse_config(R"({"model_type":"i3","d_model":"x"})", "c.json"); },
               {"vocab_size is missing", "d_model must be an integer", "n_heads is missing", "max_seq_len is missing"});
  expect_error([] { parse_config("[1]", "c.json"); }, {"c.json", "object"});
  expect_error([] { parse_config("{\"a\":", "c.json"); }, {"c.json", "JSON"});
  const std::string deep = "{\"a\":" + std::string(100000, '[') + std::string(100000, ']') + "}";
  expect_error([&] { parse_config(deep, "c.json"); }, {"nested"});
}

TEST(I3Config, ArchitectureStandsInForAMissingModelType) {
  const auto config = parse_config(config_text("\"model_type\":\"i3\"", "\"architectures\":[\"i3Model\"]"), "c.json");
  EXPECT_EQ(config->model_type(), "i3");
}

// ---- models ----

std::unique_ptr<LanguageModel> small_model(const std::string& layer_types, uint64_t seed = 1) {
  const auto config = parse_config(R"({"model_type":"i3","vocab_size":13,"d_model":12,"n_heads":3,"max_seq_len":10,)"
                                   R"("d_state":4,"layer_types":)" +
                                       layer_types + "}",
                                   "test");
  auto model = make_model(*config);
  model->allocate();
  model->parameters().initialize(seed);
  return model;
}

TEST(I3Model, TakesLayersInAnyOrder) {
  std::set<std::vector<float>> results;
  for (const char* types : {R"(["hybrid"])", R"(["attention"])", R"(["hybrid","attention"])",
                            R"(["attention","hybrid"])", R"(["attention","hybrid","attention","hybrid"])"}) {
    const auto model = small_model(types);
    const Tensor logits = model->logits(random_ids({2, 7}, 13));
    EXPECT_EQ(logits.shape(), (Shape{2, 7, 13}));
    results.insert(logits.to_vector<float>());
  }
  EXPECT_EQ(results.size(), 5u);
}

TEST(I3Model, IsCausalAndTakesOneToken) {
  const auto model = small_model(R"(["hybrid","attention"])");
  const NoGrad no_grad;
  const Tensor ids = random_ids({1, 8}, 13);
  const Tensor whole = model->logits(ids);
  for (const int64_t T : {1, 5}) {
    const Tensor start = ids.with_view(sliced(ids, 1, 0, T, 1, "test"));
    expect_close(model->logits(clone(start)), clone(whole.with_view(sliced(whole, 1, 0, T, 1, "test"))), 1e-6, 1e-5);
  }
}

TEST(I3Model, ChecksItsInput) {
  const auto model = small_model(R"(["hybrid"])");
  expect_error([&] { model->logits(random_ids({1, 11}, 13)); }, {"10", "11", "max_seq_len"});
  expect_error([&] { model->logits(random_ids({4}, 13)); }, {"[B,T]", "[4]"});
  expect_error([&] { model->loss(random_ids({1, 4}, 13), random_ids({1, 3}, 13)); }, {"targets", "[1,4]", "[1,3]"});
  expect_error([&] { model->logits(full({1, 4}, 13, Dtype::i32)); }, {"13"});
  expect_error<std::logic_error>([&] { model->allocate(); }, {"allocate"});
  expect_error<std::logic_error>([] { make_model(*preset_config("i3-tiny"))->parameters(); }, {"allocate"});
}

TEST(I3Model, LossIsTheCrossEntropyOfTheLogits) {
  const auto model = small_model(R"(["hybrid","attention"])");
  const NoGrad no_grad;
  const Tensor ids = random_ids({3, 6}, 13), targets = random_ids({3, 6}, 13, Dtype::i32, 1);
  targets.data<int32_t>()[4] = -1;
  const std::vector<double> logits = model->logits(ids).to_vector<double>();
  double total = 0;
  for (size_t i = 0; i < 18; ++i) {
    if (i == 4) continue;
    double sum = 0;
    for (size_t v = 0; v < 13; ++v) sum += std::exp(logits[i * 13 + v]);
    total += std::log(sum) - logits[i * 13 + static_cast<size_t>(targets.data<int32_t>()[i])];
  }
  EXPECT_NEAR(model->loss(ids, targets).item<float>(), total / 17, 1e-5);
}

TEST(I3Model, LearnsOneBatchByHeart) {
  const double first = testing::expect_learns_by_heart(*small_model(R"(["hybrid","attention"])"), 10, 150, 1e-2);
  EXPECT_NEAR(first, std::log(13.0), 0.2);  // nearly uniform to begin with
}

TEST(I3Model, RecomputationChangesNoBitAndKeepsLess) {
  testing::expect_recomputation_keeps_less([] { return small_model(R"(["hybrid","attention","hybrid"])"); }, 10);
}

TEST(I3Model, Bf16ActivationsKeepLess) {
  testing::expect_bf16_activations_keep_less(*small_model(R"(["hybrid","attention","hybrid"])"), 10, 0.65, 0.03);
}

TEST(I3Model, TwoRunsAreBitIdentical) {
  std::vector<std::vector<float>> weights;
  for (int run = 0; run < 2; ++run) {
    const auto model = small_model(R"(["hybrid","attention"])", 4);
    const testing::TrainingBatch batch(*model, 10);
    testing::Recipe recipe(*model);
    for (int step = 0; step < 5; ++step) {
      recipe.begin(step);
      recipe.run(batch.ids, batch.targets);
    }
    weights.push_back(model->parameters().groups()[0].values.to_vector<float>());
  }
  EXPECT_EQ(weights[0], weights[1]);
}

TEST(I3Model, AsksForNoMemoryFromTheThirdStep) {
  testing::expect_no_memory_from_the_third_step(*small_model(R"(["hybrid","attention"])"), 10);
}

// ---- reports ----

TEST(I3Reports, CountTheFloatingPointOperationsOfThePublishedModel) {
  const auto model = make_model(*preset_config("i3-80m"));
  const double gemm_weights = 58390528, tokens = 1024;
  EXPECT_NEAR(model->training_flops_per_token(256) * tokens / 1e9, (6 * gemm_weights * tokens) / 1e9 + 4.9, 0.1);
  const std::vector<LayerSummary> layers = model->layer_summaries();
  ASSERT_EQ(layers.size(), 16u);
  EXPECT_EQ(layers[9].kind, "hybrid");
  EXPECT_EQ(layers[10].kind, "attention");
  EXPECT_EQ(layers[10].name, "layers.10");
}

TEST(I3Reports, EstimateTheMemoryOfAStep) {
  const auto model = make_model(*preset_config("i3-tiny"));
  model->allocate();
  model->parameters().initialize(1);
  testing::expect_memory_estimate(*model, 2, 64);
}

}  // namespace
}  // namespace vigor
