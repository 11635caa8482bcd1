#include "kernels/gated_rms_norm/gated_rms_norm.h"

#include "autograd/graph.h"
#include "kernels/concat/concat.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/gated_rms_norm/gated_rms_norm_testing.h"
#include "kernels/reduce/reduce.h"
#include "kernels/views/views.h"

namespace vigor {
namespace {

using namespace vigor::testing;

// The same from basic operations.
Operation composed(int64_t groups, bool norm_before_gate, double gate_multiplier) {
  return [=](std::span<const Tensor> in) {
    const Tensor s = silu(in[1] * gate_multiplier), u = norm_before_gate ? in[0] : in[0] * s;
    Shape grouped = u.shape();
    grouped.push_back(grouped.back() / groups);
    grouped[grouped.rank() - 2] = groups;
    const Tensor g = reshape(u, grouped);
    const Tensor y = reshape(g / sqrt(mean(g * g, {-1}, true) + 1e-5), u.shape()) * in[2];
    return norm_before_gate ? y * s : y;
  };
}

TEST(GatedRmsNorm, HandWorked) {
  // sigmoid(ln 3) = 3/4. Two groups with mean squares (9 + 1) / 2 = 5 and (4 + 16) / 2 = 10.
  const double s = 0.75 * std::log(3.0);
  const Tensor x = from_values<double>({3, 1, -2, 4}, {1, 4}), gate = full({1, 4}, std::log(3.0), Dtype::f64);
  const Tensor weight = from_values<double>({1, 2, 1, 0.5}, {4});
  const std::vector<double> normalised = {3 / std::sqrt(5.0), 2 / std::sqrt(5.0), -2 / std::sqrt(10.0),
                                          2 / std::sqrt(10.0)};
  expect_values(gated_rms_norm(x, gate, weight, 2, true, 0),
                {s * normalised[0], s * normalised[1], s * normalised[2], s * normalised[3]}, 1e-14);
  // A gate that is the same for a whole group divides out again.
  expect_values(gated_rms_norm(x, gate, weight, 2, false, 0), normalised, 1e-14);
}

TEST(GatedRmsNorm, MatchesTransformers) {
  for (const bool norm_before_gate : {true, false})
    for (const int64_t groups : {1, 2}) {
      const std::string name = fmt::format("gated_rms_norm_{}_{}", norm_before_gate ? "before" : "after", groups);
      SCOPED_TRACE(name);
      expect_fixture(gated_norm(groups, norm_before_gate), name, {"x", "gate", "weight"}, 5e-6, 5e-6);
      // In bf16 both compute in f32 and round once: all but equal.
      const Tensor y = gated_rms_norm(fixture(name + "_bf16", "x"), fixture(name + "_bf16", "gate"),
                                      fixture(name + "_bf16", "weight"), groups, norm_before_gate);
      expect_close(y, fixture(name + "_bf16", "y"), 1e-6, 4e-3);
    }
}

TEST(GatedRmsNorm, Gradient) {
  for (const auto& [groups, norm_before_gate, multiplier] : kGatedNormForms)
    for (const Shape& shape : {Shape{6}, Shape{1, 18}, Shape{3, 5, 12}, Shape{40, 6}})
      expect_gradients(gated_norm(groups, norm_before_gate, multiplier), gated_norm_inputs(shape));
}

TEST(GatedRmsNorm, AgreesWithComposedForm) {
  for (const auto& [groups, norm_before_gate, multiplier] : kGatedNormForms)
    for (const Shape& shape : {Shape{6}, Shape{3, 5, 18}, Shape{100, 48}}) {
      const std::vector<Tensor> inputs = gated_norm_inputs(shape);
      const Tensor dy = random(shape, Dtype::f64, 4);
      const Outcome fused = outcome_of(gated_norm(groups, norm_before_gate, multiplier), inputs, dy);
      const Outcome plain = outcome_of(composed(groups, norm_before_gate, multiplier), inputs, dy);
      expect_close(fused.y, plain.y, 1e-12, 1e-12);
      for (size_t i = 0; i < inputs.size(); ++i) expect_close(fused.gradients[i], plain.gradients[i], 1e-11, 1e-11);
    }
}

TEST(GatedRmsNorm, FastAgreesWithDefinition) {
  expect_gated_norm_close_to_f64({{6}, {3, 5, 18}, {7, 66}, {2, 96}, {100, 48}}, kCpu);
}

TEST(GatedRmsNorm, SlicesOfOneProjectionAreNotCopied) {
  const Tensor both = set_requires_grad(random({3, 5, 48})), weight = full({24}, 1);
  const auto halves = split(both, 24, -1);
  const Tensor y = gated_rms_norm(halves[0], halves[1], weight, 2, false), dy = random({3, 5, 24}, Dtype::f32, 7);
  EXPECT_EQ(saved_bytes(y), both.nbytes() + weight.nbytes() + 3 * 5 * 2 * sizeof(float));
  const Outcome plain = outcome_of(gated_norm(2, false), {clone(halves[0]), clone(halves[1]), weight}, dy);
  expect_equal(y, plain.y);
  backward(std::span(&y, 1), std::span(&dy, 1));
  expect_equal(grad(both), cat({plain.gradients[0], plain.gradients[1]}, -1));
}

TEST(GatedRmsNorm, StridedInputs) {
  const Tensor x = random({3, 5, 12}), gate = random({3, 5, 12}, Dtype::f32, 1), weight = random({12}, Dtype::f32, 2);
  const Tensor expected = gated_rms_norm(x, gate, weight, 2, true);
  for (const Tensor& strided : strided_variants(x))
    expect_equal(gated_rms_norm(strided, gate, weight, 2, true), expected);
  for (const Tensor& strided : strided_variants(gate))
    expect_equal(gated_rms_norm(x, strided, with_gaps(weight), 2, true), expected);
}

TEST(GatedRmsNorm, GradientsWhereWanted) { expect_gated_norm_gradients_where_wanted(kCpu); }
TEST(GatedRmsNorm, NoRows) { expect_no_gated_rows_to_work(kCpu); }

TEST(GatedRmsNorm, Errors) {
  const Tensor x = zeros({2, 8}), w = zeros({8});
  expect_error([&] { gated_rms_norm(x, x, w, 3, true); }, {"gated_rms_norm: groups", "C=8", "3"});
  expect_error([&] { gated_rms_norm(x, x, w, 0, true); }, {"gated_rms_norm: groups", "0"});
  expect_error([&] { gated_rms_norm(x, zeros({2, 4}), w, 1, true); }, {"gated_rms_norm: gate", "[2,4]", "[2,8]"});
  expect_error([&] { gated_rms_norm(x, x, zeros({4}), 1, true); }, {"gated_rms_norm: weight", "[C]=[8]", "[4] f32"});
  expect_error([&] { gated_rms_norm(x, x, zeros({8}, Dtype::bf16), 1, true); }, {"gated_rms_norm: weight", "bf16"});
  expect_error([&] { gated_rms_norm(zeros({2, 0}), zeros({2, 0}), zeros({0}), 1, true); }, {"gated_rms_norm: x"});
}

}  // namespace
}  // namespace vigor
