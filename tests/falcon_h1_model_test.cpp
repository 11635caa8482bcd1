// The Falcon-H1 family without transformers: parameter counts, configurations, generation, training behaviour.
#include <gtest/gtest.h>

#include <cmath>

#include "autograd/engine.h"
#include "autograd/variable.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/views/views.h"
#include "models/falcon_h1/falcon_h1_config.h"
#include "models/families.h"
#include "models/generation.h"
#include "models/hf/model_folder.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/training_checks.h"

namespace vigor {
namespace {

using testing::expect_close;
using testing::expect_equal;
using testing::expect_error;
using testing::random_ids;

// ---- presets ----

TEST(FalconH1Presets, HaveThePublishedParameterCounts) {
  const std::vector<std::pair<const char*, int64_t>> published = {
      {"falcon-h1-tiny-90m", 91131072}, {"falcon-h1-0.5b", 521411104},       {"falcon-h1-1.5b", 1554789760},
      {"falcon-h1-3b", 3149256192},     {"falcon-h1-1.5b-deep", 1554773392}, {"falcon-h1-7b", 7585513568},
      {"falcon-h1-34b", 33642221312}};
  EXPECT_EQ(published.size(), FalconH1Config::preset_names().size());
  for (const auto& [name, parameters] : published) {
    const auto config = preset_config(name);
    EXPECT_EQ(make_model(*config)->parameter_count(), parameters) << name;
    dynamic_cast<FalconH1Config&>(*config).norm = true;  // one weight a channel of the scan
    const auto& falcon = dynamic_cast<const FalconH1Config&>(*config);
    EXPECT_EQ(make_model(*config)->parameter_count(),
              parameters + falcon.layers * falcon.mamba_heads * falcon.mamba_head_width);
  }
}

TEST(FalconH1Presets, ReadBackAsTheyAreWritten) {
  for (const std::string& name : FalconH1Config::preset_names()) {
    const std::string text = preset_config(name)->to_json();
    EXPECT_EQ(parse_config(text, name)->to_json(), text);
    EXPECT_NE(text.find("\"FalconH1ForCausalLM\""), std::string::npos);
  }
  const auto config = preset_config("falcon-h1-0.5b");
  EXPECT_EQ(dynamic_cast<const FalconH1Config&>(*config).multipliers.ssm[1], 0.25);
  ConfigOverrides overrides;
  overrides.layers = 3;
  overrides.vocab_size = 100;
  overrides.max_seq_len = 512;
  apply_overrides(*config, overrides);
  EXPECT_EQ(config->layer_count(), 3);
  EXPECT_EQ(make_model(*config)->parameter_count(), 3 * 12618568 + 2 * 100 * 1024 + 1024);
}

// ---- configurations ----

const FalconH1Config& parsed(const std::string& keys, std::unique_ptr<ModelConfig>& holder) {
  holder = parse_config(R"({"model_type":"falcon_h1")" + keys + "}", "c.json");
  return dynamic_cast<const FalconH1Config&>(*holder);
}

TEST(FalconH1Config, AbsentKeysHaveTheDefaultsOfTransformers) {
  std::unique_ptr<ModelConfig> holder;
  const FalconH1Config& c = parsed("", holder);
  EXPECT_EQ(c.vocab_size, 128000);
  EXPECT_EQ(c.d_model, 4096);
  EXPECT_EQ(c.hidden, 14336);
  EXPECT_EQ(c.layers, 32);
  EXPECT_EQ(c.heads, 32);
  EXPECT_EQ(c.kv_heads, 8);
  EXPECT_EQ(c.head_width, 128);
  EXPECT_EQ(c.max_seq_len, 8192);
  EXPECT_EQ(c.mamba_heads, 128);
  EXPECT_EQ(c.mamba_head_width, 8);  // mamba_d_ssm 1024
  EXPECT_EQ(c.states, 256);
  EXPECT_EQ(c.groups, 1);
  EXPECT_EQ(c.conv_width, 4);
  EXPECT_TRUE(c.conv_bias && c.norm_before_gate);
  EXPECT_FALSE(c.norm || c.in_bias || c.out_bias || c.attention_bias || c.mlp_bias || c.tied);
  EXPECT_EQ(c.rope_theta, 10000);
  EXPECT_EQ(c.multipliers.ssm, (std::array<double, 5>{1, 1, 1, 1, 1}));
  EXPECT_EQ(c.bos, 1);
  EXPECT_EQ(c.pad, 0);
  EXPECT_EQ(c.eos, std::vector<int64_t>{2});
}

TEST(FalconH1Config, ReadsWhatTransformersWritesOfEachKind) {
  std::unique_ptr<ModelConfig> holder;
  EXPECT_EQ(parsed(R"(,"mamba_d_ssm":null,"mamba_expand":3,"mamba_d_head":"auto")", holder).mamba_head_width, 96);
  EXPECT_EQ(parsed(R"(,"num_key_value_heads":null)", holder).kv_heads, 32);
  EXPECT_EQ(parsed(R"(,"rope_theta":100000000000,"rope_scaling":null)", holder).rope_theta, 1e11);
  EXPECT_EQ(parsed(R"(,"rope_parameters":{"rope_theta":5e5,"rope_type":"default"})", holder).rope_theta, 5e5);
  EXPECT_EQ(parsed(R"(,"eos_token_id":[11,228])", holder).eos, (std::vector<int64_t>{11, 228}));
  EXPECT_TRUE(parsed(R"(,"eos_token_id":null)", holder).eos.empty());
  EXPECT_FALSE(parsed(R"(,"pad_token_id":null)", holder).pad.has_value());
  EXPECT_FALSE(parsed(R"(,"mamba_conv_bias":null)", holder).conv_bias);
  for (const char* infinity : {"Infinity", R"({"__float__":"Infinity"})"}) {
    const FalconH1Config& c = parsed(std::string(R"(,"time_step_limit":[0.001,)") + infinity + "]", holder);
    EXPECT_EQ(c.dt_min, 0.001);
    EXPECT_TRUE(std::isinf(c.dt_max));
    const std::string text = c.to_json();
    EXPECT_EQ(parse_config(text, "again")->to_json(), text);
    EXPECT_NE(text.find("__float__"), std::string::npos);
  }
}

TEST(FalconH1Config, KeepsUnknownKeys) {
  std::unique_ptr<ModelConfig> holder;
  parsed(R"(,"num_logits_to_keep":1,"torch_dtype":"bfloat16","note":{"Infinity":["a\"Infinity",NaN,null]},)"
         R"("rope_parameters":{"rope_theta":7,"rope_type":"default","other":[1]})",
         holder);
  const std::string text = holder->to_json();
  EXPECT_LT(text.find("num_logits_to_keep"), text.find("\"note\""));
  EXPECT_NE(text.find(R"("a\"Infinity")"), std::string::npos) << text;
  EXPECT_NE(text.find("\"other\""), std::string::npos);
  EXPECT_EQ(text.find("\"rope_theta\": 10000"), std::string::npos);
  EXPECT_EQ(parse_config(text, "again")->to_json(), text);
}

