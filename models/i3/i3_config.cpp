#include "models/i3/i3_config.h"

#include <fmt/core.h>

#include <algorithm>

#include "models/config_fields.h"
#include "models/config_rules.h"
#include "tensor/check.h"
#include "tensor/file.h"

namespace vigor {
namespace {

constexpr int64_t kDefaultConvLayers = 10, kDefaultAttnLayers = 6;  // of files that leave them out
constexpr int64_t kMaxWidth = int64_t{1} << 16;

struct I3Preset {
  const char* name;
  int64_t vocab_size, d_model, n_heads, d_state, max_seq_len, hybrid_layers, attention_layers, ffn_rank;
};

// table: i3-22m is a reconstruction: published are only its totals (24 hybrid layers, d 512, V 4,466, 22.6 M parameters,
// no attention), which rank 138 in both feed-forward matrices meets. i3-80m has the 82,765,160 parameters of its card
// with V = 41,320; with the card's own V, used here, it has 76,861,160.
constexpr I3Preset kPresets[] = {
    {"i3-tiny", 2048, 64, 2, 8, 64, 2, 1, 0},
    {"i3-22m", 4466, 512, 16, 32, 256, 24, 0, 138},
    {"i3-80m", 35560, 512, 16, 32, 256, 10, 6, 0},
};

std::vector<I3LayerKind> in_published_order(int64_t hybrid_layers, int64_t attention_layers) {
  std::vector<I3LayerKind> kinds(static_cast<size_t>(hybrid_layers), I3LayerKind::hybrid);
  kinds.insert(kinds.end(), static_cast<size_t>(attention_layers), I3LayerKind::attention);
  return kinds;
}

// The layers in order, from layer_types, or from conv_layers and attn_layers.
std::vector<I3LayerKind> read_layers(ConfigFields& fields) {
  const int64_t n_layers = fields.integer("n_layers", 0);
  const int64_t conv_layers = fields.integer("conv_layers", kDefaultConvLayers);
  const int64_t attn_layers = fields.integer("attn_layers", kDefaultAttnLayers);
  if (conv_layers < 0 || attn_layers < 0 || conv_layers > kMaxLayers || attn_layers > kMaxLayers) {
    fields.complain(fmt::format("conv_layers and attn_layers must be in 0..{}; got {} and {}", kMaxLayers, conv_layers,
                                attn_layers));
    return {};
  }
  std::vector<I3LayerKind> kinds;
  if (fields.has("layer_types")) {
    for (const std::string& type : fields.texts("layer_types")) {
      if (type == "hybrid") kinds.push_back(I3LayerKind::hybrid);
      else if (type == "attention") kinds.push_back(I3LayerKind::attention);
      else fields.complain("layer_types must hold \"hybrid\" and \"attention\" only");
    }
    const int64_t hybrids = std::count(kinds.begin(), kinds.end(), I3LayerKind::hybrid);
    const int64_t attentions = static_cast<int64_t>(kinds.size()) - hybrids;
    if (fields.has("conv_layers") && conv_layers != hybrids)
      fields.complain(fmt::format("conv_layers is {}, but layer_types has {} hybrid layers", conv_layers, hybrids));
    if (fields.has("attn_layers") && attn_layers != attentions)
      fields.complain(
          fmt::format("attn_layers is {}, but layer_types has {} attention layers", attn_layers, attentions));
    if (fields.has("n_layers") && n_layers != static_cast<int64_t>(kinds.size()))
      fields.complain(fmt::format("n_layers is {}, but layer_types lists {} layers", n_layers, kinds.size()));
    return kinds;
  }
  if (fields.has("n_layers") && n_layers != conv_layers + attn_layers)
    fields.complain(fmt::format("n_layers is {}, but conv_layers ({}{}) + attn_layers ({}{}) is {}", n_layers,
                                conv_layers, fields.has("conv_layers") ? "" : ", the default", attn_layers,
                                fields.has("attn_layers") ? "" : ", the default", conv_layers + attn_layers));
  return in_published_order(conv_layers, attn_layers);
}

}  // namespace

const char* name_of(I3LayerKind kind) { return kind == I3LayerKind::hybrid ? "hybrid" : "attention"; }

int64_t I3Config::count(I3LayerKind kind) const { return std::count(layer_kinds.begin(), layer_kinds.end(), kind); }

void I3Config::set_layer_count(int64_t layers) {
  vigor::check(layers >= 1 && layers <= kMaxLayers, "layers: must be in 1..{}; got {}", kMaxLayers, layers);
  layer_kinds = at_same_depth(layer_kinds, layers);
}

std::vector<std::string> I3Config::adopt_shapes(const WeightShapes& shapes) {
  for (size_t i = 0; i < layer_kinds.size(); ++i) {
    if (layer_kinds[i] != I3LayerKind::hybrid) continue;
    const std::string name = fmt::format("layers.{}.hybrid.A", i);
    const Shape* sizes = shapes(name);
    // A shape that cannot be a state matrix is left for the comparison of all weights to report.
    if (sizes == nullptr || sizes->rank() != 2 || (*sizes)[0] != (*sizes)[1] || (*sizes)[0] == d_state) return {};
    if ((*sizes)[0] < 1 || (*sizes)[0] > kMaxWidth) return {};
    const std::string warning =
        fmt::format("d_state is {} in config.json, but {} is {}: using {}, as the weights have it", d_state, name,
                    to_string(*sizes), (*sizes)[0]);
    d_state = (*sizes)[0];
    return {warning};
  }
  return {};
}

void I3Config::check() const {
  ConfigRules rules("i3 config");
  rules.range("vocab_size", vocab_size, 1, kMaxVocab);
  rules.range("d_model", d_model, 1, kMaxWidth);
  rules.range("max_seq_len", max_seq_len, 1, kMaxSequence);
  rules.range("n_layers", layer_count(), 1, kMaxLayers);
  rules.range("n_heads", n_heads, 1, kMaxWidth);
  rules.range("d_state", d_state, 1, kMaxWidth);
  rules.range("ffn_rank", ffn_rank, 0, kMaxWidth);
  rules.divides("n_heads", n_heads, "d_model", d_model);
  rules.finish();
}

std::string I3Config::to_json() const {
  ConfigFields fields(source_json_.empty() ? R"({"architectures": ["i3Model"], "model_type": "i3"})" : source_json_,
                      "i3 config");
  fields.set("model_type", model_type());
  fields.set("vocab_size", vocab_size);
  fields.set("d_model", d_model);
  fields.set("n_layers", layer_count());
  fields.set("n_heads", n_heads);
  fields.set("max_seq_len", max_seq_len);
  fields.set("d_state", d_state);
  fields.set("conv_layers", count(I3LayerKind::hybrid));
  fields.set("attn_layers", count(I3LayerKind::attention));
  if (!fields.has("tokenizer_type")) fields.set("tokenizer_type", std::string("chunk"));
  // Our own keys only where they say something, so that a plain model's file is a published one.
  if (ffn_rank > 0 || fields.has("ffn_rank")) fields.set("ffn_rank", ffn_rank);
  if (layer_kinds != in_published_order(count(I3LayerKind::hybrid), count(I3LayerKind::attention)) ||
      fields.has("layer_types")) {
    std::vector<std::string> types;
    for (const I3LayerKind kind : layer_kinds) types.emplace_back(name_of(kind));
    fields.set("layer_types", types);
  }
  return fields.to_json();
}

std::unique_ptr<ModelConfig> I3Config::parse(std::string_view json, const std::string& origin) {
  ConfigFields fields(json, origin);
  auto config = std::make_unique<I3Config>();
  config->vocab_size = fields.integer("vocab_size");
  config->d_model = fields.integer("d_model");
  config->max_seq_len = fields.integer("max_seq_len");
  config->n_heads = fields.integer("n_heads");
  config->d_state = fields.integer("d_state");
  config->ffn_rank = fields.integer("ffn_rank", 0);
  config->layer_kinds = read_layers(fields);
  const std::string tokenizer = fields.text("tokenizer_type", "chunk");
  if (tokenizer != "chunk" && tokenizer != "bpe")
    fields.complain(fmt::format("tokenizer_type must be \"chunk\" or \"bpe\"; got \"{}\"", printable(tokenizer)));
  fields.finish(*config);
  config->source_json_ = json;
  return config;
}

std::unique_ptr<ModelConfig> I3Config::preset(std::string_view name) {
  for (const I3Preset& preset : kPresets) {
    if (name != preset.name) continue;
    auto config = std::make_unique<I3Config>();
    config->vocab_size = preset.vocab_size;
    config->d_model = preset.d_model;
    config->max_seq_len = preset.max_seq_len;
    config->n_heads = preset.n_heads;
    config->d_state = preset.d_state;
    config->ffn_rank = preset.ffn_rank;
    config->layer_kinds = in_published_order(preset.hybrid_layers, preset.attention_layers);
    return config;
  }
  fail("i3: there is no preset \"{}\"", name);
}

std::vector<std::string> I3Config::preset_names() {
  std::vector<std::string> names;
  for (const I3Preset& preset : kPresets) names.emplace_back(preset.name);
  return names;
}

}  // namespace vigor
