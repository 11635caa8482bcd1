#include "models/falcon_h1/falcon_h1_config.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "kernels/causal_conv1d/causal_conv1d.h"
#include "models/config_fields.h"
#include "models/config_rules.h"
#include "tensor/check.h"
#include "tensor/file.h"

namespace vigor {
namespace {

constexpr int64_t kMaxWidth = int64_t{1} << 17;
constexpr int64_t kMaxHeadWidth = 256;  // of the attention kernels
constexpr double kDefaultRopeTheta = 10000;

// ---- reading ----

// An absent key is the default, null is false: what transformers makes of them.
bool flag(ConfigFields& fields, const char* key, bool fallback) {
  return fields.is_null(key) ? false : fields.boolean(key, fallback);
}

template <size_t N>
void read_list(ConfigFields& fields, const char* key, std::array<double, N>& values) {
  const std::vector<double> list = fields.numbers(key, std::vector<double>(values.begin(), values.end()));
  if (list.size() == N) std::copy(list.begin(), list.end(), values.begin());
  else fields.complain(fmt::format("{} must hold {} numbers; got {}", key, N, list.size()));
}

std::optional<int64_t> read_id(ConfigFields& fields, const char* key, int64_t fallback) {
  if (fields.is_null(key)) return std::nullopt;
  return fields.integer(key, fallback);
}

// rope_theta and rope_scaling of older files, or rope_parameters of newer ones.
double read_rope_theta(ConfigFields& fields) {
  double theta = fields.number("rope_theta", kDefaultRopeTheta);
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (!fields.has(key)) continue;
    ConfigFields rope(fields.object(key), key);
    theta = rope.number("rope_theta", theta);
    const std::string type = rope.text("rope_type", rope.text("type", "default"));
    if (type != "default")
      fields.complain(fmt::format("{}: rope_type \"{}\" is not known; only \"default\" is", key, printable(type)));
    fields.complain_of([&] { rope.finish(); });
  }
  return theta;
}

void read_attention(ConfigFields& fields, FalconH1Config& config) {
  config.heads = fields.integer("num_attention_heads", 32);
  config.kv_heads = fields.is_null("num_key_value_heads") ? config.heads : fields.integer("num_key_value_heads", 8);
  config.head_width = fields.integer("head_dim", config.heads > 0 ? config.d_model / config.heads : 0);
  if (!fields.has("head_dim") && config.heads > 0 && config.d_model % config.heads != 0)
    fields.complain(fmt::format("num_attention_heads must divide hidden_size where there is no head_dim; got {} and {}",
                                config.heads, config.d_model));
  config.rope_theta = read_rope_theta(fields);
  config.rope_float32_angles = fields.boolean("rope_float32_angles", false);
  config.attention_bias = flag(fields, "attention_bias", false);
  if (fields.number("attention_dropout", 0.0) != 0)
    fields.complain("attention_dropout must be 0: dropout inside attention is not supported");
}

void read_mamba(ConfigFields& fields, FalconH1Config& config) {
  const int64_t expand = fields.integer("mamba_expand", 2);
  int64_t inner = 0;
  if (!fields.is_null("mamba_d_ssm")) inner = fields.integer("mamba_d_ssm", 1024);
  else if (expand >= 1 && expand <= kMaxWidth && config.d_model >= 1 && config.d_model <= kMaxWidth)
    inner = expand * config.d_model;
  else fields.complain(fmt::format("mamba_expand must be in 1..{}; got {}", kMaxWidth, expand));
  const int64_t heads = config.mamba_heads = fields.integer("mamba_n_heads", 128);
  const int64_t automatic = heads > 0 ? inner / heads : 0;
  const bool is_automatic = !fields.has("mamba_d_head") || fields.is_text("mamba_d_head", "auto");
  config.mamba_head_width = is_automatic ? automatic : fields.integer("mamba_d_head");
  // For check() heads times width is the number of channels by definition, so a contradiction can only be seen here.
  const bool in_range =
      heads > 0 && heads <= kMaxWidth && config.mamba_head_width > 0 && config.mamba_head_width <= kMaxWidth;
  if (in_range && heads * config.mamba_head_width != inner)
    fields.complain(fmt::format("mamba_n_heads * mamba_d_head must be mamba_d_ssm; got {} * {} and {}", heads,
                                config.mamba_head_width, inner));
  config.groups = fields.integer("mamba_n_groups", 1);
  config.states = fields.integer("mamba_d_state", 256);
  config.conv_width = fields.integer("mamba_d_conv", 4);
  config.chunk_size = fields.integer("mamba_chunk_size", 256);
  config.conv_bias = flag(fields, "mamba_conv_bias", true);
  config.in_bias = flag(fields, "mamba_proj_bias", false);
  config.out_bias = flag(fields, "projectors_bias", false);
  config.norm = flag(fields, "mamba_rms_norm", false);
  config.norm_before_gate = flag(fields, "mamba_norm_before_gate", true);
  std::array<double, 2> limit = {config.dt_min, config.dt_max};
  read_list(fields, "time_step_limit", limit);
  config.dt_min = limit[0];
  config.dt_max = limit[1];
  config.dt_init_min = fields.number("time_step_min", config.dt_init_min);
  config.dt_init_max = fields.number("time_step_max", config.dt_init_max);
}

struct Multiplier {
  const char* key;
  double FalconH1Multipliers::*value;
};
constexpr Multiplier kMultipliers[] = {
    {"embedding_multiplier", &FalconH1Multipliers::embedding},
    {"lm_head_multiplier", &FalconH1Multipliers::lm_head},
    {"key_multiplier", &FalconH1Multipliers::key},
    {"attention_in_multiplier", &FalconH1Multipliers::attention_in},
    {"attention_out_multiplier", &FalconH1Multipliers::attention_out},
    {"ssm_in_multiplier", &FalconH1Multipliers::ssm_in},
    {"ssm_out_multiplier", &FalconH1Multipliers::ssm_out},
};

void read_multipliers(ConfigFields& fields, FalconH1Multipliers& multipliers) {
  for (const Multiplier& multiplier : kMultipliers) multipliers.*multiplier.value = fields.number(multiplier.key, 1.0);
  read_list(fields, "mlp_multipliers", multipliers.mlp);
  read_list(fields, "ssm_multipliers", multipliers.ssm);
}

constexpr const char* kSkeleton =
    R"({"architectures": ["FalconH1ForCausalLM"], "model_type": "falcon_h1", "torch_dtype": "float32",)"
    R"( "hidden_act": "silu", "rope_scaling": null})";

void set_id(ConfigFields& fields, const char* key, std::optional<int64_t> id) {
  if (id) fields.set(key, *id);
  else fields.set_null(key);
}

}  // namespace

