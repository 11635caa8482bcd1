#include "models/hybrid/hybrid_model.h"

#include <fmt/core.h>

#include "kernels/elementwise/elementwise.h"
#include "kernels/embedding/embedding.h"
#include "models/hybrid/block_kinds.h"
#include "models/hybrid/mup.h"
#include "models/run_layers.h"

namespace vigor {
namespace {

// Groups of parameters by learning rate.
enum Group { kPlain = 0, kHiddenMatrix = 1 };

}  // namespace

HybridModel::HybridModel(const HybridConfig& config)
    : config_(checked(config)), widths_(solve_channel_widths(config)), norm_(config.d_model) {
  const Shape table{config.vocab_size, config.d_model};
  add_parameter("embed.weight", embed_, table, normal_init(config.initializer_range));
  if (!config.tie_word_embeddings) add_parameter("head.weight", head_, table, normal_init(config.initializer_range));
  for (int64_t i = 0; i < config.layer_count(); ++i) {
    layers_.push_back(std::make_unique<HybridBlock>(config, widths_, config.blocks[static_cast<size_t>(i)], i));
    add_child(fmt::format("layers.{}", i), *layers_.back());
  }
  add_child("norm", norm_);
}

Tensor HybridModel::finish(const Tensor& x) const {
  const Tensor y = norm_.forward(x);
  const double m = config_.width_multiplier();
  return m == 1 ? y : mul(y, 1 / m);  // [B,T,d]; the head is linear, so this divides the logits
}

Tensor HybridModel::hidden(const Tensor& ids, const ForwardContext& context) const {
  const RegionScope embedding_region("embedding");
  const Tensor x = apply_dropout(embedding(ids, embed_), context, "embed");  // [B,T,d]
  const Tensor y = run_layers(layers_, x, context);
  const RegionScope head_region("head");
  return finish(y);
}

std::vector<Tensor> HybridModel::block_outputs(const Tensor& ids) const {
  std::vector<Tensor> outputs;
  Tensor x = embedding(ids, embed_);
  for (const auto& layer : layers_) outputs.push_back(x = layer->forward(x, ForwardContext()));
  return outputs;
}

Tensor HybridModel::extend_hidden(const Tensor& ids, std::vector<LayerCache>& caches,
                                  const TokenPositions& positions) const {
  const RegionScope embedding_region("embedding");
  Tensor x = embedding(ids, embed_);  // [B,T,d]
  std::span<LayerCache> rest = caches;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const RegionScope region("layers", static_cast<int64_t>(i));
    const size_t parts = layers_[i]->part_count();
    x = layers_[i]->forward(x, rest.first(parts), positions);
    rest = rest.subspan(parts);
  }
  const RegionScope head_region("head");
  return finish(x);
}

std::vector<LayerCache> HybridModel::make_layer_caches(int64_t batch, int64_t capacity) const {
  std::vector<LayerCache> caches;
  for (const auto& layer : layers_)
    for (LayerCache& cache : layer->make_caches(batch, capacity)) caches.push_back(std::move(cache));
  return caches;
}

int HybridModel::parameter_group(const std::string& name, const Shape& sizes) const {
  if (config_.mup_base_width == 0) return kPlain;  // one group, one pass of the optimiser
  return name.starts_with("layers.") && is_hidden_matrix(name, sizes) ? kHiddenMatrix : kPlain;
}

std::vector<double> HybridModel::learning_rate_scales() const { return {1.0, 1.0 / config_.width_multiplier()}; }

std::vector<LayerSummary> HybridModel::layer_summaries() const {
  std::vector<LayerSummary> summaries;
  for (size_t i = 0; i < layers_.size(); ++i)
    summaries.push_back(
        {fmt::format("layers.{}", i), block_kind_of(config_.blocks[i]).name, layers_[i]->parameter_count()});
  return summaries;
}

double HybridModel::forward_flops_per_token(int64_t T) const {
  double flops = 2.0 * static_cast<double>(config_.d_model * config_.vocab_size);  // the head
  for (const auto& layer : layers_) flops += layer->flops_per_token(T);
  return flops;
}

double HybridModel::saved_per_token() const {
  double elements = 3.0 * static_cast<double>(config_.d_model);  // the last norm's input, the head's, its gradient
  for (const auto& layer : layers_) elements += layer->saved_per_token();
  return elements;
}

}  // namespace vigor
