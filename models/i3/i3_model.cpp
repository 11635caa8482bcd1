#include "models/i3/i3_model.h"

#include <fmt/core.h>

#include "kernels/elementwise/elementwise.h"
#include "kernels/embedding/embedding.h"
#include "models/run_layers.h"
#include "nn/attention.h"
#include "nn/hybrid_mixer.h"

namespace vigor {
namespace {

constexpr int64_t kFeedForwardFactor = 4;  // hidden channels of the feed-forward, in units of d

}  // namespace

I3Block::I3Block(const I3Config& config, int64_t index)
    : ln1_(config.d_model),
      ln2_(config.d_model),
      ffn_(config.d_model, kFeedForwardFactor * config.d_model, config.ffn_rank),
      mixer_dropout_(fmt::format("layers.{}.mixer", index)),
      ffn_dropout_(fmt::format("layers.{}.ffn", index)) {
  add_child("ln1", ln1_);
  switch (config.layer_kinds[static_cast<size_t>(index)]) {
    case I3LayerKind::hybrid:
      mixer_ = std::make_unique<HybridMixer>(config.d_model, config.d_state);
      add_child("hybrid", *mixer_);
      break;
    case I3LayerKind::attention:
      mixer_ = std::make_unique<Attention>(config.d_model, config.n_heads);
      add_child("attn", *mixer_);
      break;
  }
  add_child("ln2", ln2_);
  add_child("ffn", ffn_);
}

Tensor I3Block::forward(const Tensor& x, const ForwardContext& context) const {
  const Tensor mixed = add(x, apply_dropout(mixer_->forward(ln1_.forward(x)), context, mixer_dropout_));
  return add(mixed, apply_dropout(ffn_.forward(ln2_.forward(mixed)), context, ffn_dropout_));
}

Tensor I3Block::forward(const Tensor& x, LayerCache& cache, const TokenPositions& positions) const {
  const Tensor mixed = add(x, mixer_->forward(ln1_.forward(x), cache, positions));
  return add(mixed, ffn_.forward(ln2_.forward(mixed)));
}

I3Model::I3Model(const I3Config& config)
    : config_(checked(config)),
      embed_(config.vocab_size, config.d_model),
      pos_embed_(config.max_seq_len, config.d_model),
      ln_f_(config.d_model),
      head_(config.d_model, config.vocab_size) {
  add_child("embed", embed_);
  add_child("pos_embed", pos_embed_);
  for (int64_t i = 0; i < config.layer_count(); ++i) {
    layers_.push_back(std::make_unique<I3Block>(config, i));
    add_child(fmt::format("layers.{}", i), *layers_.back());
  }
  add_child("ln_f", ln_f_);
  add_child("head", head_);
}

Tensor I3Model::hidden(const Tensor& ids, const ForwardContext& context) const {
  const RegionScope embedding_region("embedding");
  const Tensor x = embedding_with_positions(ids, embed_.weight, pos_embed_.weight);  // [B,T,d]
  const Tensor y = run_layers(layers_, apply_dropout(x, context, "embed"), context);
  const RegionScope head_region("head");
  return ln_f_.forward(y);
}

Tensor I3Model::extend_hidden(const Tensor& ids, std::vector<LayerCache>& caches,
                              const TokenPositions& positions) const {
  const RegionScope embedding_region("embedding");
  Tensor x = embedding_with_positions(ids, embed_.weight, pos_embed_.weight, positions.offsets);  // [B,T,d]
  for (size_t i = 0; i < layers_.size(); ++i) {
    const RegionScope region("layers", static_cast<int64_t>(i));
    x = layers_[i]->forward(x, caches[i], positions);
  }
  const RegionScope head_region("head");
  return ln_f_.forward(x);
}

std::vector<LayerCache> I3Model::make_layer_caches(int64_t batch, int64_t capacity) const {
  std::vector<LayerCache> caches;
  for (const auto& layer : layers_) caches.push_back(layer->mixer().make_cache(batch, capacity));
  return caches;
}

std::vector<LayerSummary> I3Model::layer_summaries() const {
  std::vector<LayerSummary> summaries;
  for (size_t i = 0; i < layers_.size(); ++i)
    summaries.push_back({fmt::format("layers.{}", i), name_of(config_.layer_kinds[i]), layers_[i]->parameter_count()});
  return summaries;
}

double I3Model::forward_flops_per_token(int64_t T) const {
  double flops = 2.0 * static_cast<double>(config_.d_model * config_.vocab_size);  // the head
  for (const auto& layer : layers_)
    flops += layer->mixer().flops_per_token(T) + layer->feed_forward().flops_per_token();
  return flops;
}

double I3Model::saved_per_token() const {
  const double d = static_cast<double>(config_.d_model);
  double elements = 3.0 * d;  // the last layer's result, the head's input and its gradient
  // A layer keeps its input, the inputs of mixer and feed-forward, and the sum between the two.
  for (const auto& layer : layers_)
    elements += 4.0 * d + layer->mixer().saved_per_token() + layer->feed_forward().saved_per_token();
  return elements;
}

}  // namespace vigor
