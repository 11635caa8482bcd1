#include <gtest/gtest.h>

#include "kernels/attention/attention.h"
#include "kernels/attention/attention_backend.h"
#include "kernels/kernel_version.h"
#include "tests/support/cuda_testing.h"
#include "tests/support/emulator_counters.h"

namespace vigor {
namespace {

using testing::converted;
using testing::expect_close;
using testing::expect_equal;
using testing::expect_error;
using testing::on_cuda;
using testing::on_cuda_strided;
using testing::on_host;
using testing::random;

struct Case {
  int64_t B, Tq, Tk, Hq, Hkv, P;
  bool causal = true;
  std::vector<int32_t> offsets = {}, lengths = {};

  AttentionOptions options(Device device) const {
    AttentionOptions o;
    o.causal = causal;
    if (!offsets.empty()) o.offsets = to_device(from_values(offsets, {B}), device);
    if (!lengths.empty()) o.lengths = to_device(from_values(lengths, {B}), device);
    return o;
  }
  std::vector<Tensor> inputs(Dtype dtype) const {
    return {random({B, Tq, Hq, P}, dtype, 1, -2, 2), random({B, Tk, Hkv, P}, dtype, 2, -2, 2),
            random({B, Tk, Hkv, P}, dtype, 3)};
  }
  friend std::ostream& operator<<(std::ostream& out, const Case& c) {
    out << "B " << c.B << " Tq " << c.Tq << " Tk " << c.Tk << " Hq " << c.Hq << " Hkv " << c.Hkv << " P " << c.P;
    return out << (c.causal ? " causal" : "") << (c.offsets.empty() ? "" : " offsets")
               << (c.lengths.empty() ? "" : " lengths");
  }
};

// y, lse, dq, dk, dv for fixed random gradients of y and lse, on the host.
std::vector<Tensor> results_and_gradients(const Case& c, const std::vector<Tensor>& inputs) {
  std::vector<Tensor> in;
  for (const Tensor& x : inputs) in.push_back(set_requires_grad(detach(x)));
  const AttentionResult r = attention(in[0], in[1], in[2], c.options(in[0].device()));
  const std::vector<Tensor> out = {r.y, r.lse};
  std::vector<Tensor> up;
  for (const Tensor& y : out)
    up.push_back(to_device(converted(random(y.shape(), Dtype::bf16, 9), y.dtype()), y.device()));
  backward(out, up);
  return {on_host(r.y), on_host(r.lse), on_host(grad(in[0])), on_host(grad(in[1])), on_host(grad(in[2]))};
}

void expect_correct(const Case& c, Dtype dtype, const std::vector<Tensor>& inputs) {
  SCOPED_TRACE(::testing::PrintToString(c) + (dtype == Dtype::f32 ? " f32" : " bf16"));
  std::vector<Tensor> exact, given;
  for (const Tensor& x : inputs) {
    exact.push_back(converted(x, Dtype::f64));
    given.push_back(on_cuda_strided(x));
  }
  const std::vector<Tensor> expected = results_and_gradients(c, exact), actual = results_and_gradients(c, given);
  EXPECT_EQ(actual[0].dtype(), dtype);
  EXPECT_EQ(actual[1].dtype(), Dtype::f32);
  EXPECT_EQ(actual[2].dtype(), dtype);
  const bool f32 = dtype == Dtype::f32;
  expect_close(actual[0], expected[0], f32 ? 1e-5 : 0.006, f32 ? 1e-5 : 0.006);  // weights are rounded to bf16
  expect_close(actual[1], expected[1], 1e-5, 1e-5);
  for (size_t i = 2; i < 5; ++i) {
    SCOPED_TRACE("gradient of input " + std::to_string(i - 2));
    expect_close(actual[i], expected[i], f32 ? 2e-5 : 0.04, f32 ? 2e-5 : 0.015);
  }
}
void expect_correct(const Case& c, Dtype dtype) { expect_correct(c, dtype, c.inputs(dtype)); }

// Tails of every tile, several tiles, queries and keys that nobody sees, grouped queries, and decode steps.
std::vector<Case> cases_of(int64_t P) {
  return {
      {1, 1, 1, 1, 1, P},
      {2, 17, 17, 2, 1, P},
      {1, 65, 65, 1, 1, P},
      {2, 7, 70, 2, 2, P, true, {63, 5}, {70, 9}},
      {3, 5, 33, 1, 1, P, false, {}, {33, 2, 0}},
      {2, 1, 40, 4, 2, P, true, {39, 3}, {40, 4}},
      {1, 6, 3, 1, 1, P},
  };
}

TEST(AttentionCuda, EqualsF64InEveryVersion) {
  for (const int version : {1, 2, 3}) {
    const KernelVersionScope scope("attention", version);
    SCOPED_TRACE("version " + std::to_string(version));
    for (const int64_t P : {16, 32, 64, 128})
      for (const Case& c : cases_of(P))
        for (const Dtype dtype : {Dtype::f32, Dtype::bf16})
          if (dtype == Dtype::bf16 || version < 3) expect_correct(c, dtype);
  }
}

TEST(AttentionCuda, SeveralTilesInEveryWarpOrder) {
  const Case causal{1, 130, 130, 2, 1, 32}, cached{1, 66, 200, 1, 1, 64, true, {130}, {196}};
  testing::for_each_warp_order([&] {
    for (const Case& c : {causal, cached})
      for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) expect_correct(c, dtype);
  });
}

// Widths that the tiles do not have take version 1.
TEST(AttentionCuda, OtherWidths) {
  for (const int64_t P : {1, 3, 33, 48, 100, 256})
    for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) expect_correct({2, 5, 9, 2, 1, P, true, {4, 0}, {9, 3}}, dtype);
  expect_error(
      [] {
        attention(on_cuda(random({1, 1, 1, 257})), on_cuda(random({1, 1, 1, 257})), on_cuda(random({1, 1, 1, 257})));
      },
      {"attention: CUDA kernels take heads of at most 256 channels", "257"});
}

