#include <cmath>

#include "kernels/cross_entropy/cross_entropy_kernels.h"
#include "kernels/linear_cross_entropy/linear_cross_entropy.h"
#include "kernels/linear_cross_entropy/linear_cross_entropy_kernels.h"
#include "tests/support/cuda_testing.h"

namespace vigor {
namespace {

using namespace vigor::testing;

// x [N,d], weight [V,d], bias [V]
std::vector<Tensor> make_inputs(int64_t N, int64_t d, int64_t V) {
  return {random({N, d}, Dtype::f64, 1), random({V, d}, Dtype::f64, 2), random({V}, Dtype::f64, 3)};
}

// The operation with targets on the device of x.
Operation with_targets(const Tensor& targets, int64_t ignore_index = -1) {
  return [=](std::span<const Tensor> in) {
    return linear_cross_entropy(in[0], in[1], in.size() > 2 ? in[2] : Tensor(), to_device(targets, in[0].device()),
                                ignore_index);
  };
}

TEST(LinearCrossEntropyCuda, AgreesWithDefinition) {
  struct Case {
    int64_t N, d, V;
  };
  for (const Case& c : {Case{1, 1, 1}, Case{3, 17, 33}, Case{17, 8, 64}, Case{9, 16, 257}}) {
    SCOPED_TRACE(c.V);
    for (const Dtype ids : {Dtype::i32, Dtype::i64}) {
      const Operation f = with_targets(random_ids({c.N}, c.V, ids), c.V > 1 ? 0 : -1);
      std::vector<Tensor> in = make_inputs(c.N, c.d, c.V);
      expect_cuda_close_to_f64(f, in, {Dtype::f32}, 2e-6, 2e-5);
      if (ids == Dtype::i32) continue;
      expect_cuda_close_to_f64(f, in, {Dtype::bf16}, 1e-2, 2e-2);
      expect_cuda_close_to_f64(f, in, {Dtype::bf16, Dtype::bf16, Dtype::f32}, 1e-2, 2e-2);
      in.pop_back();
      expect_cuda_close_to_f64(f, in, {Dtype::f32}, 2e-6, 2e-5);
    }
  }
}

TEST(LinearCrossEntropyCuda, StridedInputs) {
  const std::vector<Tensor> in = make_inputs(5, 12, 20);
  const Operation f = with_targets(random_ids({5}, 20));
  for (size_t variant = 0; variant < 3; ++variant) {
    std::vector<Tensor> strided;
    for (const Tensor& x : in) strided.push_back(strided_variants(converted(x, Dtype::f32))[variant]);
    expect_cuda_close_to_f64(f, strided, {Dtype::f32}, 2e-6, 2e-5);
  }
}

struct Result {
  std::vector<float> losses;
  std::vector<double> dx, dw, dbias;
};

// The launcher itself, so that the chunks and the row length are free.
Result launch(const std::vector<Tensor>& in, const Tensor& targets, int64_t chunk) {
  const int64_t N = in[0].size(0), d = in[0].size(1), V = in[1].size(0);
  const Tensor x = on_cuda(in[0]), w = on_cuda(in[1]), bias = on_cuda(in[2]), ids = on_cuda(targets);
  const Tensor weight = empty({}, Dtype::f64, kCuda), losses = empty({N}, Dtype::f32, kCuda);
  const Tensor dx = empty({N, d}, Dtype::f32, kCuda), dw = empty({V, d}, Dtype::f32, kCuda);
  const Tensor dbias = empty({V}, Dtype::f32, kCuda);
  const Tensor padded = empty({chunk, (V + 63) / 64 * 64}, x.dtype(), kCuda);
  const Tensor logits = padded.with_view(sliced(padded, 1, 0, V, 1, "test"));
  token_weight_cuda(weight, ids, -1);
  linear_cross_entropy_cuda({x, w, bias, ids, -1, weight, logits, losses, dx, dw, dbias});
  return {losses.to_vector<float>(), dx.to_vector<double>(), dw.to_vector<double>(), dbias.to_vector<double>()};
}

TEST(LinearCrossEntropyCuda, ChunksAreOneWhole) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    std::vector<Tensor> in;
    for (const Tensor& x : make_inputs(13, 8, 40)) in.push_back(converted(x, dtype));
    Tensor targets = random_ids({13}, 40, Dtype::i64);
    targets.data<int64_t>()[3] = targets.data<int64_t>()[7] = -1;
    const Result whole = launch(in, targets, 13);
    EXPECT_EQ(whole.losses[3], 0);
    for (const int64_t chunk : {4, 1}) {
      const Result parts = launch(in, targets, chunk);
      EXPECT_EQ(parts.losses, whole.losses);
      expect_close(from_values(parts.dx, {13, 8}), from_values(whole.dx, {13, 8}), 1e-6, 1e-5);
      expect_close(from_values(parts.dw, {40, 8}), from_values(whole.dw, {40, 8}), 1e-6, 1e-5);
      expect_close(from_values(parts.dbias, {40}), from_values(whole.dbias, {40}), 1e-6, 1e-5);
    }
  }
}

