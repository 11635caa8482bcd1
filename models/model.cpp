#include "models/model.h"

#include <fmt/core.h>

#include <stdexcept>

#include "autograd/variable.h"
#include "kernels/index/index.h"
#include "kernels/linear/linear.h"
#include "kernels/linear_cross_entropy/linear_cross_entropy.h"
#include "kernels/views/views.h"
#include "tensor/check.h"
#include "tensor/op_scope.h"

namespace vigor {
namespace {

// hidden [B,T,d] -> the row of each sequence's last token, [B,d].
Tensor last_rows(const Tensor& hidden, std::span<const int32_t> lengths) {
  const int64_t B = hidden.size(0), T = hidden.size(1), d = hidden.size(2);
  if (T == 1) return reshape(hidden, {B, d});
  std::vector<int64_t> rows;
  for (int64_t b = 0; b < B; ++b) rows.push_back(b * T + lengths[static_cast<size_t>(b)] - 1);
  return index_select(reshape(hidden, {B * T, d}), 0, to_device(from_values(rows, {B}), hidden.device()));
}

}  // namespace

ModelCache ModelCache::clone() const {
  ModelCache result{{}, lengths, capacity};
  for (const LayerCache& layer : layers) result.layers.push_back(layer.clone());
  return result;
}

ModelCache ModelCache::select_rows(std::span<const int64_t> rows) const {
  ModelCache result{{}, {}, capacity};
  for (const LayerCache& layer : layers) result.layers.push_back(layer.select_rows(rows));
  for (const int64_t row : rows) result.lengths.push_back(lengths[static_cast<size_t>(row)]);
  return result;
}

void ModelCache::assign_row(int64_t to, const ModelCache& source, int64_t from) {
  check(capacity == source.capacity && layers.size() == source.layers.size(),
        "model cache: rows can only be assigned between caches of one model and capacity");
  for (size_t i = 0; i < layers.size(); ++i) layers[i].assign_row(to, source.layers[i], from);
  lengths[static_cast<size_t>(to)] = source.lengths[static_cast<size_t>(from)];
}

size_t ModelCache::nbytes() const {
  size_t nbytes = 0;
  for (const LayerCache& layer : layers) nbytes += layer.nbytes();
  return nbytes;
}

void LanguageModel::allocate(ArenaOptions options) {
  if (arena_) throw std::logic_error("model: allocate() was called before");
  if (!options.group_of)
    options.group_of = [this](const std::string& name, const Shape& sizes) { return parameter_group(name, sizes); };
  arena_ = std::make_unique<ParameterArena>(*this, options);
}

ParameterArena& LanguageModel::parameters() {
  if (!arena_) throw std::logic_error("model: call allocate() before parameters()");
  return *arena_;
}

const ParameterArena& LanguageModel::parameters() const {
  if (!arena_) throw std::logic_error("model: call allocate() before parameters()");
  return *arena_;
}

Device LanguageModel::device() const { return parameters().groups().front().values.device(); }

void LanguageModel::check_ids(const Tensor& ids, const char* function) const {
  if (!ids.defined() || ids.rank() != 2 || (ids.dtype() != Dtype::i32 && ids.dtype() != Dtype::i64))
    fail("{}: ids must be [B,T] i32 or i64; got {}", function, ids.defined() ? describe(ids) : "nothing");
  check(ids.size(1) >= 1 && ids.size(1) <= config().max_seq_len,
        "{}: sequences must have 1 to {} tokens (max_seq_len); got {}", function, config().max_seq_len, ids.size(1));
}

Tensor LanguageModel::logits(const Tensor& ids, const ForwardContext& context) const {
  check_ids(ids, "logits");
  const PhaseScope phase(Phase::forward);
  const Tensor x = hidden(ids, context);
  const RegionScope region("head");
  const Head last = head();
  return linear(x, last.weight, last.bias);
}

Tensor LanguageModel::loss(const Tensor& ids, const Tensor& targets, const ForwardContext& context) const {
  check_ids(ids, "loss");
  if (!targets.defined() || !(targets.shape() == ids.shape()))
    fail("loss: targets must be {} as ids; got {}", to_string(ids.shape()),
         targets.defined() ? describe(targets) : "nothing");
  const PhaseScope phase(Phase::forward);
  const Tensor x = hidden(ids, context);
  const RegionScope region("head");
  const int64_t N = ids.numel();
  const Head last = head();
  return linear_cross_entropy(reshape(x, {N, config().d_model}), last.weight, last.bias, reshape(targets, {N}), -1,
                              context.filter);
}

ModelCache LanguageModel::make_cache(int64_t batch, int64_t capacity) const {
  if (capacity == 0) capacity = config().max_seq_len;
  check(batch >= 1 && capacity >= 1 && capacity <= config().max_seq_len,
        "cache: at least one row, and 1 to {} tokens a row (max_seq_len); got {} and {}", config().max_seq_len, batch,
        capacity);
  return {make_layer_caches(batch, capacity), std::vector<int32_t>(static_cast<size_t>(batch), 0), capacity};
}

Tensor LanguageModel::extend(const Tensor& ids, std::span<const int32_t> lengths, ModelCache& cache) const {
  check_ids(ids, "extend");
  check(ids.size(0) == cache.batch(), "extend: ids must have the {} rows of the cache; got {}", cache.batch(),
        ids.size(0));
  const NoGrad no_grad;
  const TokenPositions positions(cache.lengths, lengths, ids.size(1), device());
  check(positions.max_end <= cache.capacity, "extend: the cache has room for {} tokens a row; this call needs {}",
        cache.capacity, positions.max_end);
  const PhaseScope phase(Phase::forward);
  const Tensor y = extend_hidden(to_device(ids, device()), cache.layers, positions);  // [B,T,d]
  for (size_t b = 0; b < lengths.size(); ++b) cache.lengths[b] += lengths[b];
  const RegionScope region("head");
  const Tensor x = last_rows(y, lengths);  // [B,d]
  const Head last = head();
  return linear(x, last.weight, last.bias);  // [B,V]
}

MemoryEstimate LanguageModel::memory_estimate(int64_t B, int64_t T) const {
  MemoryEstimate memory;
  memory.weights = 4.0 * static_cast<double>(parameter_count());
  memory.gradients = memory.weights;
  memory.moments = 2.0 * memory.weights;
  // The fused head keeps the gradient of its weight from the forward pass to the backward pass.
  const double head_gradient = static_cast<double>(config().vocab_size * config().d_model);
  memory.activations = 4.0 * (static_cast<double>(B * T) * saved_per_token() + head_gradient);
  return memory;
}

}  // namespace vigor
