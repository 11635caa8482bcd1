#pragma once
// Sequences that grow together, with their caches: prompts of any lengths first, then a token at a time, and, in a
// chat, the next prompt behind what was generated.
//
// Memory     a call of the model never has more than prefill_chunk tokens, padding included, unless there are more
//            sequences than that: a longer prompt goes through in pieces, a batch of long prompts one by one. The
//            caches have room for what is there and a part of what may come; they grow when that is used up.
#include <cstdint>
#include <span>
#include <vector>

#include "models/generation.h"
#include "models/model.h"

namespace vigor {

class Continuation {
 public:
  Continuation(const LanguageModel& model, int64_t sequences, Window window, int64_t prefill_chunk,
               WindowCallback on_window = {});

  // Ids behind those of sequence i; nothing is computed yet.
  void add(size_t i, std::span<const int32_t> ids);
  // Samples up to max_new_tokens behind each sequence; the result has the new ids of each. What was sampled is part of
  // the sequence, but for an end id. A sequence that ends while others go on is dropped (sequence i is then the i-th of
  // those left); the last ones stay, and more may be added to them. std::invalid_argument when a sequence is empty.
  std::vector<std::vector<int32_t>> generate(const GenerateOptions& options, const TokenCallback& on_token = {});

  size_t size() const { return contexts_.size(); }
  int64_t cached_tokens() const;  // of the longest sequence
  size_t cache_bytes() const { return cache_.nbytes(); }

 private:
  void advance(int64_t more);
  void reserve(int64_t needed, int64_t more);
  void cut(std::vector<int32_t>& context);
  void restart(size_t i, size_t length);
  void keep(const std::vector<int64_t>& kept);
  int32_t choose(size_t i, int64_t n, const GenerateOptions& options) const;
  Tensor feed(std::span<const int32_t> ids, ModelCache& cache) const;
  std::vector<Tensor> feed_all(const std::vector<std::span<const int32_t>>& rows);

  const LanguageModel& model_;
  WindowCallback on_window_;
  int64_t max_length_, kept_, prefill_chunk_;  // kept_: tokens that a context is cut to
  size_t sequences_;                           // at the beginning
  bool announced_ = false;
  std::vector<std::vector<int32_t>> contexts_;  // the caches hold the first cache_.lengths[i] tokens of each
  std::vector<std::vector<int32_t>> seen_;  // the different ids of each sequence, cut or not, in order of appearance
  std::vector<std::vector<bool>> is_seen_;  // [V] each
  std::vector<int64_t> rows_;               // of each sequence that is left, its number at the beginning
  ModelCache cache_;
  std::vector<Tensor> logits_;  // [1,V] each, for the next token
};

}  // namespace vigor