void FalconH1Config::set_layer_count(int64_t count) {
  vigor::check(count >= 1 && count <= kMaxLayers, "layers: must be in 1..{}; got {}", kMaxLayers, count);
  layers = count;
}

void FalconH1Config::check() const {
  ConfigRules rules("falcon_h1 config");
  rules.range("vocab_size", vocab_size, 1, kMaxVocab);
  rules.range("hidden_size", d_model, 1, kMaxWidth);
  rules.range("max_position_embeddings", max_seq_len, 1, kMaxSequence);
  rules.range("num_hidden_layers", layers, 1, kMaxLayers);
  rules.range("num_attention_heads", heads, 1, kMaxWidth);
  rules.range("num_key_value_heads", kv_heads, 1, kMaxWidth);
  rules.range("head_dim", head_width, 2, kMaxHeadWidth);
  rules.range("intermediate_size", hidden, 1, kMaxWidth);
  rules.range("mamba_n_heads", mamba_heads, 1, kMaxWidth);
  rules.range("mamba_d_head", mamba_head_width, 1, kMaxWidth);
  rules.range("mamba_d_state", states, 1, kMaxWidth);
  rules.range("mamba_n_groups", groups, 1, kMaxWidth);
  rules.range("mamba_d_conv", conv_width, 1, kMaxConvWidth);
  rules.range("mamba_chunk_size", chunk_size, 1, kMaxSequence);
  rules.divides("num_key_value_heads", kv_heads, "num_attention_heads", heads);
  rules.divides("mamba_n_groups", groups, "mamba_n_heads", mamba_heads);
  rules.require(head_width % 2 == 0, "head_dim must be even, as rotary positions turn pairs; got {}", head_width);
  const auto product = [](int64_t a, int64_t b) {  // of any two numbers, without overflow
    return std::clamp<int64_t>(a, 0, kMaxWidth) * std::clamp<int64_t>(b, 0, kMaxWidth);
  };
  rules.require(product(mamba_heads, mamba_head_width) <= kMaxWidth,
                "mamba_n_heads * mamba_d_head must be at most {}; got {} * {}", kMaxWidth, mamba_heads,
                mamba_head_width);
  rules.require(product(heads, head_width) <= kMaxWidth,
                "num_attention_heads * head_dim must be at most {}; got {} * {}", kMaxWidth, heads, head_width);
  rules.require(product(groups, states) <= kMaxWidth, "mamba_n_groups * mamba_d_state must be at most {}; got {} * {}",
                kMaxWidth, groups, states);

  rules.require(std::isfinite(norm_eps) && norm_eps >= 0, "rms_norm_eps must be 0 or above; got {}", norm_eps);
  rules.require(std::isfinite(rope_theta) && rope_theta > 0, "rope_theta must be above 0; got {}", rope_theta);
  rules.require(std::isfinite(initializer_range) && initializer_range >= 0,
                "initializer_range must be 0 or above; got {}", initializer_range);
  rules.require(dt_min >= 0 && dt_min <= dt_max, "time_step_limit must be two numbers 0 <= low <= high; got {} and {}",
                dt_min, dt_max);
  rules.require(dt_init_min > 0 && dt_init_min <= dt_init_max && std::isfinite(dt_init_max),
                "time_step_min and time_step_max must be 0 < min <= max; got {} and {}", dt_init_min, dt_init_max);
  for (const Multiplier& multiplier : kMultipliers) rules.finite(multiplier.key, multipliers.*multiplier.value);
  for (const double value : multipliers.mlp) rules.finite("mlp_multipliers", value);
  for (const double value : multipliers.ssm) rules.finite("ssm_multipliers", value);
  const int64_t last_id = std::max<int64_t>(vocab_size, 1) - 1;
  if (bos) rules.range("bos_token_id", *bos, 0, last_id);
  if (pad) rules.range("pad_token_id", *pad, 0, last_id);
  for (const int64_t id : eos) rules.range("eos_token_id", id, 0, last_id);
  rules.finish();
}