TEST(FalconH1Config, NamesWhatIsWrong) {
  std::unique_ptr<ModelConfig> holder;
  const auto parse = [&](const char* keys) { return [&holder, keys] { parsed(keys, holder); }; };
  expect_error(parse(R"(,"mamba_n_heads":24,"mamba_d_head":64,"mamba_d_ssm":1000)"),
               {"c.json", "mamba_n_heads * mamba_d_head must be mamba_d_ssm", "24 * 64", "1000"});
  expect_error(parse(R"(,"mamba_n_heads":24,"mamba_d_ssm":1000)"), {"mamba_n_heads", "mamba_d_ssm", "1000"});
  expect_error(parse(R"(,"mamba_n_groups":3)"), {"mamba_n_groups must divide mamba_n_heads", "3 and 128"});
  expect_error(parse(R"(,"num_key_value_heads":5)"),
               {"num_key_value_heads must divide num_attention_heads", "5 and 32"});
  expect_error(parse(R"(,"num_attention_heads":24)"), {"num_attention_heads must divide hidden_size", "head_dim"});
  expect_error(parse(R"(,"head_dim":33)"), {"head_dim must be even", "33"});
  expect_error(parse(R"(,"head_dim":512)"), {"head_dim", "256", "512"});
  expect_error(parse(R"(,"hidden_act":"gelu")"), {"hidden_act", "silu", "gelu"});
  expect_error(parse(R"(,"rope_scaling":{"rope_type":"yarn","factor":4})"), {"rope_scaling", "rope_type", "yarn"});
  expect_error(parse(R"(,"rope_scaling":{"type":"linear","factor":4})"), {"rope_scaling", "linear"});
  expect_error(parse(R"(,"rope_parameters":{"rope_type":"llama3"})"), {"rope_parameters", "llama3"});
  expect_error(parse(R"(,"rope_parameters":[1])"), {"rope_parameters must be an object", "list"});
  expect_error(parse(R"(,"rope_theta":-1)"), {"rope_theta", "-1"});
  expect_error(parse(R"(,"time_step_limit":[0.5,0.1])"), {"time_step_limit", "0.5", "0.1"});
  expect_error(parse(R"(,"time_step_limit":[0,NaN])"), {"time_step_limit", "nan"});
  expect_error(parse(R"(,"time_step_limit":[0])"), {"time_step_limit must hold 2 numbers"});
  expect_error(parse(R"(,"ssm_multipliers":[1,1,1,1])"), {"ssm_multipliers must hold 5 numbers; got 4"});
  expect_error(parse(R"(,"mlp_multipliers":"x")"), {"mlp_multipliers", "list of numbers"});
  expect_error(parse(R"(,"key_multiplier":Infinity)"), {"key_multiplier must be finite"});
  expect_error(parse(R"(,"attention_dropout":0.1)"), {"attention_dropout"});
  expect_error(parse(R"(,"mamba_d_conv":9)"), {"mamba_d_conv", "8", "9"});
  expect_error(parse(R"(,"mamba_d_head":"big")"), {"mamba_d_head must be an integer"});
  expect_error(parse(R"(,"mamba_d_ssm":null,"mamba_expand":-9223372036854775807)"), {"mamba_expand"});
  expect_error(parse(R"(,"pad_token_id":128000)"), {"pad_token_id", "127999"});
  expect_error(parse(R"(,"eos_token_id":[1,"2"])"), {"eos_token_id", "list of integers"});
  // All at once.
  expect_error(parse(R"(,"vocab_size":0,"num_hidden_layers":-1,"mamba_n_groups":3,"num_key_value_heads":5)"),
               {"vocab_size", "num_hidden_layers", "mamba_n_groups", "num_key_value_heads"});
}

