#pragma once
// What one training step computes: forward and backward of `accumulate` batches, clipping, AdamW. The trainer runs it
// on its data; `vigor profile` and the programs in bench/ measure it, on random ids where there are no data.
//
//   TrainingStep step(model, config, device);
//   step.load(fill);              // ids and targets
//   step.set_inputs(number, lr);
//   step.run();
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "models/model.h"
#include "tensor/staged_tensor.h"
#include "tensor/step_state.h"
#include "train/optimizer.h"
#include "train/run_config.h"

namespace vigor {

class TrainingStep {
 public:
  // The model, which must outlive the step, has its gradients allocated. Of `config` count the sizes of the batches and
  // the options of the optimiser, of the forward pass and the seed.
  TrainingStep(LanguageModel& model, const RunConfig& config, Device device);

  // Writes the ids and targets, [B*T] each, of batch number `micro` of the step.
  using Fill = std::function<void(int64_t micro, std::span<int32_t> ids, std::span<int32_t> targets)>;
  void load(const Fill& fill);
  // What the step numbered `step` reads beside them; does not wait for the device.
  void set_inputs(int64_t step, double learning_rate);

  // Everything between what the host puts in and what it reads: nothing here waits for the device.
  void run();
  // Its first half, which leaves the loss and the gradients.
  void compute_gradients();

  const Tensor& loss() const { return loss_; }       // f32 [], mean over the step's tokens
  StepState state() const { return state_.read(); }  // waits for the device
  Optimizer& optimizer() { return optimizer_; }
  // With config.filter_gradients, of all steps since it was forgotten.
  const FilterCount& filter_count() const { return filter_count_; }
  void forget_filter_count() { filter_count_ = {}; }
  int64_t tokens() const;  // of a step

 private:
  void add_batch(int64_t micro);

  LanguageModel& model_;
  const RunConfig config_;
  Optimizer optimizer_;
  StepStateMemory state_;
  struct Batch {
    StagedTensor ids, targets;  // i32 [B,T]
  };
  std::vector<Batch> batches_;  // `accumulate` of them
  Tensor loss_;
  FilterCount filter_count_;
};

// Ids drawn evenly from a vocabulary, others in each step.
TrainingStep::Fill random_ids(int64_t vocab_size, int64_t step);

}  // namespace vigor
