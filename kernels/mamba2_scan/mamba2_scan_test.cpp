#include "kernels/mamba2_scan/mamba2_scan.h"

#include <gtest/gtest.h>

#include "kernels/mamba2_scan/mamba2_scan_testing.h"

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace vigor {
namespace {

using namespace testing;
using namespace testing::mamba2_scan_cases;

// The equations, one number at a time.
std::vector<Tensor> definition(const SequenceCase& c, double dt_min, double dt_max) {
  const auto value = [&](size_t input, int64_t i) { return c.inputs[input].data<double>()[i]; };
  const Tensor &x = c.inputs[0], &ssm_b = c.inputs[2];
  const int64_t B = x.size(0), T = x.size(1), H = x.size(2), P = x.size(3), G = ssm_b.size(2), N = ssm_b.size(3);
  std::vector<Tensor> out = {zeros(x.shape(), Dtype::f64), converted(c.inputs[kState], Dtype::f64)};
  for (int64_t b = 0; b < B; ++b)
    for (int64_t h = 0; h < H; ++h) {
      const int64_t g = h / (H / G), length = c.lengths.defined() ? c.lengths.data<int32_t>()[b] : T;
      double* s = out[1].data<double>() + (b * H + h) * P * N;
      for (int64_t t = 0; t < length; ++t) {
        const bool reset = c.resets.defined() && c.resets.data<uint8_t>()[b * T + t] != 0;
        const double softplus = std::log(1 + std::exp(value(1, (b * T + t) * H + h) + value(6, h)));
        const double dt = std::min(std::max(softplus, dt_min), dt_max);
        const double decay = reset ? 0 : std::exp(-std::exp(value(4, h)) * dt);
        for (int64_t p = 0; p < P; ++p) {
          const int64_t i = ((b * T + t) * H + h) * P + p;
          double& y = out[0].data<double>()[i];
          y = value(5, h) * value(0, i);
          for (int64_t n = 0; n < N; ++n) {
            const int64_t j = ((b * T + t) * G + g) * N + n;
            s[p * N + n] = decay * s[p * N + n] + dt * value(0, i) * value(2, j);
            y += s[p * N + n] * value(3, j);
          }
        }
      }
    }
  return out;
}

TEST(Mamba2Scan, OneNumberByHand) {
  const auto one = [](double v) { return full({1}, v, Dtype::f64); };
  const auto steps = [](double first, double second, const Shape& sizes) {
    return from_values(std::vector<double>{first, second}, sizes);
  };
  // a = -ln 2, and softplus(ln(e - 1)) = 1: the state halves at each step.
  const double dt = std::log(M_E - 1);
  const Mamba2ScanResult r =
      mamba2_scan(steps(1, 3, {1, 2, 1, 1}), steps(dt - 1, dt - 1, {1, 2, 1}), steps(2, 4, {1, 2, 1, 1}),
                  steps(1, 10, {1, 2, 1, 1}), one(std::log(M_LN2)), one(0.5), one(1));
  expect_values(r.y, {2 + 0.5, 130 + 1.5}, 1e-13);  // S: 2, 0.5 * 2 + 3 * 4 = 13
  expect_values(r.last_state, {13}, 1e-14);
}

TEST(Mamba2Scan, EqualsDefinition) {
  const auto expect_definition = [](const SequenceCase& c, double dt_min, double dt_max) {
    const std::vector<Tensor> expected = definition(c, dt_min, dt_max),
                              actual = scan(dt_min, dt_max).run(c.inputs, c.lengths, c.resets);
    for (size_t i = 0; i < expected.size(); ++i) expect_close(actual[i], expected[i], 1e-12, 1e-12);
  };
  for (const SequenceCase& c : {make_case({2, 1, 1, 1, 1, 1}), make_case({2, 5, 4, 3, 2, 2}),
                                make_case({1, 70, 2, 5, 1, 3}), ragged_case({4, 12, 2, 3, 2, 5})})
    expect_definition(c, 0, std::numeric_limits<double>::infinity());
  expect_definition(make_case({1, 9, 2, 3, 1, 4}), 0.3, 0.8);
}

TEST(Mamba2Scan, Gradients) {
  std::vector<SequenceCase> cases = {make_case({1, 1, 1, 1, 1, 1}), make_case({2, 3, 2, 3, 1, 4}),
                                     make_case({1, 7, 4, 2, 2, 3}), ragged_case({4, 6, 2, 2, 2, 3})};
  cases.push_back(make_case({2, 4, 2, 3, 1, 2}));  // strided inputs
  for (Tensor& input : cases.back().inputs) input = transposed_storage(input);
  cases.push_back(make_case({2, 4, 2, 3, 1, 2}));  // no initial state
  cases.back().inputs[kState] = Tensor();
  cases.push_back(make_case({1, 4, 1, 2, 1, 3}));  // softplus beyond its threshold
  cases.back().inputs[1] = random({1, 4, 1}, Dtype::f64, 9, 15, 25);
  cases.back().inputs[4] = full({1}, -6, Dtype::f64);
  for (const SequenceCase& c : cases) expect_sequence_gradients(kScan, c);
  // Some steps are clamped from below, some from above.
  expect_sequence_gradients(scan(0.3, 0.8), make_case({1, 9, 2, 2, 1, 3}));
}

TEST(Mamba2Scan, GradientOfTheFinalStateAlone) {
  const SequenceCase c = ragged_case({4, 5, 2, 3, 1, 2});
  expect_gradients([&](std::span<const Tensor> in) { return kScan.run(in, c.lengths, c.resets)[1]; }, c.inputs);
}

// The chunk of the fast paths has 64 steps.
void expect_fast_cases_equal_f64(Dtype dtype, double tolerance) {
  std::vector<SequenceCase> cases = {
      make_case({2, 1, 3, 5, 1, 7}),    make_case({1, 1, 4, 32, 2, 64}),     make_case({1, 17, 2, 16, 1, 16}),
      make_case({1, 63, 2, 33, 2, 18}), make_case({1, 64, 3, 48, 1, 32}),    make_case({1, 65, 3, 4, 1, 5}),
      make_case({2, 150, 4, 8, 2, 20}), ragged_case({4, 200, 2, 12, 1, 17}), ragged_case({4, 33, 2, 17, 2, 4})};
  cases.push_back(make_case({1, 128, 2, 8, 1, 8}));
  cases.back().inputs[kState] = Tensor();
  for (const SequenceCase& c : cases) {
    SCOPED_TRACE(describe(c.inputs[0]) + ", B " + describe(c.inputs[2]));
    expect_fast_equals_f64(kScan, c, dtype, tolerance);
  }
  expect_fast_equals_f64(scan(0.3, 0.8), make_case({1, 100, 2, 8, 1, 8}), dtype, tolerance);
}

TEST(Mamba2Scan, FastEqualsF64OnEveryInstructionSet) { expect_fast_cases_equal_f64(Dtype::f32, 2e-5); }

// y and the gradients of activations are rounded to 8 bits.
TEST(Mamba2Scan, Bf16ActivationsBesideF32States) { expect_fast_cases_equal_f64(Dtype::bf16, 0.004); }

// Decays that leave nothing of a state beside ones that keep it: no overflow, no 0 / 0, no loss of accuracy.
TEST(Mamba2Scan, ExtremeDecays) {
  SequenceCase c = make_case({1, 130, 3, 4, 1, 4});
  c.inputs[1] = random({1, 130, 3}, Dtype::f64, 2, -30, 30);
  c.inputs[4] = from_values(std::vector<double>{-12, 0, 7}, {3});
  expect_fast_equals_f64(kScan, c, Dtype::f32, 1e-4);
}

TEST(Mamba2Scan, SlicesOfOneProjectionAreReadInPlace) {
  for (const int64_t T : {1, 70}) expect_strides_change_nothing(kScan, make_case({2, T, 4, 8, 2, 16}));
}

TEST(Mamba2Scan, SplitScansEqualOneScan) {
  const SequenceCase c = make_case({2, 7, 4, 3, 2, 5});
  expect_pieces_equal_whole(kScan, c);
  expect_pieces_equal_whole(kScan, c, Dtype::f32, 1e-5);
  SequenceCase longer = make_case({1, 140, 2, 9, 1, 10});
  longer.resets = zeros({1, 140}, Dtype::u8);
  expect_pieces_equal_whole(kScan, longer, {70, 1, 69}, Dtype::f32, 3e-5);
}

TEST(Mamba2Scan, PaddingIsTheIdentity) {
  for (const Dtype dtype : {Dtype::f64, Dtype::f32})
    expect_padding_is_identity(kScan, ragged_case({4, 90, 2, 5, 1, 6}), dtype);
}

TEST(Mamba2Scan, GradientsAddUp) { expect_gradients_add_up(kScan, make_case({2, 70, 4, 3, 2, 5})); }

#if defined(_OPENMP)
TEST(Mamba2Scan, TheNumberOfThreadsDoesNotMatter) {
  const int threads = omp_get_max_threads();
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    const SequenceCase c = make_case({2, 130, 6, 16, 2, 16});
    omp_set_num_threads(1);
    const std::vector<Tensor> expected = results_and_gradients(kScan, c, dtype);
    omp_set_num_threads(3);
    const std::vector<Tensor> actual = results_and_gradients(kScan, c, dtype);
    omp_set_num_threads(threads);
    for (size_t i = 0; i < expected.size(); ++i) expect_equal(actual[i], expected[i]);
  }
}
#endif

TEST(Mamba2Scan, OneTensorMayBeSeveralParameters) {
  const SequenceCase c = make_case({1, 6, 3, 4, 1, 5}, Dtype::f32);
  const auto backward_of = [](const std::vector<Tensor>& inputs) {
    const Tensor y = kScan.run(inputs, {}, {})[0], up = full(y.shape(), 1);
    backward(std::span(&y, 1), std::span(&up, 1));
  };
  std::vector<Tensor> apart = c.inputs, shared = c.inputs;
  for (const size_t i : {4, 5, 6}) apart[i] = set_requires_grad(clone(c.inputs[4]));
  shared[4] = shared[5] = shared[6] = set_requires_grad(clone(c.inputs[4]));
  set_grad_buffer(shared[4], full({3}, 99));  // old numbers that count as zero
  backward_of(apart);
  std::vector<double> expected(3, 0);
  for (const size_t i : {4, 5, 6})
    for (size_t h = 0; h < 3; ++h) expected[h] += grad(apart[i]).to_vector<double>()[h];
  for (int pass = 1; pass <= 2; ++pass) {
    backward_of(shared);
    std::vector<double> sum = expected;
    for (double& v : sum) v *= pass;
    expect_values(grad(shared[4]), sum, 1e-5);
  }
}

TEST(Mamba2Scan, Errors) {
  SequenceCase c = make_case({2, 3, 4, 5, 2, 6}, Dtype::f32);
  const auto with = [&](size_t input, const Tensor& value) {
    std::vector<Tensor> in = c.inputs;
    in[input] = value;
    kScan.run(in, {}, {});
  };
  expect_error([&] { with(0, random({2, 3, 20})); }, {"mamba2_scan: x must be [B,T,H,P]", "[2,3,20] f32"});
  expect_error([&] { with(0, Tensor()); }, {"mamba2_scan: x and B must be tensors"});
  expect_error([&] { with(1, random({2, 3, 5})); }, {"mamba2_scan: dt must be [B,T,H]=[2,3,4] f32", "[2,3,5]"});
  expect_error([&] { with(2, random({2, 3, 3, 6})); }, {"mamba2_scan: B must be [B,T,G,N]", "H=4", "[2,3,3,6]"});
  expect_error([&] { with(3, random({2, 3, 2, 7})); }, {"mamba2_scan: C must be [B,T,G,N]=[2,3,2,6] f32", "[2,3,2,7]"});
  expect_error([&] { with(4, random({4}, Dtype::f64)); }, {"mamba2_scan: a_log must be [H]=[4] f32", "f64"});
  expect_error([&] { with(5, Tensor()); }, {"mamba2_scan: D must be [H]=[4] f32", "undefined"});
  expect_error([&] { with(6, random({5})); }, {"mamba2_scan: dt_bias must be [H]=[4] f32", "[5]"});
  expect_error([&] { with(kState, random({2, 4, 6, 5})); }, {"mamba2_scan: state must be [B,H,P,N]=[2,4,5,6] f32"});
  c.lengths = from_values(std::vector<int32_t>{3, 4}, {2});
  expect_error([&] { kScan.run(c.inputs, c.lengths, {}); },
               {"mamba2_scan: lengths must be in 0 .. T=3", "lengths[1] is 4"});
  c.resets = zeros({2, 4}, Dtype::u8);
  expect_error([&] { kScan.run(c.inputs, {}, c.resets); }, {"mamba2_scan: resets must be [B,T]=[2,3] u8"});
  expect_error([&] { scan(2, 1).run(c.inputs, {}, {}); },
               {"mamba2_scan: limits of dt must be 0 <= dt_min <= dt_max; got 2 and 1"});
}

}  // namespace
}  // namespace vigor