// ---- models ----

std::unique_ptr<LanguageModel> small_model(const std::string& keys = "", uint64_t seed = 1, Dtype dtype = Dtype::f32) {
  const auto config = parse_config(
      R"({"model_type":"falcon_h1","vocab_size":13,"hidden_size":16,"intermediate_size":20,"num_hidden_layers":2,)"
      R"("num_attention_heads":4,"num_key_value_heads":2,"max_position_embeddings":40,"mamba_d_ssm":24,)"
      R"("mamba_n_heads":4,"mamba_d_head":6,"mamba_n_groups":2,"mamba_d_state":5,"pad_token_id":null,)"
      R"("embedding_multiplier":20,"ssm_multipliers":[0.7,20,20,20,0.9],"ssm_in_multiplier":1.5,)"
      R"("ssm_out_multiplier":3,"attention_out_multiplier":5,"key_multiplier":4,"initializer_range":0.1)" +
          keys + "}",
      "test");
  auto model = make_model(*config);
  ArenaOptions options;
  options.dtype = dtype;
  model->allocate(options);
  model->parameters().initialize(seed);
  return model;
}

TEST(FalconH1Model, StartsAsTheFamilyDoes) {
  const auto model = small_model(R"(,"mamba_rms_norm":true)");
  const ParameterArena& parameters = model->parameters();
  expect_close(*parameters.find("model.layers.1.mamba.A_log"),
               from_values<double>({0, std::log(2.0), std::log(3.0), std::log(4.0)}, {4}), 1e-6);
  expect_equal(*parameters.find("model.layers.1.mamba.D"), full({4}, 1));
  expect_equal(*parameters.find("model.layers.0.mamba.norm.weight"), full({24}, 1));
  expect_equal(*parameters.find("model.layers.0.mamba.conv1d.bias"), zeros({44}));
  EXPECT_EQ(parameters.find("model.layers.0.mamba.conv1d.weight")->shape(), (Shape{44, 1, 4}));
  std::vector<float> steps;
  for (int layer = 0; layer < 2; ++layer)
    for (const float bias : parameters.find(fmt::format("model.layers.{}.mamba.dt_bias", layer))->to_vector<float>())
      steps.push_back(std::log1p(std::exp(bias)));
  for (const float dt : steps) {
    EXPECT_GE(dt, 0.001f * 0.999f);
    EXPECT_LE(dt, 0.1f * 1.001f);
  }
  EXPECT_GT(*std::max_element(steps.begin(), steps.end()), 3 * *std::min_element(steps.begin(), steps.end()));
  double square = 0;
  for (const float w : parameters.find("model.layers.0.feed_forward.up_proj.weight")->to_vector<float>())
    square += w * w / 320;
  EXPECT_NEAR(std::sqrt(square), 0.1, 0.01);  // initializer_range
}

