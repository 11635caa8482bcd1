#include "kernels/dropout/dropout.h"

#include "kernels/elementwise/elementwise.h"
#include "tests/support/against_f64.h"

namespace vigor {
namespace {

using namespace vigor::testing;

const RandomKey kKey{0x123456789abcdefu, RandomStream::dropout, 77, 5};

Operation dropout_of(double p) {
  return [p](std::span<const Tensor> in) { return dropout(in[0], p, kKey); };
}

// 1 / (1 - p) where the element is kept, else 0: the definition with one random number at a time.
Tensor mask(const Shape& shape, double p) {
  std::vector<double> values;
  for (int64_t i = 0; i < shape.numel(); ++i)
    values.push_back(random_bits(kKey, static_cast<uint64_t>(i)) >= p * 0x1p32 ? 1 / (1 - p) : 0.0);
  return from_values(values, shape);
}

// The same from basic operations.
Operation composed_of(double p) {
  return [p](std::span<const Tensor> in) { return in[0] * mask(in[0].shape(), p); };
}

TEST(Dropout, AgreesWithComposedForm) {
  for (const double p : {0.1, 0.5, 0.9})
    for (const Shape& shape : {Shape{1}, Shape{3, 17}, Shape{2, 5, 33}}) {
      const Tensor x = random(shape, Dtype::f64), dy = random(shape, Dtype::f64, 1);
      const Outcome fused = outcome_of(dropout_of(p), {x}, dy), plain = outcome_of(composed_of(p), {x}, dy);
      expect_close(fused.y, plain.y, 0, 1e-15);
      expect_close(fused.gradients[0], plain.gradients[0], 0, 1e-15);
    }
}

TEST(Dropout, Gradient) { expect_gradients(dropout_of(0.3), {random({3, 17}, Dtype::f64)}); }

TEST(Dropout, FastAgreesWithDefinition) {
  for (const int64_t n : {1, 3, 17, 33, 127, 128, 129, 70000}) {
    expect_close_to_f64(dropout_of(0.25), {random({n}, Dtype::f64)}, {Dtype::f32}, 0, 1e-6);
    expect_close_to_f64(dropout_of(0.25), {random({n}, Dtype::f64)}, {Dtype::bf16}, 0, 4e-3);
  }
}

TEST(Dropout, KeepsTheMean) {
  const std::vector<double> y = dropout(full({100000}, 1.0), 0.2, kKey).to_vector<double>();
  double total = 0;
  for (const double v : y) total += v;
  EXPECT_NEAR(total / 100000, 1.0, 0.01);  // the standard deviation is 0.0016
}

TEST(Dropout, StepsAndLayersDiffer) {
  const Tensor x = full({256}, 1.0);
  const std::vector<float> y = dropout(x, 0.5, kKey).to_vector<float>();
  RandomKey next_step = kKey, other_layer = kKey;
  ++next_step.step;
  ++other_layer.salt;
  EXPECT_EQ(y, dropout(x, 0.5, kKey).to_vector<float>());
  EXPECT_NE(y, dropout(x, 0.5, next_step).to_vector<float>());
  EXPECT_NE(y, dropout(x, 0.5, other_layer).to_vector<float>());
}

TEST(Dropout, TakesTheStepFromAStateWhenTheMaskIsMade) {
  StepState state;
  state.step = kKey.step;
  RandomKey key = kKey;
  key.step = 1000;  // not read
  for (const Dtype dtype : {Dtype::f64, Dtype::f32}) {
    const Tensor x = set_requires_grad(full({256}, 1.0, dtype));
    const Tensor y = dropout(x, 0.5, key, &state);
    expect_equal(y, dropout(detach(x), 0.5, kKey));
    backward(std::span(&y, 1), std::span(&x, 1));
    expect_equal(grad(x), y);  // backward made the same mask again
  }
  ++state.step;
  RandomKey next = kKey;
  ++next.step;
  const Tensor x = full({256}, 1.0);
  expect_equal(dropout(x, 0.5, key, &state), dropout(x, 0.5, next));
}

TEST(Dropout, ZeroIsTheIdentity) {
  const Tensor x = random({4});
  EXPECT_TRUE(dropout(x, 0, kKey).same_as(x));
}

TEST(Dropout, SavesNothing) {
  const Tensor x = random({8}, Dtype::f32);
  set_requires_grad(x);
  const Tensor y = dropout(x, 0.5, kKey);
  EXPECT_TRUE(variable_of(y)->node->saved().empty());
}

TEST(Dropout, StridedInputs) {
  const Tensor x = random({3, 5, 17});
  for (const Tensor& strided : strided_variants(x)) expect_equal(dropout(strided, 0.4, kKey), dropout(x, 0.4, kKey));
}

TEST(Dropout, Errors) {
  expect_error([] { dropout(zeros({2, 3}), 1.0, kKey); }, {"dropout", "[0, 1)", "[2,3] f32"});
  expect_error([] { dropout(zeros({2, 3}), std::nan(""), kKey); }, {"dropout", "nan"});
  expect_error([] { dropout(zeros({2, 3}), 0.5, RandomKey{}); }, {"dropout", "stream"});
  expect_error([] { dropout(zeros({2, 3}, Dtype::i64), 0.5, kKey); }, {"dropout", "[2,3] i64"});
}

}  // namespace
}  // namespace vigor
