#include "kernels/embedding/embedding.h"

#include "kernels/elementwise/elementwise.h"
#include "kernels/index/index.h"
#include "kernels/views/views.h"
#include "tests/support/against_f64.h"

namespace vigor {
namespace {

using namespace vigor::testing;

Tensor run(std::span<const Tensor> in) { return embedding(in[0], in[1]); }
Tensor run_with_positions(std::span<const Tensor> in) { return embedding_with_positions(in[0], in[1], in[2], in[3]); }

// The same from basic operations. in: ids [B,T], weight, positions, position of every token [B*T]
Tensor composed_with_positions(std::span<const Tensor> in) {
  const Tensor tokens = index_select(in[1], 0, reshape(in[0], {-1}));
  const Tensor places = index_select(in[2], 0, in[3]);
  return reshape(tokens + places, {in[0].size(0), in[0].size(1), in[1].size(1)});
}

TEST(Embedding, HandWorked) {
  const Tensor weight = from_values<double>({0, 1, 10, 11, 20, 21}, {3, 2});
  const Tensor ids = from_values<int32_t>({2, 0, 2, 2}, {2, 2});
  expect_values(embedding(ids, weight), {20, 21, 0, 1, 20, 21, 20, 21});
  const Tensor positions = from_values<double>({100, 200, 300, 400, 500, 600}, {3, 2});
  expect_values(embedding_with_positions(ids, weight, positions), {120, 221, 300, 401, 120, 221, 320, 421});
  const Tensor offsets = from_values<int32_t>({1, 0}, {2});
  expect_values(embedding_with_positions(ids, weight, positions, offsets), {320, 421, 500, 601, 120, 221, 320, 421});
  // Row 2 is used three times, row 1 never.
  const Outcome result = outcome_of(run, {ids, weight}, from_values<double>({1, 2, 3, 4, 5, 6, 7, 8}, {2, 2, 2}));
  expect_values(result.gradients[1], {3, 4, 0, 0, 13, 16});
}

TEST(Embedding, Gradient) {
  for (const int64_t columns : {1, 3, 17}) {
    const Tensor ids = random_ids({3, 5}, 7, Dtype::i64), weight = random({7, columns}, Dtype::f64, 1);
    const Tensor positions = random({9, columns}, Dtype::f64, 2), offsets = from_values<int32_t>({0, 4, 2}, {3});
    expect_gradients(run, {ids, weight});
    expect_gradients(run_with_positions, {ids, weight, positions, Tensor()});
    expect_gradients(run_with_positions, {ids, weight, positions, offsets});
  }
}

TEST(Embedding, AgreesWithComposedForm) {
  const Tensor ids = random_ids({4, 33}, 20), weight = random({20, 300}, Dtype::f64, 1);
  const Tensor positions = random({40, 300}, Dtype::f64, 2), offsets = from_values<int32_t>({0, 7, 3, 1}, {4});
  std::vector<int64_t> places;
  for (const int32_t offset : offsets.to_vector<int32_t>())
    for (int64_t t = 0; t < 33; ++t) places.push_back(offset + t);
  const Tensor dy = random({4, 33, 300}, Dtype::f64, 3);
  const Outcome fused = outcome_of(run_with_positions, {ids, weight, positions, offsets}, dy);
  const Outcome plain =
      outcome_of(composed_with_positions, {ids, weight, positions, from_values(places, {4 * 33})}, dy);
  expect_equal(fused.y, plain.y);
  for (const size_t input : {1, 2}) expect_close(fused.gradients[input], plain.gradients[input], 1e-13, 1e-13);
}

TEST(Embedding, OtherDtypesAgreeWithF64) {
  const Tensor ids = random_ids({3, 65}, 9), weight = random({9, 33}, Dtype::f64, 1);
  const Tensor positions = random({70, 33}, Dtype::f64, 2);
  expect_close_to_f64(run_with_positions, {ids, weight, positions, Tensor()}, {Dtype::f32}, 1e-5, 1e-6);
  // Equal ids are summed in f32, so bf16 gradients are rounded only once.
  expect_close_to_f64(run_with_positions, {ids, weight, positions, Tensor()}, {Dtype::bf16}, 1e-6, 4e-3);
}

TEST(Embedding, GradientBufferIsDefinedThenAddedTo) {
  const Tensor weight = zeros({50, 17}), positions = zeros({8, 17}), dy = random({2, 4, 17});
  for (const Tensor* leaf : {&weight, &positions}) {
    set_requires_grad(*leaf);
    set_grad_buffer(*leaf, full(leaf->shape(), 7.0));  // old numbers that count as zero
  }
  const Tensor ids = random_ids({2, 4}, 50);
  const Outcome once = outcome_of(run_with_positions, {ids, weight, positions, Tensor()}, dy);
  for (int step = 0; step < 2; ++step) {
    const Tensor y = embedding_with_positions(ids, weight, positions);
    backward(std::span(&y, 1), std::span(&dy, 1));
  }
  expect_close(grad(weight), once.gradients[1] * 2.0, 1e-6, 1e-6);
  expect_close(grad(positions), once.gradients[2] * 2.0, 1e-6, 1e-6);
}

TEST(Embedding, StridedInputs) {
  const Tensor ids = random_ids({4, 6}, 9), weight = random({9, 17}), dy = random({4, 6, 17});
  for (size_t variant = 0; variant < 3; ++variant) {
    const Tensor strided_ids = variant == 1 ? transposed_storage(ids) : with_gaps(ids);
    expect_equal(embedding(strided_ids, strided_variants(weight)[variant]), embedding(ids, weight));
    expect_equal(outcome_of(run, {strided_ids, weight}, strided_variants(dy)[variant]).gradients[1],
                 outcome_of(run, {ids, weight}, dy).gradients[1]);
  }
}

TEST(Embedding, Errors) {
  const Tensor weight = zeros({10, 4}), positions = zeros({5, 4}), ids = zeros({2, 3}, Dtype::i32);
  expect_error(
      [&] {
        embedding(from_values<int64_t>({1, 10}, {2}), weight);
      },
      {"embedding", "[0, 10)", "got 10", "position 1"});
  expect_error([&] { embedding(from_values<int32_t>({-1}, {1}), weight); }, {"embedding", "got -1", "position 0"});
  expect_error([&] { embedding(zeros({2}), weight); }, {"embedding: ids", "[2] f32"});
  expect_error([&] { embedding(ids, zeros({10})); }, {"embedding: weight must be [V,C]", "[10] f32"});
  expect_error(
      [&] {
        embedding_with_positions(zeros({2, 6}, Dtype::i32), weight, positions);
      },
      {"embedding_with_positions", "5 positions", "[2,6]"});
  expect_error(
      [&] {
        embedding_with_positions(ids, weight, positions, from_values<int32_t>({0, 3}, {2}));
      },
      {"sequence 1", "3 to 5"});
  expect_error([&] { embedding_with_positions(ids, weight, zeros({5, 3})); }, {"positions", "[5,3] f32", "[10,4] f32"});
  expect_error([&] { embedding_with_positions(ids, weight, positions, zeros({3}, Dtype::i32)); },
               {"offsets", "[B]=[2]"});
  expect_error([&] { embedding_with_positions(zeros({3}, Dtype::i32), weight, positions); }, {"[B,T]", "[3] i32"});
}

}  // namespace
}  // namespace vigor
