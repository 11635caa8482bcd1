#include "kernels/selective_scan/selective_scan.h"

#include <gtest/gtest.h>

#include "kernels/selective_scan/selective_scan_testing.h"

namespace vigor {
namespace {

using namespace testing;
using namespace testing::selective_scan_cases;

TEST(SelectiveScan, ByHand) {
  // One channel, two states with A = -1 and -2; a step size of ln 2, so the decays are 1/2 and 1/4.
  const auto row = [](double v) { return full({1, 2, 1}, v, Dtype::f64); };
  const Tensor x = from_values(std::vector<double>{1, 2}, {1, 2, 1});
  const Tensor b = from_values(std::vector<double>{1, 2, 1, 2}, {1, 2, 2});
  const Tensor c = from_values(std::vector<double>{1, 1, 1, -1}, {1, 2, 2});
  const Tensor a_log = from_values(std::vector<double>{0, std::log(2.0)}, {1, 2});
  const Tensor d = full({1}, 10, Dtype::f64), bias = full({1}, 0.25, Dtype::f64);
  const SelectiveScanResult r = selective_scan(x, row(-0.25), b, c, a_log, d, bias);
  const double s = std::log(2.0);  // h: (s, 2 s), then (s/2 + 2 s, s/2 + 4 s)
  expect_values(r.y, {10 + 3 * s, 20 - 2 * s}, 1e-14);
  expect_values(r.last_state, {2.5 * s, 4.5 * s}, 1e-14);
}

TEST(SelectiveScan, Gradients) {
  for (SequenceCase c :
       {make_case(1, 1, 1, 1), make_case(2, 3, 3, 2), make_case(1, 18, 2, 3), ragged(make_case(4, 5, 2, 2))}) {
    expect_sequence_gradients(kSelectiveScan, c);
    c.inputs[7] = Tensor();
    expect_sequence_gradients(kSelectiveScan, c);
  }
}

TEST(SelectiveScan, FastEqualsF64OnEveryInstructionSet) {
  for (const SequenceCase& c : {make_case(2, 1, 1, 1), make_case(2, 3, 17, 5), make_case(1, 33, 70, 16),
                                make_case(1, 5, 3, 128), ragged(make_case(4, 40, 19, 24))}) {
    expect_fast_equals_f64(kSelectiveScan, c, Dtype::f32, 1e-5);
    expect_fast_equals_f64(kSelectiveScan, c, Dtype::bf16, 0.012);
  }
}

// Step sizes from 1e-9 to 100: nearly no decay, and all of it.
TEST(SelectiveScan, LargeAndSmallSteps) {
  SequenceCase c = make_case(1, 40, 20, 4);
  fill_uniform(c.inputs[1], -20, 100, {7, RandomStream::init, 9, 0});
  expect_fast_equals_f64(kSelectiveScan, c, Dtype::f32, 1e-5);
}

TEST(SelectiveScan, PiecesEqualTheWhole) { expect_pieces_equal_whole(kSelectiveScan, make_case(3, 7, 5, 3)); }
TEST(SelectiveScan, PaddingIsTheIdentity) { expect_padding_is_identity(kSelectiveScan, ragged(make_case(4, 6, 5, 3))); }
TEST(SelectiveScan, StridesChangeNothing) {
  expect_strides_change_nothing(kSelectiveScan, ragged(make_case(4, 6, 33, 5)));
}
TEST(SelectiveScan, GradientsAddUp) { expect_gradients_add_up(kSelectiveScan, make_case(2, 20, 9, 3)); }

TEST(SelectiveScan, Errors) {
  const std::vector<Tensor> good = [] {
    std::vector<Tensor> in;
    for (const Tensor& x : make_case(2, 3, 4, 5).inputs) in.push_back(converted(x, Dtype::f32));
    return in;
  }();
  const auto with = [&](size_t input, const Tensor& value) {
    std::vector<Tensor> in = good;
    in[input] = value;
    kSelectiveScan.run(in, {}, {});
  };
  expect_error([&] { with(0, zeros({3, 4})); }, {"selective_scan: x must be [B,T,C]", "[3,4] f32"});
  expect_error([&] { with(1, zeros({2, 3, 5})); }, {"selective_scan: delta must be [B,T,E]=[2,3,4]", "[2,3,5]"});
  expect_error([&] { with(2, zeros({2, 3, 129})); }, {"selective_scan: b must be [B,T,N] with N in 1 .. 128", "129"});
  expect_error([&] { with(3, zeros({2, 3, 4})); }, {"selective_scan: c must be [B,T,N]=[2,3,5]", "[2,3,4]"});
  expect_error([&] { with(4, zeros({5, 4})); }, {"selective_scan: a_log must be [E,N]=[4,5]", "[5,4]"});
  expect_error([&] { with(6, Tensor()); }, {"selective_scan: delta_bias must be [E]=[4] f32", "undefined"});
  expect_error([&] { with(7, zeros({2, 4, 5}, Dtype::f64)); }, {"selective_scan: state must be", "f64"});
}

}  // namespace
}  // namespace vigor
