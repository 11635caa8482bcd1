#include "models/hybrid/hybrid_config.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>

#include "kernels/causal_conv1d/causal_conv1d.h"
#include "models/config_fields.h"
#include "models/config_rules.h"
#include "models/hybrid/block_kinds.h"
#include "models/hybrid/block_sequence.h"
#include "tensor/check.h"
#include "tensor/file.h"

namespace vigor {
namespace {

constexpr int64_t kMaxWidth = int64_t{1} << 16, kMaxBudget = int64_t{1} << 40;

// The whole numbers of the configuration. Those with a fallback may be left out.
struct IntegerKey {
  const char* name;
  int64_t HybridConfig::*field;
  std::optional<int64_t> fallback;
  int64_t low, high;
};
const IntegerKey kIntegers[] = {
    {"vocab_size", &HybridConfig::vocab_size, {}, 1, kMaxVocab},
    {"d_model", &HybridConfig::d_model, {}, 1, kMaxWidth},
    {"max_seq_len", &HybridConfig::max_seq_len, {}, 1, kMaxSequence},
    {"head_dim", &HybridConfig::head_dim, 64, 2, kMaxWidth},
    {"queries_per_kv", &HybridConfig::queries_per_kv, 1, 1, kMaxWidth},
    {"mamba_d_head", &HybridConfig::mamba_d_head, 64, 1, kMaxWidth},
    {"mamba_d_state", &HybridConfig::mamba_d_state, 64, 1, kMaxWidth},
    {"mamba_n_groups", &HybridConfig::mamba_n_groups, 1, 1, kMaxWidth},
    {"mamba_d_conv", &HybridConfig::mamba_d_conv, 4, 1, kMaxConvWidth},
    {"mamba1_d_state", &HybridConfig::mamba1_d_state, 16, 1, kMaxWidth},
    {"hybrid_d_state", &HybridConfig::hybrid_d_state, 32, 1, kMaxWidth},
    {"block_parameters", &HybridConfig::block_parameters, 0, 0, kMaxBudget},
    {"mup_base_width", &HybridConfig::mup_base_width, 0, 0, kMaxWidth},
};
// Keys that other programs write and that say nothing about the model's shape.
const std::array kIgnoredKeys = {"architectures", "model_type",   "torch_dtype",  "dtype",       "transformers_version",
                                 "bos_token_id",  "eos_token_id", "pad_token_id", "description", "tokenizer_type"};
const std::array kOtherKeys = {"blocks",     "channel_split",  "channel_base",        "arrangement",
                               "rope_theta", "mamba_rms_norm", "tie_word_embeddings", "initializer_range"};

void complain_of_unknown_keys(ConfigFields& fields) {
  std::vector<std::string> known(kOtherKeys.begin(), kOtherKeys.end());
  for (const IntegerKey& key : kIntegers) known.emplace_back(key.name);
  for (const std::string& key : fields.keys()) {
    const bool ignored = std::find(kIgnoredKeys.begin(), kIgnoredKeys.end(), key) != kIgnoredKeys.end();
    if (!ignored && std::find(known.begin(), known.end(), key) == known.end())
      fields.complain(fmt::format("unknown key {}; known: {}", printable(key), fmt::join(known, ", ")));
  }
}

Arrangement arrangement_of(const std::string& name) {
  for (const Arrangement arrangement : {Arrangement::SA_M, Arrangement::S_A_M, Arrangement::SAM})
    if (name == name_of(arrangement)) return arrangement;
  fail("arrangement must be SA_M, S_A_M or SAM; got \"{}\"", printable(name));
}

}  // namespace

ChannelSplit parse_channel_split(const std::string& text) {
  ChannelSplit split;
  const char* at = text.c_str();
  double* const shares[] = {&split.ssm, &split.attention, &split.feed_forward};
  bool fits = true;
  for (int i = 0; i < 3 && fits; ++i) {
    char* end = nullptr;
    *shares[i] = std::strtod(at, &end);
    fits = end != at && *end == (i < 2 ? ':' : '\0') && *shares[i] >= 0 && *shares[i] <= 1000;
    at = end + 1;
  }
  check(fits, "channel_split: must be three numbers from 0 to 1000 as in \"2:1:5\"; got \"{}\"", printable(text));
  return split;
}

std::string to_string(const ChannelSplit& split) {
  return fmt::format("{}:{}:{}", split.ssm, split.attention, split.feed_forward);
}

const char* name_of(Arrangement arrangement) {
  switch (arrangement) {
    case Arrangement::SA_M:
      return "SA_M";
    case Arrangement::S_A_M:
      return "S_A_M";
    default:
      return "SAM";
  }
}

double HybridConfig::width_multiplier() const {
  return mup_base_width == 0 ? 1.0 : static_cast<double>(d_model) / static_cast<double>(mup_base_width);
}

void HybridConfig::set_layer_count(int64_t layers) {
  vigor::check(layers >= 1 && layers <= kMaxBlocks, "layers: must be in 1..{}; got {}", kMaxBlocks, layers);
  blocks = at_same_depth(blocks, layers);
}

void HybridConfig::check() const {
  ConfigRules rules("hybrid config");
  for (const IntegerKey& key : kIntegers) rules.range(key.name, this->*key.field, key.low, key.high);
  rules.range("the number of blocks", layer_count(), 1, kMaxBlocks);
  rules.range("rope_theta", rope_theta, 1.0, 1e15);
  rules.range("initializer_range", initializer_range, 1e-6, 10.0);
  rules.range("channel_base", channel_base, 0.0, static_cast<double>(kMaxWidth));
  rules.require((channel_base == 0) != (block_parameters == 0),
                "exactly one of channel_base and block_parameters must be given");
  rules.require(head_dim % 2 == 0, "head_dim must be even for the rotation of pairs (rope_theta); got {}", head_dim);
  rules.finish();
  try {
    solve_channel_widths(*this);
  } catch (const std::invalid_argument& error) {
    fail("hybrid config: {}", error.what());
  }
}

std::string HybridConfig::to_json() const {
  ConfigFields fields(source_json_.empty()
                          ? R"({"architectures": ["VigorHybridForCausalLM"], "model_type": "vigor_hybrid"})"
                          : source_json_,
                      "hybrid config");
  fields.set("model_type", model_type());
  // The text of the file where it still says the same: "MMA*3" reads better than what it expands to.
  if (!fields.has("blocks") || expand_blocks(fields.text("blocks"), block_letters()) != blocks)
    fields.set("blocks", compact_blocks(blocks));
  fields.set("channel_split", to_string(split));
  if (channel_base != 0) fields.set("channel_base", channel_base);
  fields.set("arrangement", name_of(arrangement));
  for (const IntegerKey& key : kIntegers)
    if (this->*key.field != 0) fields.set(key.name, this->*key.field);
  fields.set("rope_theta", rope_theta);
  fields.set("mamba_rms_norm", mamba_rms_norm);
  fields.set("tie_word_embeddings", tie_word_embeddings);
  fields.set("initializer_range", initializer_range);
  return fields.to_json();
}

std::vector<std::string> HybridConfig::notes() const {
  const ChannelWidths widths = solve_channel_widths(*this);
  std::vector<std::string> lines;
  lines.push_back(fmt::format("blocks {}, arrangement {}, channel split {} of base width {:.1f}{}",
                              compact_blocks(blocks), name_of(arrangement), to_string(split), widths.base,
                              block_parameters > 0 ? " (solved)" : ""));
  lines.push_back(fmt::format("channels: d_ssm {} (heads of {}), attention {} (heads of {}), d_ff {}", widths.ssm,
                              mamba_d_head, widths.attention, head_dim, widths.feed_forward));
  if (block_parameters > 0) {
    const int64_t count = count_block_parameters(*this, widths);
    const double off = 100.0 * static_cast<double>(count - block_parameters) / static_cast<double>(block_parameters);
    lines.push_back(
        fmt::format("parameters of the blocks: {} for a budget of {} ({:+.2f} %)", count, block_parameters, off));
  }
  if (mup_base_width > 0)
    lines.push_back(fmt::format("muP: width multiplier {:g} (d_model {} / base width {})", width_multiplier(), d_model,
                                mup_base_width));
  return lines;
}

std::unique_ptr<ModelConfig> HybridConfig::parse(std::string_view json, const std::string& origin) {
  ConfigFields fields(json, origin);
  auto config = std::make_unique<HybridConfig>();
  for (const IntegerKey& key : kIntegers) (*config).*key.field = fields.integer(key.name, key.fallback);
  config->channel_base = fields.number("channel_base", 0.0);
  config->rope_theta = fields.number("rope_theta", config->rope_theta);
  config->mamba_rms_norm = fields.boolean("mamba_rms_norm", false);
  config->tie_word_embeddings = fields.boolean("tie_word_embeddings", false);
  config->initializer_range = fields.number("initializer_range", config->initializer_range);
  const std::string blocks = fields.text("blocks"), split = fields.text("channel_split", to_string(config->split)),
                    arrangement = fields.text("arrangement", name_of(config->arrangement));
  if (fields.has("blocks")) fields.complain_of([&] { config->blocks = expand_blocks(blocks, block_letters()); });
  fields.complain_of([&] { config->split = parse_channel_split(split); });
  fields.complain_of([&] { config->arrangement = arrangement_of(arrangement); });
  complain_of_unknown_keys(fields);
  fields.finish(*config);
  config->source_json_ = json;
  return config;
}

std::unique_ptr<ModelConfig> HybridConfig::preset(std::string_view name) {
  if (name != "hybrid-tiny") fail("hybrid: there is no preset \"{}\"", name);
  auto config = std::make_unique<HybridConfig>();
  config->vocab_size = 2048;
  config->d_model = 64;
  config->max_seq_len = 128;
  config->blocks = "PPPP";
  config->block_parameters = 200'000;
  config->head_dim = 16;
  config->mamba_d_head = 16;
  config->mamba_d_state = 16;
  return config;
}

std::vector<std::string> HybridConfig::preset_names() { return {"hybrid-tiny"}; }

}  // namespace vigor
