#include "kernels/elementwise/elementwise.h"
#include "kernels/embedding/embedding.h"
#include "tests/support/cuda_testing.h"
#include "tests/support/emulator_counters.h"

namespace vigor {
namespace {

using namespace vigor::testing;

Tensor run(std::span<const Tensor> in) { return embedding(in[0], in[1]); }
Tensor run_with_positions(std::span<const Tensor> in) { return embedding_with_positions(in[0], in[1], in[2], in[3]); }

TEST(EmbeddingCuda, AgreesWithTheDefinition) {
  // Packs of both dtypes, odd widths, more columns than a block has.
  for (const int64_t columns : {1, 3, 17, 64, 520}) {
    SCOPED_TRACE(columns);
    const Tensor weight = random({9, columns}, Dtype::f64, 1), positions = random({12, columns}, Dtype::f64, 2);
    const Tensor offsets = from_values<int32_t>({0, 4, 2}, {3});
    for (const Dtype ids_dtype : {Dtype::i32, Dtype::i64}) {
      const Tensor ids = random_ids({3, 8}, 9, ids_dtype);
      expect_cuda_close_to_f64(run, {ids, weight}, {Dtype::f32}, 1e-6, 1e-6);
      // Equal ids are summed in f32, so bf16 gradients are rounded only once.
      expect_cuda_close_to_f64(run, {ids, weight}, {Dtype::bf16}, 1e-6, 4e-3);
      expect_cuda_close_to_f64(run_with_positions, {ids, weight, positions, Tensor()}, {Dtype::f32}, 1e-6, 1e-6);
      expect_cuda_close_to_f64(run_with_positions, {ids, weight, positions, offsets}, {Dtype::bf16}, 1e-6, 4e-3);
    }
  }
}

// Several tiles of tokens; ids whose first token lies in another tile than the last, and one that all of a tile share.
TEST(EmbeddingCuda, ManyTokens) {
  std::vector<int32_t> ids = random_ids({1500}, 400).to_vector<int32_t>();
  std::fill(ids.begin() + 700, ids.begin() + 1300, 401);
  expect_cuda_close_to_f64(run, {from_values(ids, {1500}), random({402, 4}, Dtype::f64, 1)}, {Dtype::f32}, 1e-4, 1e-5);
}

TEST(EmbeddingCuda, GradientsAreTheSameEveryTime) {
  const Tensor ids = on_cuda(random_ids({200}, 7)), weight = on_cuda(zeros({7, 32}));
  const Tensor dy = on_cuda(random({200, 32}));
  const Tensor first = on_host(outcome_of(run, {ids, weight}, dy).gradients[1]);
  for_each_warp_order([&] { expect_equal(on_host(outcome_of(run, {ids, weight}, dy).gradients[1]), first); });
}

TEST(EmbeddingCuda, GradientBufferIsDefinedThenAddedTo) {
  const Tensor weight = on_cuda(zeros({50, 17})), positions = on_cuda(zeros({8, 17}));
  const Tensor dy = on_cuda(random({2, 4, 17})), ids = on_cuda(random_ids({2, 4}, 50));
  const Outcome once = outcome_of(run_with_positions, {ids, weight, positions, Tensor()}, dy);
  for (const Tensor* leaf : {&weight, &positions}) {
    set_requires_grad(*leaf);
    set_grad_buffer(*leaf, on_cuda(full(leaf->shape(), 7.0)));  // old numbers that count as zero
  }
  for (int step = 0; step < 2; ++step) {
    const Tensor y = embedding_with_positions(ids, weight, positions);
    backward(std::span(&y, 1), std::span(&dy, 1));
  }
  expect_close(on_host(grad(weight)), on_host(once.gradients[1]) * 2.0, 1e-6, 1e-6);
  expect_close(on_host(grad(positions)), on_host(once.gradients[2]) * 2.0, 1e-6, 1e-6);
}

TEST(EmbeddingCuda, StridedInputs) {
  const Tensor ids = random_ids({4, 6}, 9), weight = random({9, 16});
  for (const Tensor& variant : strided_variants(weight))
    expect_cuda_close_to_f64(run, {with_gaps(ids), variant}, {Dtype::f32}, 1e-6, 1e-6);
}

TEST(EmbeddingCuda, IdsOutOfRangeGiveNanAndNoGradient) {
  const Tensor weight = on_cuda(full({3, 4}, 2)), ids = on_cuda(from_values<int32_t>({1, 3, -1, 1}, {4}));
  const Outcome result = outcome_of(run, {ids, weight}, on_cuda(full({4, 4}, 1)));
  const std::vector<float> y = on_host(result.y).to_vector<float>();
  for (size_t i = 0; i < y.size(); ++i) EXPECT_EQ(std::isnan(y[i]), i / 4 == 1 || i / 4 == 2);
  expect_values(on_host(result.gradients[1]), {0, 0, 0, 0, 2, 2, 2, 2, 0, 0, 0, 0});
  const Tensor offsets = on_cuda(from_values<int32_t>({0, 2}, {2})), places = on_cuda(full({3, 4}, 1));
  const Tensor late = on_host(embedding_with_positions(on_cuda(zeros({2, 2}, Dtype::i32)), weight, places, offsets));
  EXPECT_TRUE(std::isnan(late.to_vector<float>()[12]));
  EXPECT_EQ(late.to_vector<float>()[8], 3);
}

TEST(EmbeddingCuda, Errors) {
  const Tensor ids = zeros({2, 6}, Dtype::i32, kCuda), weight = zeros({10, 4}, Dtype::f32, kCuda);
  expect_error(
      [&] {
        embedding_with_positions(ids, weight, zeros({5, 4}, Dtype::f32, kCuda));
      },
      {"embedding_with_positions", "5 positions", "[2,6]"});
  expect_error([&] { embedding_with_positions(ids, weight, weight, zeros({2}, Dtype::i32)); },
               {"offsets must be [B]=[2] i32 on the device of ids"});
  expect_error([&] { embedding(ids, zeros({10, 4})); }, {"embedding: weight", "on the device of ids"});
}

TEST(EmbeddingCuda, MovesWhatTheCardSays) {
  const int64_t N = 48, C = 512;
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < N; ++i) ids.push_back(i % 12);
  const Tensor tokens = on_cuda(from_values(ids, {N}));
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    const double row = static_cast<double>(size_of(dtype)) * C;
    const Tensor weight = set_requires_grad(on_cuda(random({20, C}, dtype))), dy = on_cuda(random({N, C}, dtype));
    expect_bytes_moved("forward_kernel", N * row, N * row, [&] { embedding(tokens, weight); });
    const Tensor y = embedding(tokens, weight);
    // The blocks of a token (two for f32) look through the ids before it, and where it is the first with its id also
    // at those behind.
    const double looked_up = row / 1024 * 8 * (N * (N - 1) / 2 + 12 * (N - 6));
    const double read = static_cast<double>(N + 12) * row + looked_up, written = 12 * row;
    const auto counters = count_kernels("backward_kernel", [&] { backward(std::span(&y, 1), std::span(&dy, 1)); });
    if (!counters) continue;
    EXPECT_NEAR(static_cast<double>(counters->global_bytes_read), read, 0.02 * read);
    EXPECT_NEAR(static_cast<double>(counters->global_bytes_written), written, 0.02 * written);
  }
}

}  // namespace
}  // namespace vigor
