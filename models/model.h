#pragma once
// What every language model offers to the trainer, evaluation and generation. A family (models/i3) derives from
// LanguageModel, implements the few virtual functions, and adds itself to models/families.cpp.
//
// Sizes: B sequences, T tokens each, d channels, V vocabulary.
#include <memory>
#include <string>
#include <vector>

#include "models/config.h"
#include "nn/forward_context.h"
#include "nn/layer_cache.h"
#include "nn/parameter_arena.h"

namespace vigor {

// The caches of all layers for B sequences under generation.
struct ModelCache {
  std::vector<LayerCache> layers;
  std::vector<int32_t> lengths;  // tokens that each row has seen
  int64_t capacity = 0;          // the most that a row may see

  int64_t batch() const { return static_cast<int64_t>(lengths.size()); }
  ModelCache clone() const;
  ModelCache select_rows(std::span<const int64_t> rows) const;
  void assign_row(int64_t to, const ModelCache& source, int64_t from);  // of the same model and capacity
  size_t nbytes() const;
};

// The last layer: logits = hidden weight^T + bias.
struct Head {
  Tensor weight;  // [V,d]
  Tensor bias;    // [V] or undefined
};

struct LayerSummary {
  std::string name;  // "layers.0"
  std::string kind;  // "hybrid"
  int64_t parameters = 0;
};

// Bytes of a training step with AdamW and no recomputation. The last is an estimate: what the graph keeps for backward.
struct MemoryEstimate {
  double weights = 0, gradients = 0, moments = 0, activations = 0;
  double total() const { return weights + gradients + moments + activations; }
};

class LanguageModel : public Module {
 public:
  virtual const ModelConfig& config() const = 0;

  // ---- memory; a model is declared first and allocated when it is known to be wanted ----
  // Zeroed parameters, in the groups of parameter_group() unless the options say otherwise; once (std::logic_error).
  void allocate(ArenaOptions options = {});
  ParameterArena& parameters();  // std::logic_error before allocate()
  const ParameterArena& parameters() const;
  Device device() const;  // of the parameters; std::logic_error before allocate()

  // ---- whole sequences ----
  // ids [B,T] i32 or i64 in 0..V-1 on the model's device, T <= max_seq_len (std::invalid_argument) -> logits [B,T,V].
  Tensor logits(const Tensor& ids, const ForwardContext& context = {}) const;
  // Mean cross-entropy [] over the targets [B,T] that are not -1, without ever holding all logits.
  Tensor loss(const Tensor& ids, const Tensor& targets, const ForwardContext& context = {}) const;
  // What the head reads: [B,T,d].
  virtual Tensor hidden(const Tensor& ids, const ForwardContext& context) const = 0;
  virtual Head head() const = 0;
  // A weight that a file may hold although the model has no use for it, such as the head of a model whose head is tied.
  virtual bool ignores_weight(const std::string& /*name*/) const { return false; }

  // ---- training ----
  // Parameters that train at another learning rate than the rest, as muP wants it: the number of the group that a
  // parameter belongs to, and by group number what the run's learning rate is multiplied with. By default all train
  // alike.
  virtual int parameter_group(const std::string& /*name*/, const Shape& /*sizes*/) const { return 0; }
  virtual std::vector<double> learning_rate_scales() const { return {1.0}; }

  // ---- one piece after the other, without gradients ----
  // `capacity` is at most max_seq_len; 0 means max_seq_len.
  ModelCache make_cache(int64_t batch, int64_t capacity = 0) const;
  // Continues row b by ids[b, 0..lengths[b]-1] (the rest of the row is padding and may hold any id in 0..V-1) and
  // returns the logits [B,V] that follow its last token. ids may be in host memory. A prompt is one call, each further
  // token a call with T = 1. Throws std::invalid_argument when a row would exceed the capacity; the cache is unchanged
  // then.
  Tensor extend(const Tensor& ids, std::span<const int32_t> lengths, ModelCache& cache) const;

  // ---- reports ----
  virtual std::vector<LayerSummary> layer_summaries() const = 0;
  // Multiply-adds count as two; averaged over the positions of a sequence of T tokens. Training: three times as many.
  virtual double forward_flops_per_token(int64_t T) const = 0;
  double training_flops_per_token(int64_t T) const { return 3.0 * forward_flops_per_token(T); }
  MemoryEstimate memory_estimate(int64_t B, int64_t T) const;  // float32

 protected:
  virtual std::vector<LayerCache> make_layer_caches(int64_t batch, int64_t capacity) const = 0;
  // hidden() of a piece of the sequences; the layer caches move on.
  virtual Tensor extend_hidden(const Tensor& ids, std::vector<LayerCache>& caches,
                               const TokenPositions& positions) const = 0;
  // Elements that a training step keeps for backward, for each token.
  virtual double saved_per_token() const = 0;

 private:
  void check_ids(const Tensor& ids, const char* function) const;
  std::unique_ptr<ParameterArena> arena_;
};

}  // namespace vigor
