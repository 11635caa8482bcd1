#include "kernels/attention/attention.h"

#include <gtest/gtest.h>

#include "autograd/engine.h"
#include "autograd/variable.h"
#include "tensor/safetensors.h"
#include "tensor/simd.h"
#include "tests/support/testing.h"

namespace vigor {
namespace {

using testing::expect_close;
using testing::expect_error;
using testing::random;

struct Case {
  int64_t B, Tq, Tk, Hq, Hkv, P;
  bool causal = true;
  std::vector<int32_t> offsets = {}, lengths = {};

  std::vector<Tensor> inputs(Dtype dtype = Dtype::f64) const {
    return {random({B, Tq, Hq, P}, dtype, 1, -2, 2), random({B, Tk, Hkv, P}, dtype, 2, -2, 2),
            random({B, Tk, Hkv, P}, dtype, 3)};
  }
  AttentionOptions options() const {
    AttentionOptions o;
    o.causal = causal;
    if (!offsets.empty()) o.offsets = from_values(offsets, {B});
    if (!lengths.empty()) o.lengths = from_values(lengths, {B});
    return o;
  }
};

// Covers sizes 1, 3, 17, 33, grouped queries, tails of the blocks of 64, queries that see no key, and decode steps.
const std::vector<Case> kSmall = {
    {1, 1, 1, 1, 1, 1},
    {2, 3, 3, 2, 2, 3},
    {1, 17, 17, 3, 1, 2},
    {2, 3, 9, 4, 2, 2, true, {6, 2}},
    {2, 4, 5, 2, 1, 3, false, {}, {5, 2}},
    {3, 5, 6, 2, 2, 2, true, {0, 3, 1}, {6, 4, 0}},
    {2, 1, 7, 4, 2, 3, true, {6, 3}, {7, 4}},
    {1, 6, 3, 1, 1, 2},
};
const std::vector<Case> kLarge = {
    {1, 33, 33, 2, 1, 33},
    {2, 64, 64, 2, 2, 32},
    {1, 65, 65, 1, 1, 16},
    {1, 130, 130, 2, 1, 7},
    {2, 70, 200, 2, 1, 64, true, {130, 5}, {200, 60}},
    {1, 20, 150, 2, 2, 128, false, {}, {149}},
    {2, 1, 300, 4, 2, 64, true, {299, 80}, {300, 81}},
    {3, 3, 129, 6, 1, 17, true, {126, 0, 64}, {129, 1, 0}},
    {1, 70, 70, 1, 1, 1},
};

// Results, then gradients for fixed random gradients of y and lse.
std::vector<Tensor> results_and_gradients(const Case& c, const std::vector<Tensor>& values, Dtype dtype) {
  std::vector<Tensor> in;
  for (const Tensor& x : values) in.push_back(set_requires_grad(testing::converted(x, dtype)));
  const AttentionResult r = attention(in[0], in[1], in[2], c.options());
  const std::vector<Tensor> out = {r.y, r.lse};
  std::vector<Tensor> up;
  for (const Tensor& y : out)
    up.push_back(testing::converted(testing::converted(random(y.shape(), Dtype::f64, 9), Dtype::bf16), y.dtype()));
  backward(out, up);
  return {r.y, r.lse, grad(in[0]), grad(in[1]), grad(in[2])};
}

// Plain softmax over all keys, on vectors.
TEST(Attention, EqualsDefinition) {
  for (const Case& c : kSmall) {
    const std::vector<Tensor> in = c.inputs();
    const AttentionResult r = attention(in[0], in[1], in[2], c.options());
    const auto at = [](const Tensor& x, int64_t b, int64_t t, int64_t h, int64_t p) {
      return x.data<double>()[((b * x.size(1) + t) * x.size(2) + h) * x.size(3) + p];
    };
    for (int64_t b = 0; b < c.B; ++b)
      for (int64_t h = 0; h < c.Hq; ++h)
        for (int64_t i = 0; i < c.Tq; ++i) {
          int64_t keys = c.lengths.empty() ? c.Tk : c.lengths[static_cast<size_t>(b)];
          const int64_t position = (c.offsets.empty() ? 0 : c.offsets[static_cast<size_t>(b)]) + i;
          if (c.causal) keys = std::min(keys, position + 1);
          const int64_t kv = h / (c.Hq / c.Hkv);
          std::vector<double> weight;
          double sum = 0;
          for (int64_t j = 0; j < keys; ++j) {
            double s = 0;
            for (int64_t p = 0; p < c.P; ++p) s += at(in[0], b, i, h, p) * at(in[1], b, j, kv, p);
            weight.push_back(std::exp(s / std::sqrt(static_cast<double>(c.P))));
            sum += weight.back();
          }
          const double lse = r.lse.data<double>()[(b * c.Hq + h) * c.Tq + i];
          if (keys > 0) EXPECT_NEAR(lse, std::log(sum), 1e-12);
          else EXPECT_EQ(lse, -HUGE_VAL);
          for (int64_t p = 0; p < c.P; ++p) {
            double y = 0;
            for (int64_t j = 0; j < keys; ++j) y += weight[static_cast<size_t>(j)] / sum * at(in[2], b, j, kv, p);
            EXPECT_NEAR(at(r.y, b, i, h, p), y, 1e-12);
          }
        }
  }
}

TEST(Attention, EqualsPyTorch) {
  const SafetensorsFile file = SafetensorsFile::open(VIGOR_SOURCE_DIR "/tests/fixtures/ops/attention.safetensors");
  std::vector<Tensor> in;
  for (const char* name : {"q", "k", "v"}) in.push_back(set_requires_grad(clone(file.tensor(name))));
  const AttentionResult r = attention(in[0], in[1], in[2]);
  expect_close(r.y, file.tensor("y"), 1e-6, 1e-5);
  expect_close(r.lse, file.tensor("log_sum_exp"), 1e-6, 1e-5);
  const Tensor dy = file.tensor("dy");
  backward(std::span(&r.y, 1), std::span(&dy, 1));
  const char* gradients[] = {"dq", "dk", "dv"};
  for (size_t i = 0; i < 3; ++i) expect_close(grad(in[i]), file.tensor(gradients[i]), 1e-6, 1e-5);
}

TEST(Attention, Gradients) {
  for (const Case& c : kSmall) {
    const TensorFunction f = [&](std::span<const Tensor> in) {
      const AttentionResult r = attention(in[0], in[1], in[2], c.options());
      // -infinity, where no key is seen, cannot be differenced.
      const bool all_see = c.lengths.empty() || *std::min_element(c.lengths.begin(), c.lengths.end()) > 0;
      return all_see ? std::vector<Tensor>{r.y, r.lse} : std::vector<Tensor>{r.y};
    };
    testing::expect_gradients(f, c.inputs());
  }
}

TEST(Attention, FastEqualsF64OnEveryInstructionSet) {
  for (const Isa isa : {Isa::portable, Isa::neon, Isa::avx2, Isa::avx512}) {
    if (!is_supported(isa)) continue;
    const IsaScope scope(isa);
    for (const std::vector<Case>& cases : {kSmall, kLarge})
      for (const Case& c : cases) {
        const std::vector<Tensor> rounded = c.inputs(Dtype::f32);
        const std::vector<Tensor> expected = results_and_gradients(c, rounded, Dtype::f64);
        const std::vector<Tensor> actual = results_and_gradients(c, rounded, Dtype::f32);
        for (size_t i = 0; i < expected.size(); ++i) expect_close(actual[i], expected[i], 1e-5, 1e-5);
      }
  }
}

TEST(Attention, Bf16) {
  for (const Case& c : kLarge) {
    const std::vector<Tensor> rounded = c.inputs(Dtype::bf16);
    const std::vector<Tensor> expected = results_and_gradients(c, rounded, Dtype::f64);
    const std::vector<Tensor> actual = results_and_gradients(c, rounded, Dtype::bf16);
    EXPECT_EQ(actual[1].dtype(), Dtype::f32);
    EXPECT_EQ(actual[2].dtype(), Dtype::bf16);
    expect_close(actual[0], expected[0], 1e-5, 0.004);
    expect_close(actual[1], expected[1], 1e-5, 1e-5);
    // Backward sees the rounded y, in the sum y . dy.
    for (size_t i = 2; i < 5; ++i) expect_close(actual[i], expected[i], 0.03, 0.01);
  }
}

TEST(Attention, StridedInputs) {
  for (const Dtype dtype : {Dtype::f32, Dtype::f64, Dtype::bf16})
    for (const Case& c : {Case{2, 5, 7, 4, 2, 33, true, {2, 0}}, Case{2, 2, 7, 4, 2, 3, true, {5, 0}}}) {
      const std::vector<Tensor> in = c.inputs(dtype);
      const Tensor expected = attention(in[0], in[1], in[2], c.options()).y;
      const auto variants = [](const Tensor& x) { return testing::strided_variants(x); };
      for (size_t i = 0; i < variants(in[0]).size(); ++i)
        testing::expect_equal(attention(variants(in[0])[i], variants(in[1])[i], variants(in[2])[i], c.options()).y,
                              expected);
    }
}

// One fused tensor gives what its three parts give, values and gradients.
TEST(Attention, FusedProjection) {
  for (const Dtype dtype : {Dtype::f32, Dtype::f64, Dtype::bf16}) {
    const Tensor qkv = set_requires_grad(random({2, 9, 4 + 2 * 2, 5}, dtype));
    const auto part = [&](const Tensor& x, int64_t start, int64_t end) {
      return clone(x.with_view(sliced(x, 2, start, end, 1, "part")));
    };
    const Tensor q = set_requires_grad(part(qkv, 0, 4)), k = set_requires_grad(part(qkv, 4, 6));
    const Tensor v = set_requires_grad(part(qkv, 6, 8));
    const AttentionResult fused = attention_qkv(qkv, 2), plain = attention(q, k, v);
    testing::expect_equal(fused.y, plain.y);
    testing::expect_equal(fused.lse, plain.lse);
    const Tensor dy = random(plain.y.shape(), dtype, 4);
    backward(std::span(&fused.y, 1), std::span(&dy, 1));
    backward(std::span(&plain.y, 1), std::span(&dy, 1));
    testing::expect_equal(part(grad(qkv), 0, 4), grad(q));
    testing::expect_equal(part(grad(qkv), 4, 6), grad(k));
    testing::expect_equal(part(grad(qkv), 6, 8), grad(v));
  }
}

// What a cache relies on: steps of one or several queries, each at its offset, give the rows of the whole.
TEST(Attention, DecodingEqualsTheWhole) {
  const int64_t T = 90;
  const std::vector<Tensor> in = Case{2, T, T, 4, 2, 32}.inputs(Dtype::f32);
  const Tensor whole = attention(in[0], in[1], in[2]).y;
  int32_t t = 0;
  for (const int64_t step : {65, 1, 1, 4, 5, 14}) {
    const auto part = [&](const Tensor& x) { return x.with_view(sliced(x, 1, t, t + step, 1, "part")); };
    AttentionOptions options;
    options.offsets = from_values(std::vector<int32_t>{t, t}, {2});
    expect_close(attention(part(in[0]), in[1], in[2], options).y, part(whole), 2e-6);
    t += static_cast<int32_t>(step);
  }
  EXPECT_EQ(t, T);
}

// Scores beyond the range of exp, and keys behind `lengths` that hold NaN.
TEST(Attention, LargeScoresAndUnusedKeys) {
  Case c{1, 10, 70, 1, 1, 16, false, {}, {66}};
  std::vector<Tensor> in = c.inputs(Dtype::f32);
  for (int64_t i = 0; i < in[0].numel(); ++i) in[0].data<float>()[i] *= 1000;
  for (int64_t i = 66 * 16; i < 70 * 16; ++i) in[1].data<float>()[i] = in[2].data<float>()[i] = std::nanf("");
  for (const int64_t queries : {10, 2}) {
    const Tensor q = in[0].with_view(sliced(in[0], 1, 0, queries, 1, "part"));
    const Tensor y = attention(q, in[1], in[2], c.options()).y;
    const Tensor expected = attention(testing::converted(q, Dtype::f64), testing::converted(in[1], Dtype::f64),
                                      testing::converted(in[2], Dtype::f64), c.options())
                                .y;
    expect_close(y, expected, 2e-3);  // scores of several thousand, with f32 spacing 2^-12
  }
}

TEST(Attention, Errors) {
  const auto call = [](const Shape& q, const Shape& k, const Shape& v) { attention(random(q), random(k), random(v)); };
  expect_error([&] { call({2, 3, 4}, {2, 3, 4, 5}, {2, 3, 4, 5}); }, {"attention: q must be [B,Tq,Hq,P]", "[2,3,4]"});
  expect_error(
      [&] {
        call({2, 3, 4, 5}, {2, 3, 3, 5}, {2, 3, 3, 5});
      },
      {"attention: k must be [B,Tk,Hkv,P] like q, with Hkv dividing Hq", "[2,3,3,5]", "[2,3,4,5]"});
  expect_error([&] { call({2, 3, 4, 5}, {2, 3, 2, 5}, {2, 3, 2, 6}); }, {"attention: v must be like k", "[2,3,2,6]"});
  Case c{2, 3, 4, 1, 1, 2};
  const std::vector<Tensor> in = c.inputs();
  c.lengths = {4, 5};
  expect_error([&] { attention(in[0], in[1], in[2], c.options()); },
               {"attention: lengths must be in 0 .. 4", "lengths[1] is 5"});
  c.lengths = {};
  c.offsets = {0, -1};
  expect_error([&] { attention(in[0], in[1], in[2], c.options()); },
               {"attention: offsets must be in 0 ..", "offsets[1] is -1"});
  expect_error(
      [&] {
        attention_qkv(random({1, 2, 4, 5}), 2);
      },
      {"attention_qkv: qkv must be [B,T,Hq+2*Hkv,P]", "[1,2,4,5]"});
}

}  // namespace
}  // namespace vigor
