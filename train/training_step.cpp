#include "train/training_step.h"

#include "autograd/engine.h"
#include "kernels/elementwise/elementwise.h"
#include "tensor/op_scope.h"
#include "tensor/primitives.h"

namespace vigor {
namespace {

OptimizerOptions optimizer_options(const RunConfig& config, const LanguageModel& model) {
  return {{config.beta1, config.beta2, config.eps, config.weight_decay},
          config.clip,
          config.stochastic_rounding,
          config.moments == "bf16",
          static_cast<uint64_t>(config.seed),
          model.learning_rate_scales()};
}

std::span<int32_t> values_of(const Tensor& x) { return {x.data<int32_t>(), static_cast<size_t>(x.numel())}; }

}  // namespace

TrainingStep::TrainingStep(LanguageModel& model, const RunConfig& config, Device device)
    : model_(model),
      config_(config),
      optimizer_(model.parameters(), optimizer_options(config, model)),
      state_(device),
      loss_(zeros({}, Dtype::f32, device)) {
  const Shape sizes{config.batch_size, config.seq_len};
  for (int64_t micro = 0; micro < config.accumulate; ++micro)
    batches_.push_back({StagedTensor(sizes, Dtype::i32, device), StagedTensor(sizes, Dtype::i32, device)});
}

int64_t TrainingStep::tokens() const { return config_.accumulate * config_.batch_size * config_.seq_len; }

void TrainingStep::load(const Fill& fill) {
  const PhaseScope phase(Phase::data);
  for (size_t micro = 0; micro < batches_.size(); ++micro) {
    Batch& batch = batches_[micro];
    fill(static_cast<int64_t>(micro), values_of(batch.ids.host()), values_of(batch.targets.host()));
    batch.ids.send();
    batch.targets.send();
  }
}

void TrainingStep::set_inputs(int64_t step, double learning_rate) {
  const PhaseScope phase(Phase::data);
  state_.set_inputs(optimizer_.inputs(step, learning_rate));
}

// Adds the loss of one batch to loss_ and its gradients to the arena.
void TrainingStep::add_batch(int64_t micro) {
  ForwardContext context;
  context.dropout = config_.dropout;
  context.seed = static_cast<uint64_t>(config_.seed);
  context.state = state_.on_device();
  context.micro_batch = static_cast<uint32_t>(micro);
  context.recompute = config_.recompute;
  context.bf16_activations = config_.activations == "bf16";
  context.filter = {config_.filter_gradients, &filter_count_};
  const Batch& batch = batches_[static_cast<size_t>(micro)];
  Tensor loss = model_.loss(batch.ids.on_device(), batch.targets.on_device(), context);
  if (config_.accumulate > 1) loss = mul(loss, 1.0 / static_cast<double>(config_.accumulate));
  backward(loss);
  accumulate(loss_, loss);
}

void TrainingStep::compute_gradients() {
  const PhaseScope phase(Phase::forward);  // backward() sets its own
  fill(loss_, 0);
  model_.parameters().zero_gradients();
  for (int64_t micro = 0; micro < config_.accumulate; ++micro) add_batch(micro);
}

void TrainingStep::run() {
  compute_gradients();
  optimizer_.measure(state_.on_device());
  optimizer_.update(state_.on_device());
}

TrainingStep::Fill random_ids(int64_t vocab_size, int64_t step) {
  return [=](int64_t micro, std::span<int32_t> ids, std::span<int32_t> targets) {
    const RandomKey key{1, RandomStream::data, static_cast<uint32_t>(micro), static_cast<uint32_t>(step)};
    const auto V = static_cast<uint64_t>(vocab_size);
    for (size_t i = 0; i < ids.size(); ++i) {
      ids[i] = static_cast<int32_t>(random_bits(key, 2 * i) % V);
      targets[i] = static_cast<int32_t>(random_bits(key, 2 * i + 1) % V);
    }
  };
}

}  // namespace vigor
