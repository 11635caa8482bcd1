#pragma once
// A language model of any sequence of blocks (models/hybrid/hybrid_config.h):
//
//   x = embed[ids];   each block (hybrid_block.h);   logits = head(norm(x)) / m            m = 1 without muP
//
// Order in the sequence comes from the blocks: attention rotates its queries and keys (RoPE), the others are recurrent.
// Parameters: embed.weight [V,d], layers.{i}.*, norm.weight [d], head.weight [V,d] (absent when tied to embed).
#include "models/hybrid/hybrid_block.h"
#include "models/model.h"

namespace vigor {

class HybridModel : public LanguageModel {
 public:
  explicit HybridModel(const HybridConfig& config);  // std::invalid_argument if config.check() fails

  const ModelConfig& config() const override { return config_; }
  const ChannelWidths& widths() const { return widths_; }
  Tensor hidden(const Tensor& ids, const ForwardContext& context) const override;
  Head head() const override { return {config_.tie_word_embeddings ? embed_ : head_, {}}; }
  // The residual stream after each block, [B,T,d] each: for the coordinate check of muP.
  std::vector<Tensor> block_outputs(const Tensor& ids) const;

  int parameter_group(const std::string& name, const Shape& sizes) const override;
  std::vector<double> learning_rate_scales() const override;
  std::vector<LayerSummary> layer_summaries() const override;
  double forward_flops_per_token(int64_t T) const override;

 protected:
  std::vector<LayerCache> make_layer_caches(int64_t batch, int64_t capacity) const override;  // one for each part
  Tensor extend_hidden(const Tensor& ids, std::vector<LayerCache>& caches,
                       const TokenPositions& positions) const override;
  double saved_per_token() const override;

 private:
  Tensor finish(const Tensor& x) const;  // the last norm and muP's factor

  HybridConfig config_;
  ChannelWidths widths_;
  Tensor embed_, head_;  // the weights
  std::vector<std::unique_ptr<HybridBlock>> layers_;
  RMSNorm norm_;
};

}  // namespace vigor
