// Every row of the table on kCuda against the f64 definition: packs, rests of packs, strides and broadcasting.
#include "kernels/elementwise/elementwise.h"
#include "tests/support/cuda_testing.h"
#include "tests/support/emulator_counters.h"

namespace vigor {
namespace {

using namespace vigor::testing;

struct UnaryCase {
  const char* name;
  std::function<Tensor(const Tensor&)> f;
  double low, high;  // of the inputs
};

std::vector<UnaryCase> unary_cases() {
  return {{"neg", [](const Tensor& x) { return neg(x); }, -3, 3},
          {"exp", [](const Tensor& x) { return exp(x); }, -3, 3},
          {"log", [](const Tensor& x) { return log(x); }, 0.1, 5},
          {"sqrt", [](const Tensor& x) { return sqrt(x); }, 0.1, 5},
          {"tanh", [](const Tensor& x) { return tanh(x); }, -4, 4},
          {"sigmoid", [](const Tensor& x) { return sigmoid(x); }, -9, 9},
          {"silu", [](const Tensor& x) { return silu(x); }, -9, 9},
          {"softplus", [](const Tensor& x) { return softplus(x); }, -9, 9},
          {"clamp", [](const Tensor& x) { return clamp(x, -0.5, 1); }, -2, 2},
          {"x + s", [](const Tensor& x) { return x + 1.5; }, -2, 2},
          {"s - x", [](const Tensor& x) { return 1.5 - x; }, -2, 2},
          {"x * s", [](const Tensor& x) { return x * 1.5; }, -2, 2},
          {"x / s", [](const Tensor& x) { return x / 1.5; }, -2, 2},
          {"s / x", [](const Tensor& x) { return 1.5 / x; }, 0.5, 2}};
}

void check(const Operation& f, const std::vector<Tensor>& inputs) {
  expect_cuda_close_to_f64(f, inputs, {Dtype::f32}, 2e-6, 2e-6);
  expect_cuda_close_to_f64(f, inputs, {Dtype::bf16}, 8e-3, 2e-2);  // tanh: 1 - y^2 with a rounded y
}

TEST(ElementwiseCuda, EveryUnaryRow) {
  for (const UnaryCase& c : unary_cases()) {
    SCOPED_TRACE(c.name);
    const Operation f = [&](std::span<const Tensor> in) { return c.f(in[0]); };
    for (const Shape& sizes : {Shape{}, Shape{33}, Shape{3, 64}})
      check(f, {random(sizes, Dtype::f64, 1, c.low, c.high)});
  }
}

TEST(ElementwiseCuda, ExtremeValues) {
  const Tensor x = from_values<float>({NAN, HUGE_VALF, -HUGE_VALF, 100.0f, -100.0f, 0.0f}, {6});
  for (const UnaryCase& c : unary_cases()) {
    SCOPED_TRACE(c.name);
    const std::vector<float> actual = on_host(c.f(on_cuda(x))).to_vector<float>();
    const std::vector<float> expected = c.f(x).to_vector<float>();
    for (size_t i = 0; i < actual.size(); ++i) {
      EXPECT_EQ(std::isnan(actual[i]), std::isnan(expected[i])) << i;
      EXPECT_EQ(std::isinf(actual[i]), std::isinf(expected[i])) << i;
    }
  }
}

const std::vector<Operation>& binaries() {
  static const std::vector<Operation> all = {[](std::span<const Tensor> in) { return in[0] + in[1]; },
                                             [](std::span<const Tensor> in) { return in[0] - in[1]; },
                                             [](std::span<const Tensor> in) { return in[0] * in[1]; },
                                             [](std::span<const Tensor> in) { return in[0] / in[1]; }};
  return all;
}

TEST(ElementwiseCuda, BinariesOfEverySize) {
  for (const Operation& f : binaries())
    for (const int64_t n : {1, 3, 17, 64, 1037})
      check(f, {random({n}, Dtype::f64, 1), random({n}, Dtype::f64, 2, 0.5, 2)});
}

TEST(ElementwiseCuda, BinariesBroadcast) {
  const std::pair<Shape, Shape> cases[] = {{{4, 16}, {16}},         // packs again in every row
                                           {{4, 17}, {17}},         // no packs
                                           {{5, 24}, {5, 1}},       // one number for all packs of a row
                                           {{3, 1, 8}, {4, 1}},     // both
                                           {{}, {2, 24}},           // a number that is a tensor
                                           {{2, 1, 3}, {7, 1}},     //
                                           {{2, 5, 32}, {5, 32}}};  // a position embedding
  for (const auto& [a, b] : cases) {
    SCOPED_TRACE(to_string(a) + " and " + to_string(b));
    for (const Operation& f : binaries()) check(f, {random(a, Dtype::f64, 1), random(b, Dtype::f64, 2, 0.5, 2)});
  }
}

TEST(ElementwiseCuda, StridedInputs) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    const Tensor x = random({3, 5, 24}, dtype), y = random({3, 5, 24}, dtype, 1);
    const Tensor sum = on_host(on_cuda(x) + on_cuda(y)), silus = on_host(silu(on_cuda(x)));
    for (const Tensor& strided : strided_variants(x)) {
      expect_equal(on_host(silu(on_cuda_strided(strided))), silus);
      expect_equal(on_host(on_cuda_strided(strided) + on_cuda(y)), sum);
    }
    // Packs that do not begin at a multiple of their size.
    const Tensor memory = on_cuda(random({97}, dtype)), odd = memory.with_view(sliced(memory, 0, 1, 97, 1, "test"));
    expect_equal(on_host(neg(odd)), neg(on_host(odd)));
  }
}

TEST(ElementwiseCuda, NoElements) {
  EXPECT_EQ(exp(zeros({0, 4}, Dtype::f32, kCuda)).shape(), (Shape{0, 4}));
  EXPECT_EQ((zeros({0, 4}, Dtype::f32, kCuda) + zeros({4}, Dtype::f32, kCuda)).shape(), (Shape{0, 4}));
}

TEST(ElementwiseCuda, DoubleIsRefused) {
  expect_error([] { exp(zeros({2}, Dtype::f64, kCuda)); }, {"CUDA kernels compute in f32 and bf16; got f64"});
}

// The card: every input is read and the result written once; a broadcast input again in every row.
TEST(ElementwiseCuda, BytesMoved) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    const Tensor x = on_cuda(random({64, 256}, dtype)), bias = on_cuda(random({256}, dtype, 1));
    const auto n = static_cast<double>(x.nbytes());
    expect_bytes_moved("map_kernel", n, n, [&] { silu(x); });
    expect_bytes_moved("map_kernel", 2 * n, n, [&] { mul(x, x); });
    expect_bytes_moved("map_kernel", 2 * n, n, [&] { add(x, bias); });
    // Gradients read what their formula names: dy alone, or dy and one input.
    const Tensor leaf = set_requires_grad(detach(x));
    const auto gradient_of = [&](const Tensor& y) { backward(std::span(&y, 1), std::span(&x, 1)); };
    const Tensor negated = neg(leaf), scaled = mul(leaf, x);
    expect_bytes_moved("map_kernel", n, n, [&] { gradient_of(negated); });
    zero_grad(leaf);
    expect_bytes_moved("map_kernel", 2 * n, n, [&] { gradient_of(scaled); });
  }
}

}  // namespace
}  // namespace vigor
