#pragma once
// The i3 language model:
//
//   x = embed[ids] + pos_embed[0..T-1]                        [B,T,d]
//   each layer:  x = x + mixer(ln1(x));  x = x + ffn(ln2(x))  mixer: hybrid or attention
//   logits = head(ln_f(x))                                    [B,T,V], a Linear with bias that is not tied to embed
//
// Parameters: embed.weight [V,d], pos_embed.weight [maxT,d], layers.{i}.ln1.{weight,bias},
// layers.{i}.hybrid.{w_mix,A,B,C,D} or layers.{i}.attn.{qkv,out_proj}.{weight,bias}, layers.{i}.ln2.{weight,bias},
// layers.{i}.ffn.{0,2}.{weight,bias} (low rank: {lora_A,lora_B,bias}), ln_f.{weight,bias}, head.{weight,bias}.
#include "models/i3/i3_config.h"
#include "models/model.h"
#include "nn/embedding.h"
#include "nn/feed_forward.h"
#include "nn/linear.h"
#include "nn/mixer.h"
#include "nn/norm.h"

namespace vigor {

// One pre-norm layer, x [B,T,d] -> [B,T,d].
class I3Block : public Module {
 public:
  I3Block(const I3Config& config, int64_t index);

  Tensor forward(const Tensor& x, const ForwardContext& context) const;
  Tensor forward(const Tensor& x, LayerCache& cache, const TokenPositions& positions) const;

  const Mixer& mixer() const { return *mixer_; }
  const FeedForward& feed_forward() const { return ffn_; }

 private:
  LayerNorm ln1_, ln2_;
  std::unique_ptr<Mixer> mixer_;
  FeedForward ffn_;
  std::string mixer_dropout_, ffn_dropout_;  // names of the two places, for their masks
};

class I3Model : public LanguageModel {
 public:
  explicit I3Model(const I3Config& config);  // std::invalid_argument if config.check() fails

  const ModelConfig& config() const override { return config_; }
  Tensor hidden(const Tensor& ids, const ForwardContext& context) const override;
  Head head() const override { return {head_.weight, head_.bias}; }
  std::vector<LayerSummary> layer_summaries() const override;
  double forward_flops_per_token(int64_t T) const override;

 protected:
  std::vector<LayerCache> make_layer_caches(int64_t batch, int64_t capacity) const override;
  Tensor extend_hidden(const Tensor& ids, std::vector<LayerCache>& caches,
                       const TokenPositions& positions) const override;
  double saved_per_token() const override;

 private:
  I3Config config_;
  Embedding embed_, pos_embed_;
  std::vector<std::unique_ptr<I3Block>> layers_;
  LayerNorm ln_f_;
  Linear head_;
};

}  // namespace vigor
