#include "models/falcon_h1/falcon_h1_model.h"

#include <fmt/core.h>

#include "kernels/rms_norm/rms_norm.h"
#include "models/run_layers.h"
#include "nn/scale.h"

namespace vigor {
namespace {

Mamba2Options mamba_options(const FalconH1Config& config) {
  Mamba2Options options;
  options.channels = config.d_model;
  options.heads = config.mamba_heads;
  options.head_width = config.mamba_head_width;
  options.states = config.states;
  options.groups = config.groups;
  options.conv_width = config.conv_width;
  options.in_bias = config.in_bias;
  options.out_bias = config.out_bias;
  options.conv_bias = config.conv_bias;
  options.norm = config.norm;
  options.norm_before_gate = config.norm_before_gate;
  options.norm_eps = config.norm_eps;
  options.in_multiplier = config.multipliers.ssm_in;
  options.multipliers = config.multipliers.ssm;
  options.dt_min = config.dt_min;
  options.dt_max = config.dt_max;
  options.dt_init_min = config.dt_init_min;
  options.dt_init_max = config.dt_init_max;
  options.weight_stddev = config.initializer_range;
  return options;
}

GroupedQueryAttentionOptions attention_options(const FalconH1Config& config) {
  GroupedQueryAttentionOptions options;
  options.channels = config.d_model;
  options.heads = config.heads;
  options.kv_heads = config.kv_heads;
  options.head_width = config.head_width;
  options.bias = config.attention_bias;
  options.rope_theta = config.rope_theta;
  options.transformers_angles = config.rope_float32_angles;
  options.key_multiplier = config.multipliers.key;
  options.weight_stddev = config.initializer_range;
  return options;
}

GatedFeedForwardOptions feed_forward_options(const FalconH1Config& config) {
  GatedFeedForwardOptions options;
  options.channels = config.d_model;
  options.hidden = config.hidden;
  options.bias = config.mlp_bias;
  options.gate_multiplier = config.multipliers.mlp[0];
  options.weight_stddev = config.initializer_range;
  return options;
}

}  // namespace

FalconH1Block::FalconH1Block(const FalconH1Config& config, int64_t index)
    : multipliers_(config.multipliers),
      input_norm_(config.d_model, config.norm_eps),
      feed_forward_norm_(config.d_model, config.norm_eps),
      mamba_(mamba_options(config)),
      attention_(attention_options(config)),
      feed_forward_(feed_forward_options(config)),
      mixer_dropout_(fmt::format("layers.{}.mixer", index)),
      feed_forward_dropout_(fmt::format("layers.{}.feed_forward", index)) {
  add_child("input_layernorm", input_norm_);
  add_child("mamba", mamba_);
  add_child("self_attn", attention_);
  add_child("pre_ff_layernorm", feed_forward_norm_);
  add_child("feed_forward", feed_forward_);
}

Tensor FalconH1Block::sum_of_branches(const Tensor& ssm, const Tensor& attention) const {
  return add(scaled(ssm, multipliers_.ssm_out), scaled(attention, multipliers_.attention_out));
}

Tensor FalconH1Block::feed_forward(const Tensor& x) const {
  return scaled(feed_forward_.forward(feed_forward_norm_.forward(x)), multipliers_.mlp[1]);
}

Tensor FalconH1Block::forward(const Tensor& x, const ForwardContext& context) const {
  const Tensor u = input_norm_.forward(x);
  const Tensor branches = sum_of_branches(mamba_.forward(u), attention_.forward(scaled(u, multipliers_.attention_in)));
  const Tensor mixed = add(x, apply_dropout(branches, context, mixer_dropout_));
  return add(mixed, apply_dropout(feed_forward(mixed), context, feed_forward_dropout_));
}

Tensor FalconH1Block::forward(const Tensor& x, std::span<LayerCache> caches, const TokenPositions& positions) const {
  const Tensor u = input_norm_.forward(x);
  const Tensor ssm = mamba_.forward(u, caches[0], positions);
  const Tensor attention = attention_.forward(scaled(u, multipliers_.attention_in), caches[1], positions);
  const Tensor mixed = add(x, sum_of_branches(ssm, attention));
  return add(mixed, feed_forward(mixed));
}

double FalconH1Block::flops_per_token(int64_t T) const {
  return mamba_.flops_per_token(T) + attention_.flops_per_token(T) + feed_forward_.flops_per_token();
}

double FalconH1Block::saved_per_token() const {
  return mamba_.saved_per_token() + attention_.saved_per_token() + feed_forward_.saved_per_token();
}

FalconH1Model::FalconH1Model(const FalconH1Config& config)
    : config_(checked(config)),
      embed_(config.vocab_size, config.d_model, config.initializer_range),
      final_norm_(config.d_model, config.norm_eps) {
  add_child("model.embed_tokens", embed_);
  for (int64_t i = 0; i < config.layers; ++i) {
    layers_.push_back(std::make_unique<FalconH1Block>(config, i));
    add_child(fmt::format("model.layers.{}", i), *layers_.back());
  }
  add_child("model.final_layernorm", final_norm_);
  if (config.tied) return;
  lm_head_ = std::make_unique<Linear>(config.d_model, config.vocab_size, false, normal_init(config.initializer_range));
  add_child("lm_head", *lm_head_);
}

Tensor FalconH1Model::embed(const Tensor& ids) const {
  return scaled(embed_.forward(ids), config_.multipliers.embedding);
}

Tensor FalconH1Model::final_norm(const Tensor& x) const {
  return rms_norm(x, scaled(final_norm_.weight, config_.multipliers.lm_head), config_.norm_eps);
}

Tensor FalconH1Model::hidden(const Tensor& ids, const ForwardContext& context) const {
  const RegionScope embedding_region("embedding");
  const Tensor x = apply_dropout(embed(ids), context, "embed");  // [B,T,d]
  const Tensor y = run_layers(layers_, x, context);
  const RegionScope head_region("head");
  return final_norm(y);
}

Tensor FalconH1Model::extend_hidden(const Tensor& ids, std::vector<LayerCache>& caches,
                                    const TokenPositions& positions) const {
  const RegionScope embedding_region("embedding");
  Tensor x = embed(ids);  // [B,T,d]
  for (size_t i = 0; i < layers_.size(); ++i) {
    const RegionScope region("layers", static_cast<int64_t>(i));
    x = layers_[i]->forward(x, std::span(caches).subspan(2 * i, 2), positions);
  }
  const RegionScope head_region("head");
  return final_norm(x);
}

// transformers ignores a head in the file of a tied model, and some files have one.
bool FalconH1Model::ignores_weight(const std::string& name) const { return config_.tied && name == "lm_head.weight"; }

std::vector<LayerCache> FalconH1Model::make_layer_caches(int64_t batch, int64_t capacity) const {
  std::vector<LayerCache> caches;
  for (const auto& layer : layers_) {
    caches.push_back(layer->mamba().make_cache(batch, capacity));
    caches.push_back(layer->attention().make_cache(batch, capacity));
  }
  return caches;
}

std::vector<LayerSummary> FalconH1Model::layer_summaries() const {
  std::vector<LayerSummary> summaries;
  for (size_t i = 0; i < layers_.size(); ++i)
    summaries.push_back({fmt::format("model.layers.{}", i), "parallel", layers_[i]->parameter_count()});
  return summaries;
}

double FalconH1Model::forward_flops_per_token(int64_t T) const {
  double flops = 2.0 * static_cast<double>(config_.d_model * config_.vocab_size);  // the head
  for (const auto& layer : layers_) flops += layer->flops_per_token(T);
  return flops;
}

double FalconH1Model::saved_per_token() const {
  const double d = static_cast<double>(config_.d_model);
  double elements = 3.0 * d;  // the last layer's result, the head's input and its gradient
  // A layer keeps its input, the inputs of mixers and feed-forward, and the sum between the two.
  for (const auto& layer : layers_) elements += 4.0 * d + layer->saved_per_token();
  return elements;
}

}  // namespace vigor
