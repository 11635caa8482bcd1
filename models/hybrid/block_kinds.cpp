#include "models/hybrid/block_kinds.h"

#include <cmath>
#include <stdexcept>

#include "nn/gated_feed_forward.h"
#include "nn/grouped_query_attention.h"
#include "nn/hybrid_mixer.h"
#include "nn/mamba1.h"
#include "nn/mamba2.h"
#include "nn/rwkv.h"
#include "tensor/check.h"

namespace vigor {
namespace {

// A feed-forward as a part of a block: a mixer that looks at one token only and remembers nothing.
class FeedForwardPart : public Mixer {
 public:
  explicit FeedForwardPart(const GatedFeedForwardOptions& options) : module_(options) {
    for (const NamedParameter& p : module_.named_parameters())  // under their own names: "gate_proj.weight"
      add_parameter(p.name, *p.tensor, p.sizes, p.init, p.precision);
  }

  Tensor forward(const Tensor& x) const override { return module_.forward(x); }
  Tensor forward(const Tensor& x, LayerCache&, const TokenPositions&) const override { return module_.forward(x); }
  LayerCache make_cache(int64_t, int64_t) const override { return {}; }
  double flops_per_token(int64_t) const override { return module_.flops_per_token(); }
  double saved_per_token() const override { return module_.saved_per_token(); }

 private:
  GatedFeedForward module_;
};

BlockPart feed_forward_part(const HybridConfig& config, const ChannelWidths& widths) {
  if (widths.feed_forward == 0) return {};
  GatedFeedForwardOptions options;
  options.channels = config.d_model;
  options.hidden = widths.feed_forward;
  return {"ffn", std::make_unique<FeedForwardPart>(options)};
}

BlockPart attention_part(const HybridConfig& config, const ChannelWidths& widths) {
  GroupedQueryAttentionOptions options;
  options.channels = config.d_model;
  options.heads = widths.attention / config.head_dim;
  options.kv_heads = options.heads / config.queries_per_kv;
  options.head_width = config.head_dim;
  options.rope_theta = config.rope_theta;
  if (config.mup_base_width > 0) options.score_scale = 1.0 / static_cast<double>(config.head_dim);
  return {"attn", std::make_unique<GroupedQueryAttention>(options)};
}

BlockPart mamba2_part(const HybridConfig& config, const ChannelWidths& widths) {
  Mamba2Options options;
  options.channels = config.d_model;
  options.heads = widths.ssm / config.mamba_d_head;
  options.head_width = config.mamba_d_head;
  options.states = config.mamba_d_state;
  options.groups = config.mamba_n_groups;
  options.conv_width = config.mamba_d_conv;
  options.norm = config.mamba_rms_norm;
  return {"ssm", std::make_unique<Mamba2>(options)};
}

void require_channels(char letter, const char* share, int64_t channels) {
  check(channels > 0, "block {} needs {} channels, but channel_split gives it none", letter, share);
}

// A block of these mixers and a gated feed-forward.
template <class... Parts>
BlockParts block_of(const HybridConfig& config, const ChannelWidths& widths, Parts... mixers) {
  BlockParts parts;
  (parts.mixers.push_back(std::move(mixers)), ...);
  parts.feed_forward = feed_forward_part(config, widths);
  return parts;
}

BlockParts make_hybrid_block(const HybridConfig& config, const ChannelWidths& widths, int64_t) {
  BlockPart mixer{"hybrid", std::make_unique<HybridMixer>(config.d_model, config.hybrid_d_state)};
  return block_of(config, widths, std::move(mixer));
}

BlockParts make_attention_block(const HybridConfig& config, const ChannelWidths& widths, int64_t) {
  require_channels('A', "attention", widths.attention);
  return block_of(config, widths, attention_part(config, widths));
}

BlockParts make_mamba2_block(const HybridConfig& config, const ChannelWidths& widths, int64_t) {
  require_channels('M', "SSM", widths.ssm);
  return block_of(config, widths, mamba2_part(config, widths));
}

// With a share of 0 for one of the two it is the other alone, so that a sweep over shares may go all the way.
BlockParts make_parallel_block(const HybridConfig& config, const ChannelWidths& widths, int64_t) {
  require_channels('P', "SSM or attention", widths.ssm + widths.attention);
  BlockParts parts = block_of(config, widths);
  if (widths.ssm > 0) parts.mixers.push_back(mamba2_part(config, widths));
  if (widths.attention > 0) parts.mixers.push_back(attention_part(config, widths));
  return parts;
}

BlockParts make_mamba1_block(const HybridConfig& config, const ChannelWidths& widths, int64_t) {
  require_channels('m', "SSM", widths.ssm);
  Mamba1Options options;
  options.channels = config.d_model;
  options.inner = widths.ssm;
  options.states = config.mamba1_d_state;
  options.conv_width = config.mamba_d_conv;
  BlockPart mixer{"ssm", std::make_unique<Mamba1>(options)};
  return block_of(config, widths, std::move(mixer));
}

BlockParts make_rwkv_block(const HybridConfig& config, const ChannelWidths& widths, int64_t index) {
  require_channels('W', "SSM", widths.ssm);
  const RwkvDepth depth{index, config.layer_count()};
  BlockParts parts;
  parts.mixers.push_back(
      {"time_mix", std::make_unique<RwkvTimeMixing>(RwkvTimeMixingOptions{config.d_model, widths.ssm, depth})});
  if (widths.feed_forward > 0)
    parts.feed_forward = {"channel_mix", std::make_unique<RwkvChannelMixing>(
                                             RwkvChannelMixingOptions{config.d_model, widths.feed_forward, depth})};
  return parts;
}

const BlockKind kKinds[] = {
    {'H', "i3 hybrid", make_hybrid_block}, {'A', "attention", make_attention_block},
    {'M', "mamba2", make_mamba2_block},    {'m', "mamba1", make_mamba1_block},
    {'W', "rwkv4", make_rwkv_block},       {'P', "mamba2 + attention", make_parallel_block},
};

}  // namespace

std::span<const BlockKind> block_kinds() { return kKinds; }

const BlockKind& block_kind_of(char letter) {
  for (const BlockKind& kind : kKinds)
    if (kind.letter == letter) return kind;
  throw std::logic_error(std::string("block kinds: there is none with the letter ") + letter);
}

std::string block_letters() {
  std::string letters;
  for (const BlockKind& kind : kKinds) letters += kind.letter;
  return letters;
}

}  // namespace vigor