std::unique_ptr<ModelConfig> FalconH1Config::parse(std::string_view json, const std::string& origin) {
  ConfigFields fields(json, origin);
  auto config = std::make_unique<FalconH1Config>();
  config->vocab_size = fields.integer("vocab_size", 128000);
  config->d_model = fields.integer("hidden_size", 4096);
  config->max_seq_len = fields.integer("max_position_embeddings", 8192);
  config->layers = fields.integer("num_hidden_layers", 32);
  config->hidden = fields.integer("intermediate_size", 14336);
  config->tied = flag(fields, "tie_word_embeddings", false);
  config->mlp_bias = flag(fields, "mlp_bias", false);
  config->norm_eps = fields.number("rms_norm_eps", 1e-5);
  config->initializer_range = fields.number("initializer_range", 0.02);
  const std::string activation = fields.text("hidden_act", "silu");
  if (activation != "silu")
    fields.complain(fmt::format("hidden_act must be \"silu\"; got \"{}\"", printable(activation)));
  read_attention(fields, *config);
  read_mamba(fields, *config);
  read_multipliers(fields, config->multipliers);
  config->bos = read_id(fields, "bos_token_id", 1);
  config->pad = read_id(fields, "pad_token_id", 0);
  config->eos = fields.integers("eos_token_id");
  if (!fields.has("eos_token_id") && !fields.is_null("eos_token_id")) config->eos = {2};
  fields.finish(*config);
  config->source_json_ = json;
  return config;
}

