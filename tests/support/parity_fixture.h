#pragma once
// One folder of tests/fixtures/<family>: a small model, and what PyTorch computed with it. The README of the family's
// folder says what the fixtures hold and how exact they are. Shared by the parity tests of all families, on the CPU and
// on CUDA.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <string>

#include "autograd/engine.h"
#include "autograd/variable.h"
#include "models/hf/model_folder.h"
#include "tensor/safetensors.h"
#include "tests/support/near_largest.h"
#include "train/optimizer.h"

namespace vigor::testing {

// Largest difference as a share of the largest expected value; NaN counts as infinite.
inline double error_of(const Tensor& actual, const Tensor& expected) {
  const std::vector<double> a = to_device(actual, kCpu).to_vector<double>(), e = expected.to_vector<double>();
  double worst = 0;
  for (size_t i = 0; i < e.size(); ++i) {
    const double difference = std::fabs(a[i] - e[i]);
    if (!(difference <= worst)) worst = std::isfinite(difference) ? difference : 1e30;
  }
  return worst / std::max(largest(expected), 1e-30);
}

// Training steps as fixture_files.train() of tests/parity makes them: clipping at 1, the first steps of a warm-up to
// 3e-4, AdamW.
struct Recipe {
  explicit Recipe(LanguageModel& m) : model(m), state(m.device()) {
    model.parameters().allocate_gradients();
    OptimizerOptions options;
    options.clip_norm = 1;
    optimizer = std::make_unique<Optimizer>(model.parameters(), options);
    loss = zeros({}, Dtype::f32, model.device());
  }
  void begin(int64_t step) { state.set_inputs(optimizer->inputs(step, 3e-4 * static_cast<double>(step + 1) / 100)); }
  void run(const Tensor& ids, const Tensor& targets) {
    model.parameters().zero_gradients();
    const Tensor l = model.loss(ids, targets);
    backward(l);
    copy(loss, l);
    optimizer->measure(state.on_device());
    optimizer->update(state.on_device());
  }
  LanguageModel& model;
  StepStateMemory state;
  std::unique_ptr<Optimizer> optimizer;
  Tensor loss;
};

// The model on a device, and what PyTorch computed with it.
struct ParityFixture {
  std::filesystem::path folder;
  ModelFolder loaded;
  SafetensorsFile expected;

  ParityFixture(const std::string& family, const std::string& name, Dtype dtype = Dtype::f32, Device device = kCpu)
      : folder(std::filesystem::path(VIGOR_SOURCE_DIR) / "tests/fixtures" / family / name),
        loaded(load(folder, dtype, device)),
        expected(SafetensorsFile::open(folder / "expected.safetensors")) {}

  static ModelFolder load(const std::filesystem::path& folder, Dtype dtype, Device device) {
    LoadOptions options;
    options.need_tokenizer = false;
    options.arena.dtype = dtype;
    options.arena.device = device;
    return load_model_folder(folder, options);
  }
  LanguageModel& model() { return *loaded.model; }
  Tensor ids() const { return to_device(expected.tensor("ids"), loaded.model->device()); }
  // The tokens of each row, where the fixture has padding; else all T.
  std::vector<int32_t> lengths() const {
    if (expected.find("lengths") != nullptr) return expected.tensor("lengths").to_vector<int32_t>();
    const Tensor all = expected.tensor("ids");
    return std::vector<int32_t>(static_cast<size_t>(all.size(0)), static_cast<int32_t>(all.size(1)));
  }
  // The next id of each position, and -1, which the loss ignores, at the last of a row and in padding.
  Tensor targets() const {
    const Tensor shifted = clone(expected.tensor("ids"));
    const std::vector<int32_t> tokens = lengths();
    const int64_t T = shifted.size(1);
    int64_t* values = shifted.data<int64_t>();
    for (int64_t i = 0; i < shifted.numel(); ++i)
      values[i] = i % T + 1 < tokens[static_cast<size_t>(i / T)] ? values[i + 1] : -1;
    return to_device(shifted, loaded.model->device());
  }
  // Rows of x [B,T,V] that are no padding, on the host: [tokens,V].
  Tensor without_padding(const Tensor& x) const {
    const Tensor all = to_device(x, kCpu);
    const std::vector<int32_t> tokens = lengths();
    const std::vector<double> values = all.to_vector<double>();
    const size_t T = static_cast<size_t>(all.size(1)), V = static_cast<size_t>(all.size(2));
    std::vector<double> kept;
    for (size_t b = 0; b < tokens.size(); ++b) {
      const auto row = values.begin() + static_cast<ptrdiff_t>(b * T * V);
      kept.insert(kept.end(), row, row + static_cast<ptrdiff_t>(static_cast<size_t>(tokens[b]) * V));
    }
    const int64_t rows = static_cast<int64_t>(kept.size() / V);
    return from_values(kept, {rows, static_cast<int64_t>(V)});
  }

  void expect_logits_and_loss(double tolerance) {
    const NoGrad no_grad;
    expect_close(without_padding(model().logits(ids())), without_padding(expected.tensor("logits")), tolerance,
                 tolerance);
    expect_close(to_device(model().loss(ids(), targets()), kCpu), expected.tensor("loss"), tolerance, tolerance);
  }
  // Of every parameter, within `tolerance` of the largest element.
  void expect_gradients(double tolerance, const ForwardContext& context = {}) {
    compute_gradients(context);
    for (const ArenaSlot& slot : model().parameters().parameters()) {
      SCOPED_TRACE(slot.name);
      expect_near_largest(grad(slot.tensor), expected.tensor("grad." + slot.name), tolerance);
    }
  }
  // The loss within 1 %, and gradients as expect_gradients. Parameters whose name contains `noise` are left out: their
  // gradient is 0 but for rounding, as softmax ignores what is equal for all keys.
  void expect_loss_and_gradients_roughly(double tolerance, const std::string& noise) {
    const Tensor loss = compute_gradients();
    EXPECT_EQ(loss.dtype(), Dtype::f32);
    expect_close(to_device(loss, kCpu), expected.tensor("loss"), 0, 1e-2);
    for (const ArenaSlot& slot : model().parameters().parameters()) {
      if (slot.name.find(noise) != std::string::npos) continue;
      EXPECT_LT(error_of(grad(slot.tensor), expected.tensor("grad." + slot.name)), tolerance) << slot.name;
    }
  }
  // Five steps of the recipe give the weights of the fixture, within `tolerance` of the largest element. Those whose
  // name contains `noise` within 5e-5: their gradient is mostly rounding noise, of which Adam makes full steps.
  void expect_weights_after_five_steps(double tolerance, const std::string& noise) {
    Recipe recipe(model());
    for (int step = 0; step < 5; ++step) {
      recipe.begin(step);
      recipe.run(ids(), targets());
      EXPECT_LT(recipe.state.read().clip_factor, 1.0f);  // so that clipping is part of the test
    }
    for (const ArenaSlot& slot : model().parameters().parameters()) {
      const Tensor wanted = expected.tensor("step5." + slot.name);
      SCOPED_TRACE(slot.name);
      if (slot.name.find(noise) == std::string::npos) expect_near_largest(slot.tensor, wanted, tolerance);
      else expect_close(to_device(slot.tensor, kCpu), wanted, 5e-5);
    }
  }

 private:
  Tensor compute_gradients(const ForwardContext& context = {}) {
    ParameterArena& parameters = model().parameters();
    parameters.allocate_gradients();
    const Tensor loss = model().loss(ids(), targets(), context);
    backward(loss);
    parameters.complete_gradients();
    return loss;
  }
};

}  // namespace vigor::testing
