#include "models/generation.h"

#include <algorithm>

#include "autograd/variable.h"
#include "kernels/views/views.h"
#include "tensor/check.h"

namespace vigor {
namespace {

// The sequences that are still growing, with their caches.
class Continuation {
 public:
  Continuation(const LanguageModel& model, const std::vector<std::vector<int32_t>>& prompts,
               const GenerateOptions& options, const WindowCallback& on_window)
      : model_(model), on_window_(on_window), max_length_(model.config().max_seq_len) {
    kept_ = options.window == Window::half ? std::max<int64_t>(max_length_ / 2, 1) : max_length_;
    int64_t longest = 0;
    for (size_t b = 0; b < prompts.size(); ++b) {
      check(!prompts[b].empty(), "generate: every prompt needs at least one token; prompt {} has none", b);
      contexts_.push_back(prompts[b]);
      rows_.push_back(static_cast<int64_t>(b));
      if (static_cast<int64_t>(prompts[b].size()) > max_length_) cut(contexts_.back());
      longest = std::max(longest, static_cast<int64_t>(contexts_.back().size()));
    }
    capacity_ = std::min(max_length_, longest + options.max_new_tokens);
    cache_ = model.make_cache(static_cast<int64_t>(rows_.size()), capacity_);
    logits_ = feed(contexts_, cache_);
  }

  size_t size() const { return rows_.size(); }
  int64_t row(size_t i) const { return rows_[i]; }  // of the i-th sequence among the prompts
  Tensor logits(size_t i) const {                   // [1,V], for its next token
    return slice(logits_, 0, static_cast<int64_t>(i), static_cast<int64_t>(i) + 1);
  }

  // Drops the sequences that ended.
  void keep(const std::vector<int64_t>& kept) {
    cache_ = cache_.select_rows(kept);
    std::vector<std::vector<int32_t>> contexts;
    std::vector<int64_t> rows;
    for (const int64_t i : kept) {
      contexts.push_back(std::move(contexts_[static_cast<size_t>(i)]));
      rows.push_back(rows_[static_cast<size_t>(i)]);
    }
    contexts_ = std::move(contexts);
    rows_ = std::move(rows);
  }

  // One token for each sequence.
  void advance(const std::vector<int32_t>& next) {
    std::vector<std::vector<int32_t>> ids;
    for (size_t i = 0; i < rows_.size(); ++i) {
      contexts_[i].push_back(next[i]);
      if (cache_.lengths[i] == max_length_) restart(i);
      ids.push_back({next[i]});
    }
    logits_ = feed(ids, cache_);
  }

 private:
  void cut(std::vector<int32_t>& context) {
    context.erase(context.begin(), context.end() - static_cast<std::ptrdiff_t>(kept_));
    if (on_window_ && !announced_) on_window_(max_length_);
    announced_ = true;
  }

  // Sequence i outgrew the model: its cache is rebuilt from the shortened context, all but the new last token, which
  // then joins the others in the next call.
  void restart(size_t i) {
    cut(contexts_[i]);
    ModelCache fresh = model_.make_cache(1, capacity_);
    const std::vector<int32_t> before_last(contexts_[i].begin(), contexts_[i].end() - 1);
    if (!before_last.empty()) feed({before_last}, fresh);
    cache_.assign_row(static_cast<int64_t>(i), fresh, 0);
  }

  // Ragged rows, padded on the right -> logits [B,V] after the last token of each.
  Tensor feed(const std::vector<std::vector<int32_t>>& rows, ModelCache& cache) const {
    std::vector<int32_t> lengths;
    for (const auto& row : rows) lengths.push_back(static_cast<int32_t>(row.size()));
    const int64_t B = static_cast<int64_t>(rows.size());
    const int64_t T = *std::max_element(lengths.begin(), lengths.end());
    std::vector<int32_t> padded(static_cast<size_t>(B * T), 0);
    for (int64_t b = 0; b < B; ++b)
      std::copy(rows[static_cast<size_t>(b)].begin(), rows[static_cast<size_t>(b)].end(), padded.begin() + b * T);
    return model_.extend(from_values(padded, {B, T}), lengths, cache);
  }

  const LanguageModel& model_;
  const WindowCallback& on_window_;
  int64_t max_length_;
  int64_t kept_ = 0;      // tokens that a context is cut to
  int64_t capacity_ = 0;  // of the caches; below max_length_ when no sequence can get there
  bool announced_ = false;
  std::vector<std::vector<int32_t>> contexts_;  // what the caches hold, and the token just chosen
  std::vector<int64_t> rows_;
  ModelCache cache_;
  Tensor logits_;  // [B,V]
};

}  // namespace

std::vector<std::vector<int32_t>> generate(const LanguageModel& model, const std::vector<std::vector<int32_t>>& prompts,
                                           const GenerateOptions& options, const TokenCallback& on_token,
                                           const WindowCallback& on_window) {
  check(options.max_new_tokens >= 0, "generate: max_new_tokens must not be negative; got {}", options.max_new_tokens);
  std::vector<std::vector<int32_t>> results(prompts.size());
  if (prompts.empty() || options.max_new_tokens == 0) return results;
  const NoGrad no_grad;
  Continuation sequences(model, prompts, options, on_window);
  for (int64_t n = 0; n < options.max_new_tokens && sequences.size() > 0; ++n) {
    std::vector<int64_t> going_on;  // indices into `sequences`
    std::vector<int32_t> next;
    for (size_t i = 0; i < sequences.size(); ++i) {
      // One call a row: its random numbers then depend on the prompt's index and not on who else is still growing.
      const int64_t row = sequences.row(i);
      const RandomKey key{options.seed, RandomStream::sampling, static_cast<uint32_t>(row), static_cast<uint32_t>(n)};
      const int32_t id = sample(sequences.logits(i), options.sampling, key).item<int32_t>();
      if (options.end_id == id) continue;
      results[static_cast<size_t>(row)].push_back(id);
      if (on_token && !on_token(row, id)) continue;
      going_on.push_back(static_cast<int64_t>(i));
      next.push_back(id);
    }
    if (going_on.empty() || n + 1 == options.max_new_tokens) break;
    if (going_on.size() < sequences.size()) sequences.keep(going_on);
    sequences.advance(next);
  }
  return results;
}

std::string generate_text(const LanguageModel& model, const Tokenizer& tokenizer, std::string_view prompt,
                          const GenerateOptions& options, const std::function<bool(std::string_view)>& on_text,
                          const WindowCallback& on_window) {
  const std::vector<int32_t> ids = tokenizer.encode(prompt);
  check(!ids.empty(), "generate: the prompt must have at least one token; got \"{}\"", prompt);
  std::string text;
  StreamDecoder decoder(tokenizer);
  const auto emit = [&](const std::string& piece) {
    text += piece;
    return piece.empty() || !on_text || on_text(piece);
  };
  bool wanted = true;
  const auto on_token = [&](int64_t, int32_t id) { return wanted = emit(decoder.push(id)); };
  generate(model, {ids}, options, on_token, on_window);
  if (wanted) emit(decoder.finish());
  return text;
}

}  // namespace vigor