// Slices of wider rows: those that stay on 16 bytes, and those that do not.
TEST(AttentionCuda, StridedInputs) {
  for (const int version : {1, 2, 3})
    for (const int64_t start : {0, 16, 1}) {
      const KernelVersionScope scope("attention", version);
      SCOPED_TRACE("version " + std::to_string(version) + ", slices that start at " + std::to_string(start));
      for (const Dtype dtype : {Dtype::f32, Dtype::bf16})
        for (const int64_t Tq : {1, 9}) {
          const Case c{2, Tq, 9, 2, 2, 32, true, {9 - static_cast<int32_t>(Tq), 0}};
          std::vector<Tensor> inputs;
          for (const Tensor& x : c.inputs(dtype)) {
            const Tensor wide = random({2, x.size(1), 2, 32 + (start == 1 ? 3 : 32)}, dtype, 7);
            const Tensor slice = wide.with_view(sliced(wide, 3, start, start + 32, 1, "test"));
            copy(slice, x);
            inputs.push_back(slice);
          }
          expect_correct(c, dtype, inputs);
        }
    }
}

// One fused tensor gives what its three parts give, values and gradients, to the bit.
TEST(AttentionCuda, FusedProjection) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    const Tensor qkv = set_requires_grad(on_cuda(random({2, 9, 4 + 2 * 2, 32}, dtype)));
    const auto part = [&](const Tensor& x, int64_t start, int64_t end) {
      return clone(x.with_view(sliced(x, 2, start, end, 1, "part")));
    };
    const Tensor q = set_requires_grad(part(qkv, 0, 4)), k = set_requires_grad(part(qkv, 4, 6));
    const Tensor v = set_requires_grad(part(qkv, 6, 8));
    const AttentionResult fused = attention_qkv(qkv, 2), plain = attention(q, k, v);
    expect_equal(on_host(fused.y), on_host(plain.y));
    expect_equal(on_host(fused.lse), on_host(plain.lse));
    const Tensor dy = on_cuda(random(plain.y.shape(), dtype, 4));
    backward(std::span(&fused.y, 1), std::span(&dy, 1));
    backward(std::span(&plain.y, 1), std::span(&dy, 1));
    expect_equal(on_host(part(grad(qkv), 0, 4)), on_host(grad(q)));
    expect_equal(on_host(part(grad(qkv), 4, 6)), on_host(grad(k)));
    expect_equal(on_host(part(grad(qkv), 6, 8)), on_host(grad(v)));
  }
}

// What a cache relies on: steps of one or several queries, each at its offset, give the rows of the whole.
TEST(AttentionCuda, DecodingEqualsTheWhole) {
  const int64_t T = 90;
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    std::vector<Tensor> in;
    for (const Tensor& x : Case{2, T, T, 4, 2, 32}.inputs(dtype)) in.push_back(on_cuda(x));
    const Tensor whole = attention(in[0], in[1], in[2]).y;
    int32_t t = 0;
    for (const int64_t step : {65, 1, 1, 4, 5, 14}) {
      const auto part = [&](const Tensor& x) { return x.with_view(sliced(x, 1, t, t + step, 1, "part")); };
      AttentionOptions options;
      options.offsets = on_cuda(from_values(std::vector<int32_t>{t, t}, {2}));
      const double tolerance = dtype == Dtype::f32 ? 3e-6 : 0.006;
      expect_close(on_host(clone(attention(part(in[0]), in[1], in[2], options).y)), on_host(clone(part(whole))),
                   tolerance, tolerance);
      t += static_cast<int32_t>(step);
    }
    EXPECT_EQ(t, T);
  }
}