std::string FalconH1Config::to_json() const {
  ConfigFields fields(source_json_.empty() ? kSkeleton : source_json_, "falcon_h1 config");
  fields.set("model_type", model_type());
  fields.set("vocab_size", vocab_size);
  fields.set("hidden_size", d_model);
  fields.set("intermediate_size", hidden);
  fields.set("num_hidden_layers", layers);
  fields.set("num_attention_heads", heads);
  fields.set("num_key_value_heads", kv_heads);
  fields.set("head_dim", head_width);
  fields.set("max_position_embeddings", max_seq_len);
  fields.set("tie_word_embeddings", tied);
  fields.set("rms_norm_eps", norm_eps);
  fields.set("initializer_range", initializer_range);
  fields.set("attention_bias", attention_bias);
  fields.set("mlp_bias", mlp_bias);
  fields.set("projectors_bias", out_bias);
  fields.set("mamba_proj_bias", in_bias);
  fields.set("mamba_conv_bias", conv_bias);
  fields.set("mamba_d_ssm", mamba_heads * mamba_head_width);
  fields.set("mamba_n_heads", mamba_heads);
  fields.set("mamba_d_head", mamba_head_width);
  fields.set("mamba_n_groups", groups);
  fields.set("mamba_d_state", states);
  fields.set("mamba_d_conv", conv_width);
  fields.set("mamba_chunk_size", chunk_size);
  fields.set("mamba_rms_norm", norm);
  fields.set("mamba_norm_before_gate", norm_before_gate);
  for (const Multiplier& multiplier : kMultipliers) fields.set(multiplier.key, multipliers.*multiplier.value);
  fields.set("mlp_multipliers", std::vector<double>(multipliers.mlp.begin(), multipliers.mlp.end()));
  fields.set("ssm_multipliers", std::vector<double>(multipliers.ssm.begin(), multipliers.ssm.end()));
  // Where the file has it; newer files, in rope_parameters.
  if (fields.has("rope_parameters")) {
    ConfigFields rope(fields.object("rope_parameters"), "rope_parameters");
    rope.set("rope_theta", rope_theta);
    fields.set_object("rope_parameters", rope.to_json());
  } else {
    fields.set("rope_theta", rope_theta);
  }
  // These only where they say something: other programs do not know them.
  const FalconH1Config defaults;
  if (fields.has("time_step_limit") || dt_min != defaults.dt_min || dt_max != defaults.dt_max)
    fields.set("time_step_limit", std::vector<double>{dt_min, dt_max});
  if (fields.has("time_step_min") || dt_init_min != defaults.dt_init_min) fields.set("time_step_min", dt_init_min);
  if (fields.has("time_step_max") || dt_init_max != defaults.dt_init_max) fields.set("time_step_max", dt_init_max);
  if (fields.has("rope_float32_angles") || rope_float32_angles) fields.set("rope_float32_angles", rope_float32_angles);
  set_id(fields, "bos_token_id", bos);
  set_id(fields, "pad_token_id", pad);
  if (eos.empty()) fields.set_null("eos_token_id");
  else if (eos.size() == 1) fields.set("eos_token_id", eos[0]);
  else fields.set("eos_token_id", eos);
  return fields.to_json();
}

}  // namespace vigor
