#include "kernels/rope/rope.h"

#include "autograd/graph.h"
#include "kernels/concat/concat.h"
#include "kernels/rope/rope_testing.h"
#include "tests/support/against_f64.h"

namespace vigor {
namespace {

using namespace vigor::testing;

const Operation kTurned = [](std::span<const Tensor> in) {
  RopeOptions options{.theta = 1e11, .scale = 0.39};
  if (in.size() > 1) options.offsets = in[1];
  return rope(in[0], options);
};

TEST(Rope, HandWorked) {
  // P = 4, theta = 16: the two pairs turn by 1 and by 1/4 radian a step. At step 2, by 2 and 1/2.
  const Tensor x = from_values<double>({1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4}, {1, 3, 1, 4});
  const std::vector<double> y = rope(x, {.theta = 16}).to_vector<double>();
  expect_values(from_values(std::vector<double>(y.begin(), y.begin() + 4), {4}), {1, 2, 3, 4});
  const std::vector<double> last = {std::cos(2.0) - 3 * std::sin(2.0), 2 * std::cos(0.5) - 4 * std::sin(0.5),
                                    3 * std::cos(2.0) + std::sin(2.0), 4 * std::cos(0.5) + 2 * std::sin(0.5)};
  expect_values(from_values(std::vector<double>(y.begin() + 8, y.end()), {4}), last, 1e-14);
}

TEST(Rope, SineAndCosineAreExactAtEveryPosition) {
  for_each_isa([] { expect_precise_angles(kCpu); });
}

TEST(Rope, MatchesTransformers) {
  for_each_isa([] {
    const RopeOptions options{
        .theta = 1e11, .offsets = clone(fixture("rope_transformers", "offsets")), .transformers_angles = true};
    const Tensor x = clone(fixture("rope_transformers", "x"));
    expect_close(rope(x, options), fixture("rope_transformers", "y"), 1e-6);
    expect_close(rope(converted(x, Dtype::f64), options), fixture("rope_transformers", "y"), 1e-6);
  });
}

TEST(Rope, Gradients) {
  const Tensor offsets = from_values<int32_t>({3, 262000}, {2});
  for (const Shape& sizes : {Shape{1, 1, 1, 2}, Shape{2, 3, 2, 6}})
    expect_gradients([](std::span<const Tensor> in) { return kTurned(in); }, {random(sizes, Dtype::f64)});
  expect_gradients([&](std::span<const Tensor> in) { return rope(in[0], {.offsets = offsets}); },
                   {random({2, 3, 2, 6}, Dtype::f64)});
}

TEST(Rope, FastAgreesWithDefinition) {
  const Tensor offsets = from_values<int32_t>({100000, 0}, {2});
  for (const Shape& sizes : {Shape{2, 1, 1, 2}, Shape{2, 3, 2, 10}, Shape{2, 5, 3, 64}, Shape{2, 40, 4, 128}}) {
    SCOPED_TRACE(to_string(sizes));
    const std::vector<Tensor> inputs = {random(sizes, Dtype::f64), offsets};
    expect_close_to_f64(kTurned, inputs, {Dtype::f32}, 1e-6, 1e-6);
    expect_close_to_f64(kTurned, inputs, {Dtype::bf16}, 1e-5, 8e-3);
  }
}

// A sequence in two parts, the second with its position as the offset.
TEST(Rope, OffsetsContinueASequence) {
  const Tensor x = random({2, 7, 2, 16});
  const Tensor offsets = from_values<int32_t>({3, 3}, {2});
  const auto parts = split(x, {3, 4}, 1);
  expect_equal(cat({rope(parts[0]), rope(parts[1], {.offsets = offsets})}, 1), rope(x));
}

TEST(Rope, NothingIsSaved) {
  const Tensor x = set_requires_grad(random({2, 3, 2, 8}));
  EXPECT_EQ(saved_bytes(rope(x)), 0u);
}

TEST(Rope, StridedInputs) {
  const Tensor x = random({2, 3, 4, 8}), expected = rope(x);
  for (const Tensor& strided : strided_variants(x)) expect_equal(rope(strided), expected);
  // Heads in front of time, as in a cache.
  const int heads_first[] = {0, 2, 1, 3};
  const Tensor stored = clone(x.with_view(permuted(x, heads_first, "test")));
  expect_equal(rope(stored.with_view(permuted(stored, heads_first, "test"))), expected);
}

TEST(Rope, NoElements) {
  for (const Shape& sizes : {Shape{0, 3, 2, 4}, Shape{2, 0, 2, 4}, Shape{2, 3, 0, 4}}) {
    const Tensor x = set_requires_grad(zeros(sizes)), dy = zeros(sizes);
    const Tensor y = rope(x);
    EXPECT_EQ(y.shape(), sizes);
    backward(std::span(&y, 1), std::span(&dy, 1));
  }
}

TEST(Rope, Errors) {
  const Tensor x = zeros({2, 3, 2, 8});
  expect_error([] { rope(zeros({2, 3, 2, 7})); }, {"rope: x", "P even", "[2,3,2,7] f32"});
  expect_error([] { rope(zeros({1, 1, 1, 514})); }, {"rope: x", "2 .. 512", "[1,1,1,514]"});
  expect_error([] { rope(zeros({2, 3, 8})); }, {"rope: x", "[B,T,H,P]", "[2,3,8] f32"});
  expect_error([&] { rope(x, {.theta = 0.5}); }, {"rope: theta", "at least 1", "0.5"});
  expect_error([&] { rope(x, {.offsets = zeros({3}, Dtype::i32)}); }, {"rope: offsets", "[B]=[2] i32", "[3] i32"});
  expect_error([&] { rope(x, {.offsets = zeros({2}, Dtype::i64)}); }, {"rope: offsets", "[2] i64"});
  expect_error(
      [&] {
        rope(x, {.offsets = from_values<int32_t>({0, -1}, {2})});
      },
      {"rope: offsets", "offsets[1] is -1"});
}

}  // namespace
}  // namespace vigor