// Scores beyond the range of exp, and keys behind `lengths` that hold NaN: also their gradients are 0.
TEST(AttentionCuda, LargeScoresAndUnusedKeys) {
  for (const int version : {1, 2, 3})
    for (const Dtype dtype : {Dtype::f32, Dtype::bf16})
      for (const int64_t Tq : {10, 2}) {
        const KernelVersionScope scope("attention", version);
        SCOPED_TRACE("version " + std::to_string(version));
        const Case c{1, Tq, 70, 1, 1, 16, false, {}, {66}};
        std::vector<Tensor> in = c.inputs(Dtype::f32);
        for (int64_t i = 0; i < in[0].numel(); ++i) in[0].data<float>()[i] *= 512;
        for (int64_t i = 66 * 16; i < 70 * 16; ++i) in[1].data<float>()[i] = in[2].data<float>()[i] = std::nanf("");
        for (Tensor& x : in) x = converted(x, dtype);
        std::vector<Tensor> exact, given;
        for (const Tensor& x : in) exact.push_back(converted(x, Dtype::f64)), given.push_back(on_cuda(x));
        const std::vector<Tensor> expected = results_and_gradients(c, exact), actual = results_and_gradients(c, given);
        // Scores of several thousand have an f32 spacing of 2^-12 or so.
        expect_close(actual[0], expected[0], dtype == Dtype::f32 ? 2e-3 : 0.01, 0.006);
        for (size_t i = 3; i < 5; ++i) {
          const Tensor gradient = converted(actual[i], Dtype::f32);
          for (int64_t e = 0; e < gradient.numel(); ++e)
            if (e < 66 * 16) EXPECT_TRUE(std::isfinite(gradient.data<float>()[e]));
            else EXPECT_EQ(gradient.data<float>()[e], 0.0f);
        }
      }
}

TEST(AttentionCuda, SameBitsEveryTime) {
  const Case c{1, 70, 70, 2, 1, 32};
  for (const int version : {1, 2, 3})
    for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
      const KernelVersionScope scope("attention", version);
      std::vector<Tensor> in;
      for (const Tensor& x : c.inputs(dtype)) in.push_back(on_cuda(x));
      const std::vector<Tensor> first = results_and_gradients(c, in);
      setenv("VIGOR_EMULATOR_WARP_ORDER", "5", 1);
      const std::vector<Tensor> second = results_and_gradients(c, in);
      unsetenv("VIGOR_EMULATOR_WARP_ORDER");
      for (size_t i = 0; i < first.size(); ++i) expect_equal(second[i], first[i]);
    }
}

TEST(AttentionCuda, OffsetsAndLengthsAreOnTheGpu) {
  const Case c{2, 3, 4, 1, 1, 16, true, {0, 1}};
  std::vector<Tensor> in;
  for (const Tensor& x : c.inputs(Dtype::f32)) in.push_back(on_cuda(x));
  expect_error([&] { attention(in[0], in[1], in[2], c.options(kCpu)); },
               {"attention: offsets must be [B]=[2] i32 on cuda:0", "[2] i32"});
}

