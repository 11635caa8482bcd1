// The published sizes. Their multipliers are known for 0.5B. A multiplier belongs to the weights that were trained with
// it, and a folder brings its own, so the other presets serve for counting and for training from scratch, and have
// multipliers of 1: with weights N(0, 0.02^2) all logits then start near 0 and all branches with sizes below 1. 0.5B's
// lm_head_multiplier of 0.039, for one, would slow Adam's steps of the logits by that factor.
#include "models/falcon_h1/falcon_h1_config.h"
#include "tensor/check.h"

namespace vigor {
namespace {

struct FalconH1Preset {
  const char* name;
  int64_t layers, d_model, heads, kv_heads, head_width, mamba_heads, mamba_head_width, states, groups, hidden,
      vocab_size, max_seq_len;
  bool tied;
};

constexpr int64_t k16 = 16384, k128 = 131072, k256 = 262144;

constexpr FalconH1Preset kPresets[] = {
    {"falcon-h1-tiny-90m", 24, 512, 8, 2, 64, 24, 32, 64, 1, 768, 32768, k256, true},
    {"falcon-h1-0.5b", 36, 1024, 8, 2, 64, 24, 64, 128, 1, 2048, 32784, k16, false},
    {"falcon-h1-1.5b", 24, 2048, 8, 2, 128, 48, 64, 256, 1, 4608, 65537, k128, false},
    {"falcon-h1-1.5b-deep", 66, 1280, 6, 2, 128, 24, 64, 256, 1, 3072, 65537, k128, false},
    {"falcon-h1-3b", 32, 2560, 10, 2, 128, 32, 128, 256, 1, 6144, 65536, k128, false},
    {"falcon-h1-7b", 44, 3072, 12, 2, 128, 24, 128, 256, 1, 12288, 130048, k256, false},
    {"falcon-h1-34b", 72, 5120, 20, 4, 128, 32, 128, 256, 2, 21504, 261120, k256, false},
};

FalconH1Multipliers published_for_0_5b() {
  FalconH1Multipliers m;
  m.embedding = 5.656854249492381;
  m.lm_head = 0.0390625;
  m.key = 0.390625;
  m.attention_in = 1;
  m.attention_out = 0.9375;
  m.ssm_in = 1.25;
  m.ssm_out = 0.23570226039551587;
  m.mlp = {0.8838834764831844, 0.5859375};
  m.ssm = {0.35355339, 0.25, 0.35355339, 0.5, 0.35355339};
  return m;
}

}  // namespace

std::unique_ptr<ModelConfig> FalconH1Config::preset(std::string_view name) {
  for (const FalconH1Preset& preset : kPresets) {
    if (name != preset.name) continue;
    auto config = std::make_unique<FalconH1Config>();
    config->vocab_size = preset.vocab_size;
    config->d_model = preset.d_model;
    config->max_seq_len = preset.max_seq_len;
    config->layers = preset.layers;
    config->heads = preset.heads;
    config->kv_heads = preset.kv_heads;
    config->head_width = preset.head_width;
    config->mamba_heads = preset.mamba_heads;
    config->mamba_head_width = preset.mamba_head_width;
    config->states = preset.states;
    config->groups = preset.groups;
    config->hidden = preset.hidden;
    config->tied = preset.tied;
    config->rope_theta = 1e11;
    if (name == "falcon-h1-0.5b") config->multipliers = published_for_0_5b();
    return config;
  }
  fail("falcon_h1: there is no preset \"{}\"", name);
}

std::vector<std::string> FalconH1Config::preset_names() {
  std::vector<std::string> names;
  for (const FalconH1Preset& preset : kPresets) names.emplace_back(preset.name);
  return names;
}

}  // namespace vigor