TEST(FalconH1Model, KeepsRecurrencesAndNormsInFullPrecision) {
  const auto model = small_model(R"(,"mamba_rms_norm":true)", 1, Dtype::bf16);
  const std::vector<const char*> full = {"A_log", "mamba.D", "dt_bias", "norm", "conv1d"};
  for (const ArenaSlot& slot : model->parameters().parameters()) {
    const bool is_full = std::any_of(full.begin(), full.end(),
                                     [&](const char* part) { return slot.name.find(part) != std::string::npos; });
    EXPECT_EQ(slot.tensor.dtype(), is_full ? Dtype::f32 : Dtype::bf16) << slot.name;
  }
  const auto exact = small_model(R"(,"mamba_rms_norm":true)");
  const NoGrad no_grad;
  const Tensor ids = random_ids({2, 20}, 13);
  EXPECT_NEAR(model->loss(ids, ids).item<float>(), exact->loss(ids, ids).item<float>(), 0.02);
}

Tensor columns(const Tensor& ids, int64_t begin, int64_t end) {
  return clone(ids.with_view(sliced(ids.view(), 1, begin, end, 1, "test")));
}

// Any way to cut a prompt gives the same logits, and then the same tokens.
TEST(FalconH1Generation, PiecesOfAnySizeGiveTheWhole) {
  const auto model = small_model();
  const NoGrad no_grad;
  const Tensor ids = random_ids({2, 30}, 13);
  const Tensor whole = model->logits(ids);
  for (const int32_t piece : {1, 2, 3, 7, 30}) {
    SCOPED_TRACE(piece);
    ModelCache cache = model->make_cache(2, 32);
    for (int32_t begin = 0; begin < 30; begin += piece) {
      const int32_t end = std::min(begin + piece, 30);
      const std::vector<int32_t> lengths(2, end - begin);
      const Tensor logits = model->extend(columns(ids, begin, end), lengths, cache);
      expect_close(logits, reshape(columns(whole, end - 1, end), {2, 13}), 2e-5, 2e-5);
    }
  }
}