// What the card says: a causal pass over T rows reads what it streams (T/64 + 1)/2 times, everything else once; and the
// tiles of version 3 have no bank conflicts.
TEST(AttentionCuda, BytesMoved) {
  constexpr int64_t T = 256, H = 2, P = 64;
  const double rows = T * H, row_bytes = P * 2, streamed = (T / 64.0 + 1) / 2, terms = 8 * rows;
  std::vector<Tensor> in;
  for (const Tensor& x : Case{1, T, T, H, H, P}.inputs(Dtype::bf16)) in.push_back(set_requires_grad(on_cuda(x)));
  const Tensor dy = on_cuda(random({1, T, H, P}, Dtype::bf16, 4));
  AttentionResult r;
  const auto forward_pass = [&] { r = attention(in[0], in[1], in[2]); };
  const auto backward_pass = [&] { backward(std::span(&r.y, 1), std::span(&dy, 1)); };
  testing::expect_bytes_moved("attention_forward_v3", (1 + 2 * streamed) * rows * row_bytes, rows * (row_bytes + 4),
                              forward_pass);
  if (const auto counters = testing::count_kernels("attention_terms", backward_pass)) {
    EXPECT_NEAR(static_cast<double>(counters->global_bytes_read), rows * (2 * row_bytes + 4), 1);
    EXPECT_NEAR(static_cast<double>(counters->global_bytes_written), terms,
                1);  // scattered: heads are interleaved in y
  }
  forward_pass();
  testing::expect_bytes_moved("attention_dq_v3", (2 + 2 * streamed) * rows * row_bytes + terms, rows * row_bytes,
                              backward_pass);
  forward_pass();
  testing::expect_bytes_moved("attention_dkv_v3", (2 + 2 * streamed) * rows * row_bytes + streamed * terms,
                              2 * rows * row_bytes, backward_pass);
  forward_pass();
  const auto counters = testing::count_kernels("_v3", [&] { forward_pass(), backward_pass(); });
  EXPECT_EQ(counters ? counters->bank_conflicts : 0, 0u);
}

// Bytes of one query against a cache of float rows: q, k and v once, y and lse once.
TEST(AttentionCuda, BytesMovedByDecoding) {
  const Case c{2, 1, 512, 2, 2, 64, false};
  std::vector<Tensor> in;
  for (const Tensor& x : c.inputs(Dtype::f32)) in.push_back(on_cuda(x));
  testing::expect_bytes_moved("attention_few_queries", 4 * (1 + 2 * 512) * 64 * 4, 4 * (64 * 4 + 4),
                              [&] { attention(in[0], in[1], in[2], c.options(kCuda)); });
}

// cuDNN only runs on a GPU; elsewhere asking for it is refused in one line.
TEST(AttentionCuda, CudnnEqualsF64) {
  const AttentionBackendScope cudnn(AttentionBackend::cudnn);
  const std::string problem = attention_cudnn_problem();
  for (const Case& c : {Case{2, 70, 70, 4, 2, 64}, Case{1, 128, 128, 2, 2, 32}, Case{2, 64, 96, 2, 2, 128, false}}) {
    const std::vector<Tensor> inputs = c.inputs(Dtype::bf16);
    std::vector<Tensor> exact, given;
    for (const Tensor& x : inputs) {
      exact.push_back(set_requires_grad(converted(x, Dtype::f64)));
      given.push_back(set_requires_grad(on_cuda(x)));
    }
    if (!problem.empty()) {
      expect_error([&] { attention(given[0], given[1], given[2], c.options(kCuda)); },
                   {"attention: ", problem.c_str(), "own"});
      continue;
    }
    const AttentionResult expected = attention(exact[0], exact[1], exact[2], c.options(kCpu));
    const AttentionResult actual = attention(given[0], given[1], given[2], c.options(kCuda));
    const Tensor dy = random(expected.y.shape(), Dtype::bf16, 9);
    const Tensor exact_dy = converted(dy, Dtype::f64), given_dy = on_cuda(dy);
    backward(std::span(&expected.y, 1), std::span(&exact_dy, 1));
    backward(std::span(&actual.y, 1), std::span(&given_dy, 1));
    expect_close(on_host(actual.y), expected.y, 0.006, 0.006);
    expect_close(on_host(actual.lse), expected.lse, 1e-4, 1e-4);
    for (size_t i = 0; i < 3; ++i) expect_close(on_host(grad(given[i])), grad(exact[i]), 0.04, 0.015);
  }
  if (!problem.empty()) GTEST_SKIP() << problem;
}

// Steps of a decoder, and f32, under the same flag: the first run our own kernels, the second is refused.
TEST(AttentionCuda, CudnnTakesTrainingCalls) {
  const AttentionBackendScope cudnn(AttentionBackend::cudnn);
  expect_correct({2, 1, 7, 2, 1, 32, true, {6, 2}, {7, 3}}, Dtype::bf16);
  const Tensor x = on_cuda(random({1, 2, 2, 16}));
  expect_error([&] { attention(x, x, x); }, {"attention: ", "own"});
}

TEST(AttentionBackend, Names) {
  EXPECT_EQ(attention_backend_of("own"), AttentionBackend::own);
  EXPECT_EQ(attention_backend_of("cudnn"), AttentionBackend::cudnn);
  expect_error([] { attention_backend_of("flash"); }, {"attention: kernels are 'own' or 'cudnn'", "flash"});
}

}  // namespace
}  // namespace vigor
