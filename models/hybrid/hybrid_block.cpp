#include "models/hybrid/hybrid_block.h"

#include <fmt/core.h>

#include <cmath>

#include "kernels/elementwise/elementwise.h"
#include "models/hybrid/block_kinds.h"
#include "models/hybrid/mup.h"

namespace vigor {
namespace {

// Hidden matrices start as initializer_range and muP say. A convolution sees K numbers whatever the width: it starts
// with the standard deviation of PyTorch's default, as published Mamba models do, and not with that of a wide matrix.
Initializer initializer_of(const NamedParameter& parameter, const HybridConfig& config) {
  const std::string& name = parameter.name;  // with the part's before it
  if (name.ends_with(".conv1d.weight"))
    return normal_init(1 / std::sqrt(3.0 * static_cast<double>(config.mamba_d_conv)));
  const bool own_scale = name.ends_with(".dt_proj.weight");  // of Mamba-1: 1/sqrt of its inputs, whatever their number
  if (own_scale || !is_hidden_matrix(name, parameter.sizes)) return parameter.init;
  // initializer_range is that of Linear weights; B of the i3 mixer has its published one.
  const double range = name.ends_with(".weight") ? config.initializer_range / kLinearStddev : 1;
  const double factor = range / std::sqrt(config.width_multiplier());
  return factor == 1 ? parameter.init : scaled_init(parameter.init, factor);
}

}  // namespace

HybridBlock::HybridBlock(const HybridConfig& config, const ChannelWidths& widths, char letter, int64_t index)
    : channels_(config.d_model) {
  BlockParts parts = block_kind_of(letter).make(config, widths, index);
  for (BlockPart& mixer : parts.mixers)
    add_part(config, std::move(mixer), parts_.empty() || config.arrangement == Arrangement::S_A_M, index);
  if (parts.feed_forward.module)
    add_part(config, std::move(parts.feed_forward), config.arrangement != Arrangement::SAM, index);
}

void HybridBlock::add_part(const HybridConfig& config, BlockPart part, bool with_norm, int64_t index) {
  Part added{nullptr, std::move(part.module), fmt::format("layers.{}.{}", index, part.name)};
  if (with_norm) {
    added.norm = std::make_unique<RMSNorm>(config.d_model);
    add_child(part.name + "_norm", *added.norm);
  }
  // The parameters are registered here and not as a child's, since some start differently here.
  for (NamedParameter& p : added.module->named_parameters()) {
    p.name = part.name + "." + p.name;
    add_parameter(p.name, *p.tensor, p.sizes, initializer_of(p, config), p.precision);
  }
  parts_.push_back(std::move(added));
}

Tensor HybridBlock::forward(const Tensor& x, const ForwardContext& context) const {
  Tensor sum = x, input;
  for (const Part& part : parts_) {
    if (part.norm) input = part.norm->forward(sum);
    sum = add(sum, apply_dropout(part.module->forward(input), context, part.dropout));
  }
  return sum;
}

Tensor HybridBlock::forward(const Tensor& x, std::span<LayerCache> caches, const TokenPositions& positions) const {
  Tensor sum = x, input;
  for (size_t i = 0; i < parts_.size(); ++i) {
    if (parts_[i].norm) input = parts_[i].norm->forward(sum);
    sum = add(sum, parts_[i].module->forward(input, caches[i], positions));
  }
  return sum;
}

std::vector<LayerCache> HybridBlock::make_caches(int64_t batch, int64_t capacity) const {
  std::vector<LayerCache> caches;
  for (const Part& part : parts_) caches.push_back(part.module->make_cache(batch, capacity));
  return caches;
}

double HybridBlock::flops_per_token(int64_t T) const {
  double flops = 0;
  for (const Part& part : parts_) flops += part.module->flops_per_token(T);
  return flops;
}

// A part keeps what it needs, and beside it its norm's input and output.
double HybridBlock::saved_per_token() const {
  double elements = 0;
  for (const Part& part : parts_)
    elements += part.module->saved_per_token() + (part.norm ? 2.0 : 0.0) * static_cast<double>(channels_);
  return elements;
}

}  // namespace vigor
