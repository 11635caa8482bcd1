#include "kernels/elementwise/elementwise.h"

#include "autograd/engine.h"
#include "autograd/graph.h"
#include "kernels/elementwise/elementwise_kernels.h"
#include "tensor/simd.h"
#include "tests/support/against_f64.h"
#include "tests/support/testing.h"

namespace vigor {
namespace {

using namespace vigor::testing;
using BinaryFunction = Tensor (*)(const Tensor&, const Tensor&);

struct UnaryCase {
  const char* name;
  std::function<Tensor(const Tensor&)> f;
  std::function<double(double)> definition;
  double low, high;  // of the inputs
};

double sigmoid_of(double x) { return 1 / (1 + std::exp(-x)); }

// Written out here once more, with the C++ library: the table is what is being tested.
const std::vector<UnaryCase>& unary_cases() {
  static const std::vector<UnaryCase> cases = {
      {"neg", [](const Tensor& x) { return neg(x); }, [](double x) { return -x; }, -2, 2},
      {"exp", [](const Tensor& x) { return exp(x); }, [](double x) { return std::exp(x); }, -4, 4},
      {"log", [](const Tensor& x) { return log(x); }, [](double x) { return std::log(x); }, 0.1, 5},
      {"sqrt", [](const Tensor& x) { return sqrt(x); }, [](double x) { return std::sqrt(x); }, 0.1, 5},
      {"tanh", [](const Tensor& x) { return tanh(x); }, [](double x) { return std::tanh(x); }, -3, 3},
      {"sigmoid", [](const Tensor& x) { return sigmoid(x); }, sigmoid_of, -6, 6},
      {"silu", [](const Tensor& x) { return silu(x); }, [](double x) { return x * sigmoid_of(x); }, -6, 6},
      {"softplus", [](const Tensor& x) { return softplus(x); }, [](double x) { return std::log1p(std::exp(x)); }, -6,
       6},
      {"clamp", [](const Tensor& x) { return clamp(x, -0.4, 0.7); },
       [](double x) { return std::fmin(0.7, std::fmax(-0.4, x)); }, -2, 2},
      {"x + 1.5", [](const Tensor& x) { return x + 1.5; }, [](double x) { return x + 1.5; }, -2, 2},
      {"1.5 + x", [](const Tensor& x) { return 1.5 + x; }, [](double x) { return x + 1.5; }, -2, 2},
      {"x - 1.5", [](const Tensor& x) { return x - 1.5; }, [](double x) { return x - 1.5; }, -2, 2},
      {"1.5 - x", [](const Tensor& x) { return 1.5 - x; }, [](double x) { return 1.5 - x; }, -2, 2},
      {"x * 1.5", [](const Tensor& x) { return x * 1.5; }, [](double x) { return x * 1.5; }, -2, 2},
      {"1.5 * x", [](const Tensor& x) { return 1.5 * x; }, [](double x) { return x * 1.5; }, -2, 2},
      {"x / 1.5", [](const Tensor& x) { return x / 1.5; }, [](double x) { return x / 1.5; }, -2, 2},
      {"1.5 / x", [](const Tensor& x) { return 1.5 / x; }, [](double x) { return 1.5 / x; }, 0.3, 2},
  };
  return cases;
}

Tensor defined_result(const UnaryCase& c, const Tensor& x) {
  std::vector<double> values = x.to_vector<double>();
  for (double& v : values) v = c.definition(v);
  return from_values(values, x.shape());
}

TEST(Elementwise, FunctionsOfOneTensorFollowTheirDefinition) {
  for (const UnaryCase& c : unary_cases()) {
    SCOPED_TRACE(c.name);
    for (const Shape& sizes : {Shape{}, Shape{1}, Shape{3}, Shape{17}, Shape{5, 33}, Shape{2, 64, 8}, Shape{0, 4}}) {
      const Tensor exact = random(sizes, Dtype::f64, 1, c.low, c.high);
      expect_close(c.f(exact), defined_result(c, exact), 1e-12, 1e-12);
      const Tensor x = converted(exact, Dtype::f32);
      expect_close(c.f(x), defined_result(c, x), 2e-6, 1e-6);
      const Tensor rounded = converted(exact, Dtype::bf16);
      expect_close(c.f(rounded), defined_result(c, rounded), 4e-3, 8e-3);
      EXPECT_EQ(c.f(rounded).dtype(), Dtype::bf16);
    }
  }
}

TEST(Elementwise, StridedInputsGiveTheSameBits) {
  for (const UnaryCase& c : unary_cases()) {
    SCOPED_TRACE(c.name);
    for (Dtype dtype : {Dtype::f32, Dtype::bf16, Dtype::f64}) {
      const Tensor x = random({3, 5, 19}, dtype, 2, c.low, c.high);
      for (const Tensor& strided : strided_variants(x)) expect_equal(c.f(strided), c.f(x));
    }
  }
}

TEST(Elementwise, EveryInstructionSetAgrees) {
  for (Isa isa : {Isa::portable, Isa::neon, Isa::avx2, Isa::avx512}) {
    if (!is_supported(isa)) continue;
    SCOPED_TRACE(name_of(isa));
    const IsaScope scope(isa);
    for (const UnaryCase& c : unary_cases()) {
      SCOPED_TRACE(c.name);
      const Tensor x = random({7, 33}, Dtype::f32, 3, c.low, c.high);
      expect_close(c.f(x), defined_result(c, x), 2e-6, 1e-6);
    }
    const Tensor a = random({7, 33}), b = random({33}, Dtype::f32, 1, 0.5, 2);
    expect_close(a / b, converted(a, Dtype::f64) / converted(b, Dtype::f64), 1e-6, 1e-6);
  }
}

TEST(Elementwise, GradientsOfFunctionsOfOneTensor) {
  for (const UnaryCase& c : unary_cases()) {
    SCOPED_TRACE(c.name);
    for (const Shape& sizes : {Shape{}, Shape{1}, Shape{3}, Shape{17}, Shape{4, 33}})
      expect_gradients([&c](std::span<const Tensor> in) { return c.f(in[0]); },
                       {random(sizes, Dtype::f64, 4, c.low, c.high)});
  }
}

// The f32 and bf16 gradients come from vector code, the checked f64 ones from the definition.
TEST(Elementwise, FastGradientsEqualTheDefinition) {
  for (const UnaryCase& c : unary_cases()) {
    SCOPED_TRACE(c.name);
    const auto gradient = [&c](const Tensor& x) {
      const Tensor leaf = set_requires_grad(x.without_slot());
      const Tensor y = c.f(leaf);
      const Tensor dy = converted(random(x.shape(), Dtype::f64, 5), x.dtype());
      backward(std::span(&y, 1), std::span(&dy, 1));
      return grad(leaf);
    };
    const Tensor x = random({5, 37}, Dtype::f32, 6, c.low, c.high);
    const Tensor expected = gradient(converted(x, Dtype::f64));
    expect_close(gradient(x), expected, 2e-6, 2e-6);
    expect_close(gradient(with_gaps(x)), expected, 2e-6, 2e-6);
    // bf16 results are kept rounded to 8 bits, and so are dy and dx.
    const Tensor rounded = converted(x, Dtype::bf16);
    expect_close(gradient(rounded), gradient(converted(rounded, Dtype::f64)), 2e-2, 2e-2);
  }
}

// Values from -30 to 30 beside what PyTorch computed in f64.
TEST(Elementwise, EqualsPyTorch) {
  for (const UnaryCase& c : unary_cases())
    for (const char* name : {"silu", "softplus", "sigmoid"}) {
      if (c.name != std::string(name)) continue;
      SCOPED_TRACE(name);
      expect_fixture([&](std::span<const Tensor> in) { return c.f(in[0]); }, name, {"x"}, 1e-7, 2e-6);
    }
}

TEST(Elementwise, LargeInputsUseManyThreadsAndAgree) {
  const Tensor x = random({300, 1000});
  expect_close(silu(x), silu(converted(x, Dtype::f64)), 1e-6);
  const Tensor row = random({1000}, Dtype::f32, 1);
  expect_close(x * row, converted(x, Dtype::f64) * converted(row, Dtype::f64), 1e-6);
  const Tensor column = random({300, 1}, Dtype::f32, 2);
  expect_close(x + column, converted(x, Dtype::f64) + converted(column, Dtype::f64), 1e-6);
}

TEST(Elementwise, SpecialValues) {
  const double inf = std::numeric_limits<double>::infinity();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (Dtype dtype : {Dtype::f32, Dtype::f64}) {
    const Tensor x = converted(from_values(std::vector<double>{-inf, -200, 200, inf, nan}, {5}), dtype);
    expect_values(sigmoid(x), {0, sigmoid_of(-200), 1, 1, nan}, 1e-30);
    expect_values(softplus(x), {0, std::exp(-200.0), 200, inf, nan}, 1e-30);
    expect_values(clamp(x, -1, 1), {-1, -1, 1, 1, nan});
    expect_values(sqrt(x), {nan, nan, std::sqrt(200.0), inf, nan}, 1e-6);
    expect_values(1.0 / converted(zeros({1}), dtype), {inf});
  }
}

TEST(Elementwise, ClampPassesTheGradientAtItsLimits) {
  const Tensor x = set_requires_grad(from_values(std::vector<float>{-2, -1, 0, 1, 2}, {5}));
  const Tensor y = clamp(x, -1, 1), dy = full({5}, 3);
  backward(std::span(&y, 1), std::span(&dy, 1));
  expect_values(grad(x), {0, 3, 3, 3, 0});
}

// ---- two tensors ----

struct BinaryCase {
  const char* name;
  BinaryFunction f;
  double (*definition)(double, double);
};

const std::vector<BinaryCase>& binary_cases() {
  static const std::vector<BinaryCase> cases = {
      {"add", [](const Tensor& a, const Tensor& b) { return a + b; }, [](double a, double b) { return a + b; }},
      {"sub", [](const Tensor& a, const Tensor& b) { return a - b; }, [](double a, double b) { return a - b; }},
      {"mul", [](const Tensor& a, const Tensor& b) { return a * b; }, [](double a, double b) { return a * b; }},
      {"div", [](const Tensor& a, const Tensor& b) { return a / b; }, [](double a, double b) { return a / b; }},
  };
  return cases;
}

struct Sizes {
  Shape a, b, y;
};
const std::vector<Sizes>& broadcasts() {
  static const std::vector<Sizes> sizes = {
      {{}, {}, {}},
      {{3}, {}, {3}},
      {{}, {2, 3}, {2, 3}},
      {{17}, {17}, {17}},
      {{4, 33}, {33}, {4, 33}},
      {{4, 33}, {4, 1}, {4, 33}},
      {{4, 1}, {1, 5}, {4, 5}},
      {{2, 1, 3}, {4, 1}, {2, 4, 3}},
      {{1}, {1, 1, 2}, {1, 1, 2}},
      {{0, 3}, {3}, {0, 3}},
      {{2, 3, 1, 5}, {3, 4, 1}, {2, 3, 4, 5}},
  };
  return sizes;
}

// The value of an expanded tensor at the row-major position `at` of `sizes`.
double value_at(const Tensor& x, const Shape& sizes, int64_t at) {
  const std::vector<double> values = x.to_vector<double>();
  int64_t index = 0, step = 1;
  for (int dim = sizes.rank() - 1; dim >= 0; --dim) {
    const int from = dim - (sizes.rank() - x.rank());
    if (from >= 0) {
      if (x.shape()[from] != 1) index += at % sizes[dim] * step;
      step *= x.shape()[from];
    }
    at /= sizes[dim];
  }
  return values[static_cast<size_t>(index)];
}

Tensor defined_result(const BinaryCase& c, const Tensor& a, const Tensor& b, const Shape& sizes) {
  std::vector<double> y;
  for (int64_t i = 0; i < sizes.numel(); ++i) y.push_back(c.definition(value_at(a, sizes, i), value_at(b, sizes, i)));
  return from_values(y, sizes);
}

TEST(Elementwise, TwoTensorsBroadcast) {
  for (const BinaryCase& c : binary_cases()) {
    for (const Sizes& sizes : broadcasts()) {
      SCOPED_TRACE(std::string(c.name) + " " + to_string(sizes.a) + " " + to_string(sizes.b));
      const Tensor a = random(sizes.a, Dtype::f64, 7), b = random(sizes.b, Dtype::f64, 8, 0.5, 2);
      expect_close(c.f(a, b), defined_result(c, a, b, sizes.y), 1e-15);
      for (Dtype dtype : {Dtype::f32, Dtype::bf16}) {
        const Tensor u = converted(a, dtype), v = converted(b, dtype);
        const double tolerance = dtype == Dtype::f32 ? 1e-6 : 1e-2;
        const Tensor expected = defined_result(c, u, v, sizes.y);
        expect_close(c.f(u, v), expected, tolerance, tolerance);
        expect_equal(c.f(transposed_storage(u), with_gaps(v)), c.f(u, v));
        expect_equal(c.f(row_slice(u), v), c.f(u, v));
      }
    }
  }
}

TEST(Elementwise, GradientsOfTwoTensorsAreSummedOverExpandedDimensions) {
  for (const BinaryCase& c : binary_cases()) {
    for (const Sizes& sizes : broadcasts()) {
      SCOPED_TRACE(std::string(c.name) + " " + to_string(sizes.a) + " " + to_string(sizes.b));
      expect_gradients([&c](std::span<const Tensor> in) { return c.f(in[0], in[1]); },
                       {random(sizes.a, Dtype::f64, 9), random(sizes.b, Dtype::f64, 10, 0.5, 2)});
    }
  }
}

TEST(Elementwise, FastGradientsOfTwoTensorsEqualTheDefinition) {
  for (const BinaryCase& c : binary_cases()) {
    for (const Sizes& sizes : broadcasts()) {
      SCOPED_TRACE(std::string(c.name) + " " + to_string(sizes.a) + " " + to_string(sizes.b));
      const auto gradients = [&](Dtype dtype) {
        const Tensor a = set_requires_grad(converted(random(sizes.a, Dtype::f32, 11), dtype));
        const Tensor b = set_requires_grad(converted(random(sizes.b, Dtype::f32, 12, 0.5, 2), dtype));
        const Tensor y = c.f(a, b), dy = converted(random(sizes.y, Dtype::f32, 13), dtype);
        backward(std::span(&y, 1), std::span(&dy, 1));
        return std::vector<Tensor>{grad(a), grad(b)};
      };
      const std::vector<Tensor> fast = gradients(Dtype::f32), exact = gradients(Dtype::f64);
      expect_close(fast[0], exact[0], 1e-5, 1e-5);
      expect_close(fast[1], exact[1], 1e-5, 1e-5);
    }
  }
}

TEST(Elementwise, OneTensorOnBothSides) {
  expect_gradients([](std::span<const Tensor> in) { return in[0] * in[0] + in[0] / (in[0] + 3.0); },
                   {random({4, 5}, Dtype::f64, 14)});
}

TEST(Elementwise, OnlyOneSideWantsAGradient) {
  for (const BinaryCase& c : binary_cases()) {
    SCOPED_TRACE(c.name);
    const Tensor constant = random({3, 4}, Dtype::f64, 15, 0.5, 2);
    expect_gradients([&](std::span<const Tensor> in) { return c.f(in[0], constant); }, {random({4}, Dtype::f64, 16)});
    expect_gradients([&](std::span<const Tensor> in) { return c.f(constant, in[0]); },
                     {random({4}, Dtype::f64, 17, 0.5, 2)});
  }
}

TEST(Elementwise, SavesOnlyWhatBackwardNeeds) {
  const Tensor a = set_requires_grad(random({8, 8})), b = random({8, 8}, Dtype::f32, 1);
  EXPECT_EQ(saved_bytes(a + b), 0u);
  EXPECT_EQ(saved_bytes(a * 2.0), 0u);
  EXPECT_EQ(saved_bytes(neg(a)), 0u);
  EXPECT_EQ(saved_bytes(a * b), b.storage()->nbytes());  // a is only needed for the gradient of b
  EXPECT_EQ(saved_bytes(exp(a)), 8u * 8 * 4);
  EXPECT_EQ(node_count(b + b), 0u);
}

TEST(Elementwise, ErrorsNameTheOperationAndWhatArrived) {
  expect_error([] { add(zeros({2, 3}), zeros({4})); }, {"add: ", "[2,3]", "[4]"});
  expect_error([] { mul(zeros({2}), zeros({2}, Dtype::f64)); }, {"mul: ", "[2] f32", "[2] f64"});
  expect_error([] { div(zeros({2}, Dtype::i32), zeros({2}, Dtype::i32)); }, {"div: ", "[2] i32"});
  expect_error([] { exp(zeros({2}, Dtype::u8)); }, {"exp: ", "[2] u8"});
  expect_error([] { clamp(zeros({2}), 1, -1); }, {"clamp: ", "1", "-1"});
}

}  // namespace
}  // namespace vigor