// Rows of different lengths side by side do not see each other or the padding.
TEST(FalconH1Generation, RaggedRowsAreAsAlone) {
  const auto model = small_model();
  const NoGrad no_grad;
  const Tensor ids = random_ids({3, 12}, 13);
  const std::vector<std::vector<int32_t>> rounds = {{12, 1, 5}, {2, 3, 1}, {1, 1, 1}};
  ModelCache together = model->make_cache(3, 20);
  std::vector<ModelCache> alone;
  for (int i = 0; i < 3; ++i) alone.push_back(model->make_cache(1, 20));
  for (const std::vector<int32_t>& lengths : rounds) {
    const std::vector<float> logits = model->extend(ids, lengths, together).to_vector<float>();
    for (size_t b = 0; b < 3; ++b) {
      const auto row = static_cast<int64_t>(b);
      const Tensor own = slice(columns(ids, 0, lengths[b]), 0, row, row + 1);
      const Tensor expected = model->extend(own, std::span(&lengths[b], 1), alone[b]);
      expect_close(from_values(std::vector<float>(logits.begin() + row * 13, logits.begin() + (row + 1) * 13), {1, 13}),
                   expected, 2e-5, 2e-5);
    }
  }
}

TEST(FalconH1Generation, ChoosesWhatFullRecomputationChooses) {
  const auto model = small_model();
  const std::vector<std::vector<int32_t>> prompts = {{1, 2, 3, 4, 5, 6, 7}, {8, 9}};
  GenerateOptions options;
  options.max_new_tokens = 20;
  options.sampling.temperature = 0;
  const std::vector<std::vector<int32_t>> generated = generate(*model, prompts, options);
  const NoGrad no_grad;
  for (size_t b = 0; b < prompts.size(); ++b) {
    std::vector<int32_t> context = prompts[b];
    for (size_t i = 0; i < 20; ++i) {
      const int64_t T = static_cast<int64_t>(context.size());
      const std::vector<float> logits =
          columns(model->logits(from_values(context, {1, T})), T - 1, T).to_vector<float>();
      const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
      ASSERT_EQ(generated[b][i], best) << "row " << b << ", token " << i;
      context.push_back(static_cast<int32_t>(best));
    }
  }
}

TEST(FalconH1Generation, TheCacheOfTheScanDoesNotGrow) {
  const auto model = small_model();
  const size_t small = model->make_cache(1, 8).nbytes(), large = model->make_cache(1, 40).nbytes();
  EXPECT_EQ(large - small, 2u * 32 * 2 * 2 * 4 * 4);  // keys and values of 2 layers: 32 more tokens, 2 heads of 4
}

// ---- tied embeddings ----

TEST(FalconH1Tied, BothUsesOfTheEmbeddingShareOneGradient) {
  const auto tied = small_model(R"(,"tie_word_embeddings":true)", 1, Dtype::f64);
  const auto untied = small_model("", 1, Dtype::f64);
  const Tensor& embedding = *tied->parameters().find("model.embed_tokens.weight");
  copy(*untied->parameters().find("lm_head.weight"), embedding);
  EXPECT_EQ(tied->parameters().find("lm_head.weight"), nullptr);
  const Tensor ids = random_ids({2, 9}, 13), targets = random_ids({2, 9}, 13, Dtype::i32, 1);
  for (LanguageModel* model : {tied.get(), untied.get()}) {
    model->parameters().allocate_gradients();
    for (int step = 0; step < 2; ++step) {  // the second overwrites the first
      model->parameters().zero_gradients();
      backward(model->loss(ids, targets));
    }
  }
  const Tensor expected = add(grad(*untied->parameters().find("model.embed_tokens.weight")),
                              grad(*untied->parameters().find("lm_head.weight")));
  expect_close(grad(embedding), expected, 1e-12, 1e-12);
}

