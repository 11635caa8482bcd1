#include "models/continuation.h"

#include <algorithm>

#include "autograd/variable.h"
#include "kernels/repetition_penalty/repetition_penalty.h"
#include "kernels/views/views.h"
#include "tensor/check.h"
#include "tensor/primitives.h"

namespace vigor {
namespace {

constexpr int64_t kSpareTokens = 512;  // room that a cache has at least for what may come

// Becomes `target`, a fresh cache of more capacity: a tensor of other sizes there has room for more tokens along the
// dimension that differs, and what it holds is copied; the others are states, which are taken over.
void move_into(ModelCache& target, const ModelCache& source) {
  target.lengths = source.lengths;
  for (size_t layer = 0; layer < source.layers.size(); ++layer) {
    for (size_t i = 0; i < source.layers[layer].tensors.size(); ++i) {
      const Tensor& from = source.layers[layer].tensors[i];
      Tensor& to = target.layers[layer].tensors[i];
      if (to.shape() == from.shape()) {
        to = from;
        continue;
      }
      TensorView room = to.view();
      for (int dim = 0; dim < from.rank(); ++dim)
        if (to.size(dim) != from.size(dim)) room = sliced(room, dim, 0, from.size(dim), 1, "cache");
      copy(room, from.view());
      to.storage()->bump_version();
    }
  }
}

}  // namespace

Continuation::Continuation(const LanguageModel& model, int64_t sequences, Window window, int64_t prefill_chunk,
                           WindowCallback on_window)
    : model_(model),
      on_window_(std::move(on_window)),
      max_length_(model.config().max_seq_len),
      kept_(window == Window::half ? std::max<int64_t>(max_length_ / 2, 1) : max_length_),
      prefill_chunk_(prefill_chunk),
      sequences_(static_cast<size_t>(sequences)) {
  check(prefill_chunk >= 1, "generate: prefill_chunk must be at least 1; got {}", prefill_chunk);
  contexts_.resize(sequences_);
  seen_.resize(sequences_);
  is_seen_.resize(sequences_, std::vector<bool>(static_cast<size_t>(model.config().vocab_size)));
  for (int64_t row = 0; row < sequences; ++row) rows_.push_back(row);
  cache_.lengths.resize(sequences_);
}

void Continuation::add(size_t i, std::span<const int32_t> ids) {
  for (const int32_t id : ids) {
    check(id >= 0 && id < model_.config().vocab_size, "generate: ids must be in 0..{}; got {}",
          model_.config().vocab_size - 1, id);
    contexts_[i].push_back(id);
    if (is_seen_[i][static_cast<size_t>(id)]) continue;
    is_seen_[i][static_cast<size_t>(id)] = true;
    seen_[i].push_back(id);
  }
}

std::vector<std::vector<int32_t>> Continuation::generate(const GenerateOptions& options,
                                                         const TokenCallback& on_token) {
  check(options.max_new_tokens >= 0, "generate: max_new_tokens must not be negative; got {}", options.max_new_tokens);
  const NoGrad no_grad;
  std::vector<std::vector<int32_t>> results(sequences_);
  for (int64_t n = 0; n < options.max_new_tokens; ++n) {
    advance(options.max_new_tokens - n);
    std::vector<int64_t> going_on;
    for (size_t i = 0; i < contexts_.size(); ++i) {
      const int32_t id = choose(i, n, options);
      if (std::find(options.end_ids.begin(), options.end_ids.end(), id) != options.end_ids.end()) continue;
      results[static_cast<size_t>(rows_[i])].push_back(id);
      add(i, {&id, 1});
      if (!on_token || on_token(rows_[i], id)) going_on.push_back(static_cast<int64_t>(i));
    }
    if (going_on.empty()) break;
    if (going_on.size() < contexts_.size()) keep(going_on);
  }
  return results;
}

// One call a row: its random numbers then depend on the prompt's index and not on who else is still growing.
int32_t Continuation::choose(size_t i, int64_t n, const GenerateOptions& options) const {
  Tensor logits = logits_[i];
  if (options.repetition_penalty != 1) {
    const Tensor seen = from_values(seen_[i], {1, static_cast<int64_t>(seen_[i].size())});
    logits = repetition_penalty(logits, to_device(seen, logits.device()), {}, options.repetition_penalty);
  }
  const RandomKey key{options.seed, RandomStream::sampling, static_cast<uint32_t>(rows_[i]), static_cast<uint32_t>(n)};
  return sample(logits, options.sampling, key).item<int32_t>();
}

// Computes what was added: the caches hold every context then, and logits_ what follows. `more` tokens may come.
void Continuation::advance(int64_t more) {
  std::vector<std::span<const int32_t>> added;
  std::vector<bool> outgrown;
  int64_t needed = 0;
  for (size_t i = 0; i < contexts_.size(); ++i) {
    std::vector<int32_t>& context = contexts_[i];
    check(!context.empty(), "generate: every prompt needs at least one token; prompt {} has none", rows_[i]);
    const size_t fresh = context.size() - static_cast<size_t>(cache_.lengths[i]);
    check(fresh > 0, "generate: sequence {} needs a token after which to go on", rows_[i]);
    outgrown.push_back(static_cast<int64_t>(context.size()) > max_length_);
    if (outgrown.back()) cut(context);
    added.push_back(std::span(context).last(std::min(fresh, context.size())));
    needed = std::max(needed, static_cast<int64_t>(context.size()));
  }
  reserve(needed, more);
  for (size_t i = 0; i < contexts_.size(); ++i)
    if (outgrown[i]) restart(i, contexts_[i].size() - added[i].size());
  logits_ = feed_all(added);
}

void Continuation::cut(std::vector<int32_t>& context) {
  context.erase(context.begin(), context.end() - static_cast<std::ptrdiff_t>(kept_));
  if (on_window_ && !announced_) on_window_(max_length_);
  announced_ = true;
}

// Sequence i outgrew the model: its cache is rebuilt from the first `length` tokens of the shortened context.
void Continuation::restart(size_t i, size_t length) {
  ModelCache fresh = model_.make_cache(1, cache_.capacity);
  if (length > 0) feed(std::span(contexts_[i]).first(length), fresh);
  cache_.assign_row(static_cast<int64_t>(i), fresh, 0);
}

void Continuation::reserve(int64_t needed, int64_t more) {
  if (needed <= cache_.capacity) return;
  const int64_t spare = std::min(more, std::max(kSpareTokens, needed / 2));
  const ModelCache old = std::move(cache_);
  cache_ = model_.make_cache(static_cast<int64_t>(contexts_.size()), std::min(max_length_, needed + spare));
  if (old.capacity > 0) move_into(cache_, old);
}

// Drops the sequences that ended.
void Continuation::keep(const std::vector<int64_t>& kept) {
  cache_ = cache_.select_rows(kept);
  const auto pick = [&kept](auto& values) {
    std::remove_reference_t<decltype(values)> picked;
    for (const int64_t i : kept) picked.push_back(std::move(values[static_cast<size_t>(i)]));
    values = std::move(picked);
  };
  pick(contexts_);
  pick(seen_);
  pick(is_seen_);
  pick(rows_);
}

// One sequence in pieces -> the logits [1,V] after its last token.
Tensor Continuation::feed(std::span<const int32_t> ids, ModelCache& cache) const {
  Tensor logits;
  for (size_t begin = 0; begin < ids.size();) {
    const auto piece = ids.subspan(begin, std::min(static_cast<size_t>(prefill_chunk_), ids.size() - begin));
    const auto T = static_cast<int32_t>(piece.size());
    logits = model_.extend(from_values(piece, {1, T}), {&T, 1}, cache);
    begin += piece.size();
  }
  return logits;
}

// All sequences: padded to one call where that is no larger than a piece, else one by one.
std::vector<Tensor> Continuation::feed_all(const std::vector<std::span<const int32_t>>& rows) {
  const auto B = static_cast<int64_t>(rows.size());
  if (B == 1) return {feed(rows[0], cache_)};
  std::vector<int32_t> lengths;
  for (const auto& row : rows) lengths.push_back(static_cast<int32_t>(row.size()));
  const int64_t T = *std::max_element(lengths.begin(), lengths.end());
  std::vector<Tensor> result;
  if (T > 1 && B * T > prefill_chunk_) {
    for (int64_t b = 0; b < B; ++b) {
      ModelCache cache = cache_.select_rows(std::span(&b, 1));
      result.push_back(feed(rows[static_cast<size_t>(b)], cache));
      cache_.assign_row(b, cache, 0);
    }
    return result;
  }
  std::vector<int32_t> padded(static_cast<size_t>(B * T), 0);
  for (int64_t b = 0; b < B; ++b)
    std::copy(rows[static_cast<size_t>(b)].begin(), rows[static_cast<size_t>(b)].end(), padded.begin() + b * T);
  const Tensor logits = model_.extend(from_values(padded, {B, T}), lengths, cache_);
  for (int64_t b = 0; b < B; ++b) result.push_back(slice(logits, 0, b, b + 1));
  return result;
}

int64_t Continuation::cached_tokens() const {
  return cache_.lengths.empty() ? 0 : *std::max_element(cache_.lengths.begin(), cache_.lengths.end());
}

}  // namespace vigor
