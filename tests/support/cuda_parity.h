#pragma once
// What every family of models must do on kCuda, beside agreeing with its fixtures: stay near them in bf16, repeat a
// captured step, generate what the CPU generates. Each takes a fixture's name as `Fixture`, a ParityFixture, does.
#include "models/generation.h"
#include "tensor/cuda_graph.h"
#include "tests/support/parity_fixture.h"

namespace vigor::testing {

// Rounding to bf16 costs about 2^-9 of a value, on the GPU as on the CPU.
template <class Fixture>
void expect_bf16_near_fixture(const std::string& name, double tolerance, const std::string& noise) {
  for (const Device device : {kCpu, kCuda}) {
    SCOPED_TRACE(to_string(device));
    Fixture(name, Dtype::bf16, device).expect_loss_and_gradients_roughly(tolerance, noise);
  }
}

// A step that is captured once and replayed gives the bits of eager steps, and asks for no memory.
template <class Fixture>
void expect_replays_are_eager_steps(const std::string& name) {
  std::vector<std::vector<float>> weights;
  for (const bool captured : {false, true}) {
    Fixture c(name, Dtype::f32, kCuda);
    Recipe recipe(c.model());
    const Tensor ids = c.ids(), targets = c.targets();
    CudaGraph graph;
    for (int step = 0; step < 4; ++step) {
      recipe.begin(step);
      if (captured && step == 2) graph.capture([&] { recipe.run(ids, targets); });
      const uint64_t requests = allocator_of(kCuda).stats().system_requests;
      if (graph.captured()) graph.replay();
      else recipe.run(ids, targets);
      if (step >= 2) {
        EXPECT_EQ(allocator_of(kCuda).stats().system_requests, requests);
      }
    }
    EXPECT_GT(recipe.loss.item<float>(), 0.0f);
    const Tensor values = c.model().parameters().groups()[0].values;
    weights.push_back(values.to_vector<float>());
  }
  EXPECT_EQ(weights[0], weights[1]);
}

// Prompts of several lengths side by side, in pieces and then token by token: the ids that the CPU chooses.
template <class Fixture>
void expect_ids_of_the_cpu(const std::string& name, const std::vector<std::vector<int32_t>>& prompts, int64_t count) {
  SCOPED_TRACE(name);
  GenerateOptions options;
  options.max_new_tokens = count;
  std::vector<std::vector<std::vector<int32_t>>> results;
  for (const Device device : {kCpu, kCuda}) {
    Fixture c(name, Dtype::f32, device);
    results.push_back(generate(c.model(), prompts, options));
  }
  EXPECT_EQ(results[0], results[1]);
}

}  // namespace vigor::testing
