#pragma once
// What every family of models must do in training, on the CPU. Models have initial values; T is the length of the two
// sequences they are trained on.
#include "autograd/graph.h"
#include "tests/support/parity_fixture.h"

namespace vigor::testing {

struct TrainingBatch {
  TrainingBatch(const LanguageModel& model, int64_t T)
      : ids(random_ids({2, T}, model.config().vocab_size)),
        targets(random_ids({2, T}, model.config().vocab_size, Dtype::i32, 1)) {}
  Tensor ids, targets;
};

// `steps` steps on one batch bring its loss to nearly 0. Returns the loss before them.
inline double expect_learns_by_heart(LanguageModel& model, int64_t T, int64_t steps, double learning_rate) {
  const TrainingBatch batch(model, T);
  Recipe recipe(model);
  double first = 0;
  for (int64_t step = 0; step < steps; ++step) {
    recipe.state.set_inputs(recipe.optimizer->inputs(step, learning_rate));
    recipe.run(batch.ids, batch.targets);
    if (step == 0) first = recipe.loss.item<float>();
  }
  EXPECT_LT(recipe.loss.item<float>(), 0.05);
  return first;
}

// With dropout, whose masks repeat. make() -> a model, the same each time.
template <class Make>
void expect_recomputation_keeps_less(const Make& make, int64_t T) {
  std::vector<std::vector<float>> gradients;
  std::vector<size_t> saved;
  for (const bool recompute : {false, true}) {
    const std::unique_ptr<LanguageModel> model = make();
    const TrainingBatch batch(*model, T);
    model->parameters().allocate_gradients();
    ForwardContext context;
    context.dropout = 0.2;
    context.recompute = recompute;
    const Tensor loss = model->loss(batch.ids, batch.targets, context);
    saved.push_back(saved_bytes(loss));
    backward(loss);
    model->parameters().complete_gradients();
    gradients.push_back(model->parameters().groups()[0].gradients.to_vector<float>());
  }
  EXPECT_EQ(gradients[0], gradients[1]);
  EXPECT_LT(saved[1], saved[0] / 2);
}

// With activations in bf16 beside f32 weights, the gradients are f32 and those of f32 activations but for a share
// `tolerance` of their length, and the graph keeps at most `share` of the bytes beside the parameters: half, but for
// states, statistics and the gradient of the head, which stay f32. Recomputation changes no bit.
inline void expect_bf16_activations_keep_less(LanguageModel& model, int64_t T, double share, double tolerance) {
  const TrainingBatch batch(model, T);
  ParameterArena& arena = model.parameters();
  arena.allocate_gradients();
  double saved[2] = {};
  std::vector<double> gradients[2];
  ForwardContext context;
  for (const int bf16 : {0, 1}) {
    context.bf16_activations = bf16 == 1;
    arena.zero_gradients();
    const Tensor loss = model.loss(batch.ids, batch.targets, context);
    EXPECT_EQ(loss.dtype(), Dtype::f32);
    saved[bf16] = static_cast<double>(saved_bytes(loss)) - static_cast<double>(arena.groups()[0].values.nbytes());
    backward(loss);
    arena.complete_gradients();
    gradients[bf16] = arena.groups()[0].gradients.to_vector<double>();
  }
  double length = 0, error = 0;
  for (size_t i = 0; i < gradients[0].size(); ++i) {
    length += gradients[0][i] * gradients[0][i];
    error += (gradients[1][i] - gradients[0][i]) * (gradients[1][i] - gradients[0][i]);
  }
  EXPECT_GT(error, 0);
  EXPECT_LT(std::sqrt(error / length), tolerance);
  EXPECT_LT(saved[1], share * saved[0]);

  context.recompute = true;
  arena.zero_gradients();
  backward(model.loss(batch.ids, batch.targets, context));
  arena.complete_gradients();
  EXPECT_EQ(arena.groups()[0].gradients.to_vector<double>(), gradients[1]);
}

inline void expect_no_memory_from_the_third_step(LanguageModel& model, int64_t T) {
  const TrainingBatch batch(model, T);
  Recipe recipe(model);
  uint64_t requests = 0;
  for (int step = 0; step < 6; ++step) {
    recipe.begin(step);
    recipe.run(batch.ids, batch.targets);
    if (step == 1) requests = allocator_of(kCpu).stats().system_requests;
  }
  EXPECT_EQ(allocator_of(kCpu).stats().system_requests, requests);
}

// Against what the graph of one loss holds, beside the parameters themselves.
inline void expect_memory_estimate(const LanguageModel& model, int64_t B, int64_t T) {
  const MemoryEstimate estimate = model.memory_estimate(B, T);
  EXPECT_EQ(estimate.weights, 4.0 * static_cast<double>(model.parameter_count()));
  EXPECT_EQ(estimate.total(), 4 * estimate.weights + estimate.activations);
  const Tensor ids = random_ids({B, T}, model.config().vocab_size);
  const double saved = static_cast<double>(saved_bytes(model.loss(ids, ids))) -
                       static_cast<double>(model.parameters().groups()[0].values.nbytes());
  EXPECT_GT(estimate.activations, 0.9 * saved);
  EXPECT_LT(estimate.activations, 1.1 * saved);
}

}  // namespace vigor::testing