// Rows that stay in shared memory, and rows that are too long for it. d = 1, x = 1: the weight is the row of logits.
TEST(LinearCrossEntropyCuda, LongRows) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16})
    for (const int64_t V : {5000, 50257}) {
      SCOPED_TRACE(V);
      const std::vector<Tensor> in = {full({1, 1}, 1.0), random({V, 1}, Dtype::f32, 2, -20, 20)};
      const Operation f = with_targets(full({1}, static_cast<double>(V - 2), Dtype::i64));
      expect_cuda_close_to_f64(f, in, {dtype}, dtype == Dtype::f32 ? 1e-6 : 1e-2, dtype == Dtype::f32 ? 1e-4 : 2e-2);
    }
}

// dloss other than 1, leaves with and without buffers, and a second backward that adds.
TEST(LinearCrossEntropyCuda, GradientsAreScaledAndAddUp) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    const Tensor targets = on_cuda(random_ids({6}, 9));
    std::vector<Tensor> plain, buffered;
    for (const Tensor& x : make_inputs(6, 4, 9)) {
      plain.push_back(set_requires_grad(on_cuda(converted(x, dtype))));
      buffered.push_back(set_requires_grad(on_cuda(converted(x, dtype))));
      set_grad_buffer(buffered.back(), full(x.shape(), 99, dtype, kCuda));
    }
    const auto run = [&](const std::vector<Tensor>& in, double scale) {
      const Tensor loss = linear_cross_entropy(in[0], in[1], in[2], targets), up = full({}, scale, Dtype::f32, kCuda);
      backward(std::span(&loss, 1), std::span(&up, 1));
    };
    run(plain, 1);
    std::vector<std::vector<double>> half;
    for (const Tensor& x : plain) {
      half.push_back(grad(x).to_vector<double>());
      for (double& v : half.back()) v *= 0.5;
    }
    run(plain, -0.5);
    run(buffered, 0.25);
    run(buffered, 0.25);
    const double tolerance = dtype == Dtype::f32 ? 1e-6 : 4e-3;
    for (size_t i = 0; i < 3; ++i) {
      expect_values(on_host(grad(plain[i])), half[i], tolerance);
      expect_values(on_host(grad(buffered[i])), half[i], tolerance);
    }
  }
}

TEST(LinearCrossEntropyCuda, PerTokenLossesAndNothingThatCounts) {
  std::vector<Tensor> in;
  for (const Tensor& x : make_inputs(5, 4, 9)) in.push_back(converted(x, Dtype::f32));
  Tensor targets = random_ids({5}, 9);
  targets.data<int32_t>()[2] = -1;
  const Tensor x = on_cuda(in[0]), w = on_cuda(in[1]), bias = on_cuda(in[2]);
  expect_close(on_host(linear_cross_entropy_per_token(x, w, bias, on_cuda(targets))),
               linear_cross_entropy_per_token(in[0], in[1], in[2], targets), 2e-6, 1e-6);
  const Tensor none = on_cuda(full({5}, -1, Dtype::i32)), leaf = set_requires_grad(clone(w));
  const Tensor loss = linear_cross_entropy(x, leaf, bias, none);
  backward(loss);
  EXPECT_EQ(loss.item<float>(), 0);
  expect_equal(on_host(grad(leaf)), zeros({9, 4}));
}

// Kernels cannot throw; the trainer meets the loss.
TEST(LinearCrossEntropyCuda, TargetsOutOfRangeMakeTheLossNan) {
  std::vector<Tensor> in;
  for (const Tensor& x : make_inputs(3, 4, 9)) in.push_back(on_cuda(converted(x, Dtype::f32)));
  for (const int32_t bad : {9, -7}) {
    const Tensor targets = on_cuda(from_values(std::vector<int32_t>{0, bad, 2}, {3}));
    const Tensor losses = linear_cross_entropy_per_token(in[0], in[1], in[2], targets);
    EXPECT_TRUE(std::isnan(losses.to_vector<float>()[1]));
    EXPECT_TRUE(std::isfinite(losses.to_vector<float>()[0]));
    EXPECT_TRUE(std::isnan(linear_cross_entropy(in[0], in[1], in[2], targets).item<float>()));
  }
  expect_error([&] { linear_cross_entropy(in[0], in[1], in[2], zeros({3}, Dtype::i32)); },
               {"linear_cross_entropy: targets must be", "on cuda:0"});
}

}  // namespace
}  // namespace vigor
