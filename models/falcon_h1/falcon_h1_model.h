#pragma once
// The Falcon-H1 language model (Zuo et al. 2025, arXiv:2507.22448). All m are multipliers of the configuration:
//
//   x = m_embedding embed_tokens[ids]                                                     [B,T,d]
//   each layer:  u = input_layernorm(x)
//                x = x + m_ssm_out mamba(u) + m_attention_out self_attn(m_attention_in u)
//                x = x + m_down feed_forward(pre_ff_layernorm(x))
//   logits = m_lm_head lm_head(final_layernorm(x))                                        [B,T,V], without bias
//
// nn/mamba2.h, nn/grouped_query_attention.h and nn/gated_feed_forward.h have the equations of the three parts, and
// where the remaining multipliers go. m_lm_head scales the weight of the final norm, d numbers, in place of B T V
// logits.
//
// Parameters: model.embed_tokens.weight [V,d], model.layers.{i}.input_layernorm.weight,
// model.layers.{i}.mamba.{dt_bias,A_log,D}, .mamba.conv1d.{weight,bias}, .mamba.{in_proj,out_proj}.weight,
// .mamba.norm.weight (with mamba_rms_norm), model.layers.{i}.self_attn.{q,k,v,o}_proj.weight,
// model.layers.{i}.pre_ff_layernorm.weight, model.layers.{i}.feed_forward.{gate,up,down}_proj.weight,
// model.final_layernorm.weight, lm_head.weight [V,d] (not with tied embeddings, where the embedding takes its place and
// the gradients of both uses add up in one buffer); and a bias beside each weight whose flag is set.
#include "models/falcon_h1/falcon_h1_config.h"
#include "models/model.h"
#include "nn/embedding.h"
#include "nn/gated_feed_forward.h"
#include "nn/grouped_query_attention.h"
#include "nn/mamba2.h"
#include "nn/norm.h"

namespace vigor {

// One layer, x [B,T,d] -> [B,T,d]. Its two caches are that of `mamba` and that of `self_attn`.
class FalconH1Block : public Module {
 public:
  FalconH1Block(const FalconH1Config& config, int64_t index);

  Tensor forward(const Tensor& x, const ForwardContext& context) const;
  Tensor forward(const Tensor& x, std::span<LayerCache> caches, const TokenPositions& positions) const;

  const Mixer& mamba() const { return mamba_; }
  const Mixer& attention() const { return attention_; }
  double flops_per_token(int64_t T) const;
  double saved_per_token() const;

 private:
  Tensor sum_of_branches(const Tensor& ssm, const Tensor& attention) const;
  Tensor feed_forward(const Tensor& x) const;  // without the residual

  FalconH1Multipliers multipliers_;
  RMSNorm input_norm_, feed_forward_norm_;
  Mamba2 mamba_;
  GroupedQueryAttention attention_;
  GatedFeedForward feed_forward_;
  std::string mixer_dropout_, feed_forward_dropout_;  // names of the two places, for their masks
};

class FalconH1Model : public LanguageModel {
 public:
  explicit FalconH1Model(const FalconH1Config& config);  // std::invalid_argument if config.check() fails

  const ModelConfig& config() const override { return config_; }
  Tensor hidden(const Tensor& ids, const ForwardContext& context) const override;
  Head head() const override { return {config_.tied ? embed_.weight : lm_head_->weight, {}}; }
  bool ignores_weight(const std::string& name) const override;
  std::vector<LayerSummary> layer_summaries() const override;
  double forward_flops_per_token(int64_t T) const override;

 protected:
  std::vector<LayerCache> make_layer_caches(int64_t batch, int64_t capacity) const override;  // two a layer
  Tensor extend_hidden(const Tensor& ids, std::vector<LayerCache>& caches,
                       const TokenPositions& positions) const override;
  double saved_per_token() const override;

 private:
  Tensor embed(const Tensor& ids) const;
  Tensor final_norm(const Tensor& x) const;

  FalconH1Config config_;
  Embedding embed_;
  std::vector<std::unique_ptr<FalconH1Block>> layers_;
  RMSNorm final_norm_;
  std::unique_ptr<Linear> lm_head_;  // none with tied embeddings
};

}  // namespace vigor