TEST(FalconH1Tied, AHeadInTheFileIsIgnored) {
  const testing::TemporaryFolder folder;
  const auto model = small_model(R"(,"tie_word_embeddings":true)");
  save_model_folder(folder.path() / "m", *model, nullptr);
  LoadOptions options;
  options.need_tokenizer = false;
  std::vector<NamedView> views;
  for (const ArenaSlot& slot : model->parameters().parameters()) views.push_back({slot.name, slot.tensor.view()});
  const Tensor head = full({13, 16}, 7);
  views.push_back({"lm_head.weight", head.view()});
  write_safetensors(folder.path() / "m" / "model.safetensors", views);
  const ModelFolder loaded = load_model_folder(folder.path() / "m", options);
  for (const ArenaSlot& slot : model->parameters().parameters())
    expect_equal(*loaded.model->parameters().find(slot.name), slot.tensor);
  // Other names are as wrong as ever, and all are listed.
  views.push_back({"model.layers.2.mamba.D", head.view()});
  views.erase(views.begin());
  write_safetensors(folder.path() / "m" / "model.safetensors", views);
  expect_error([&] { load_model_folder(folder.path() / "m", options); },
               {"1 missing: model.embed_tokens.weight", "1 unexpected: model.layers.2.mamba.D"});
}

TEST(FalconH1Folder, SavesAndLoads) {
  const testing::TemporaryFolder folder;
  const auto model = small_model(R"(,"torch_dtype":"bfloat16","mamba_rms_norm":true,"attention_bias":true)");
  SaveOptions save;
  save.max_shard_bytes = 4000;
  LoadOptions load;
  load.need_tokenizer = false;
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    save.dtype = dtype;
    save_model_folder(folder.path() / "m", *model, nullptr, save);
    EXPECT_TRUE(std::filesystem::exists(folder.path() / "m" / "model.safetensors.index.json"));
    const std::string text = read_text(folder.path() / "m" / "config.json", 1 << 20);
    EXPECT_NE(text.find(dtype == Dtype::f32 ? R"("torch_dtype": "float32")" : R"("torch_dtype": "bfloat16")"),
              std::string::npos);
    const ModelFolder loaded = load_model_folder(folder.path() / "m", load);
    for (const ArenaSlot& slot : model->parameters().parameters())
      expect_equal(*loaded.model->parameters().find(slot.name),
                   testing::converted(testing::converted(slot.tensor, dtype), Dtype::f32));
  }
}

// ---- training ----

TEST(FalconH1Training, LearnsOneBatchByHeart) {
  EXPECT_GT(testing::expect_learns_by_heart(*small_model(), 20, 60, 2e-2), 2);
}

TEST(FalconH1Training, RecomputationChangesNoBitAndKeepsLess) {
  testing::expect_recomputation_keeps_less([] { return small_model(); }, 20);
}

TEST(FalconH1Training, Bf16ActivationsKeepLess) {
  testing::expect_bf16_activations_keep_less(*small_model(), 20, 0.65, 0.03);
}

TEST(FalconH1Training, AsksForNoMemoryFromTheThirdStep) {
  testing::expect_no_memory_from_the_third_step(*small_model(), 20);
}

// ---- reports ----

TEST(FalconH1Reports, CountTheFloatingPointOperations) {
  const auto model = make_model(*preset_config("falcon-h1-tiny-90m"));
  // Twice the weights of matrices (the embedding counts as the head), convolutions, scans, and attention's products.
  const double norms_and_vectors = 24.0 * (2 * 512 + 3 * 24 + 896) + 512;
  const double expected = 2 * (91131072 - norms_and_vectors) + 24 * (4.0 * 768 * 64 + 4.0 * 128.5 * 512);
  EXPECT_NEAR(model->forward_flops_per_token(256), expected, 1);
  const std::vector<LayerSummary> layers = model->layer_summaries();
  ASSERT_EQ(layers.size(), 24u);
  EXPECT_EQ(layers[3].name, "model.layers.3");
}

TEST(FalconH1Reports, EstimateTheMemoryOfAStep) {
  const auto config = preset_config("falcon-h1-tiny-90m");
  ConfigOverrides overrides;
  overrides.layers = 1;
  overrides.vocab_size = 512;
  apply_overrides(*config, overrides);
  const auto model = make_model(*config);
  model->allocate();
  model->parameters().initialize(1);
  testing::expect_memory_estimate(*model, 2, 128);
}

}  // namespace
}  // namespace vigor
