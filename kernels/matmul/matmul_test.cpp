#include "kernels/matmul/matmul.h"

#include "autograd/engine.h"
#include "autograd/graph.h"
#include "tests/support/testing.h"

namespace vigor {
namespace {

using namespace vigor::testing;

struct Case {
  Shape a, b, y;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {{1, 1}, {1, 1}, {1, 1}},
      {{3, 4}, {4, 5}, {3, 5}},
      {{17, 33}, {33, 3}, {17, 3}},
      {{1, 33}, {33, 1}, {1, 1}},
      {{33, 1}, {1, 17}, {33, 17}},
      {{2, 3, 4}, {2, 4, 5}, {2, 3, 5}},
      {{2, 3, 4}, {4, 5}, {2, 3, 5}},  // one b for the whole batch
      {{6, 1, 4}, {4, 5}, {6, 1, 5}},
      {{3, 4}, {2, 4, 5}, {2, 3, 5}},           // one a
      {{2, 1, 3, 4}, {5, 4, 2}, {2, 5, 3, 2}},  // both expanded
      {{1, 3, 4}, {5, 4, 2}, {5, 3, 2}},
      {{4, 3, 4}, {1, 4, 2}, {4, 3, 2}},
      {{2, 2, 3, 4}, {4, 5}, {2, 2, 3, 5}},
      {{0, 3, 4}, {4, 5}, {0, 3, 5}},
      {{3, 0}, {0, 5}, {3, 5}},
      {{2, 3, 0}, {0, 5}, {2, 3, 5}},
      {{3, 4}, {4, 0}, {3, 0}},
  };
  return all;
}

// y[.., m, n] = sum over k of a[.., m, k] b[.., k, n], in f64.
Tensor definition(const Tensor& a, const Tensor& b, const Shape& sizes) {
  Shape a_sizes = sizes, b_sizes = sizes;
  const int last = sizes.rank() - 1;
  a_sizes[last] = b_sizes[last - 1] = a.size(-1);
  const Tensor u = a.with_view(expanded(a, a_sizes, "test")), v = b.with_view(expanded(b, b_sizes, "test"));
  const std::vector<double> x = u.to_vector<double>(), w = v.to_vector<double>();
  const int64_t m = sizes[last - 1], n = sizes[last], k = a.size(-1);
  std::vector<double> y(static_cast<size_t>(sizes.numel()));
  for (int64_t i = 0; i < sizes.numel(); ++i) {
    const int64_t batch = i / (m * n), row = i / n % m, column = i % n;
    for (int64_t j = 0; j < k; ++j)
      y[static_cast<size_t>(i)] +=
          x[static_cast<size_t>((batch * m + row) * k + j)] * w[static_cast<size_t>((batch * k + j) * n + column)];
  }
  return from_values(y, sizes);
}

TEST(Matmul, HandWorked) {
  const Tensor a = from_values(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3});
  const Tensor b = from_values(std::vector<float>{1, 0, 0, 1, 2, -1}, {3, 2});
  expect_values(matmul(a, b), {7, -1, 16, -1});
}

TEST(Matmul, EqualsTheDefinition) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(to_string(c.a) + " " + to_string(c.b));
    const Tensor a = random(c.a, Dtype::f64), b = random(c.b, Dtype::f64, 1);
    const Tensor expected = definition(a, b, c.y);
    expect_close(matmul(a, b), expected, 1e-13);
    expect_close(matmul(converted(a, Dtype::f32), converted(b, Dtype::f32)), expected, 1e-5);
    const Tensor u = converted(a, Dtype::bf16), v = converted(b, Dtype::bf16);
    expect_close(matmul(u, v), definition(u, v, c.y), 1e-5, 8e-3);
  }
}

TEST(Matmul, StridedInputs) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(to_string(c.a) + " " + to_string(c.b));
    const Tensor a = random(c.a), b = random(c.b, Dtype::f32, 1);
    const Tensor expected = matmul(a, b);
    for (const Tensor& u : strided_variants(a))
      for (const Tensor& v : strided_variants(b)) expect_close(matmul(u, v), expected, 1e-5, 1e-6);
  }
}

TEST(Matmul, MatricesWithTransposedRowsAreNotCopied) {
  const Tensor a = random({4, 6, 5}), b = random({4, 6, 3}, Dtype::f32, 1);
  const Tensor a_transposed = a.with_view(permuted(a, std::vector<int>{0, 2, 1}, "test"));  // [4,5,6]
  matmul(a_transposed, b);                                                                  // grows the packing buffers
  AllocatorStats before = allocator_of(kCpu).stats();
  allocator_of(kCpu).reset_peak();
  const Tensor y = matmul(a_transposed, b);
  const size_t more = allocator_of(kCpu).stats().peak_bytes - before.current_bytes;
  EXPECT_LE(more, 2 * y.nbytes());
  expect_close(y, definition(a_transposed, b, {4, 5, 3}), 1e-5);
}

TEST(Matmul, Gradients) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(to_string(c.a) + " " + to_string(c.b));
    expect_gradients([](std::span<const Tensor> in) { return matmul(in[0], in[1]); },
                     {random(c.a, Dtype::f64), random(c.b, Dtype::f64, 1)});
  }
}

TEST(Matmul, FastGradientsEqualTheDefinition) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(to_string(c.a) + " " + to_string(c.b));
    const auto gradients = [&](Dtype dtype) {
      const Tensor a = set_requires_grad(converted(random(c.a), dtype));
      const Tensor b = set_requires_grad(converted(random(c.b, Dtype::f32, 1), dtype));
      const Tensor y = matmul(a, b), dy = converted(random(c.y, Dtype::f32, 2), dtype);
      backward(std::span(&y, 1), std::span(&dy, 1));
      return std::vector<Tensor>{grad(a), grad(b)};
    };
    const std::vector<Tensor> fast = gradients(Dtype::f32), exact = gradients(Dtype::f64);
    expect_close(fast[0], exact[0], 1e-5, 1e-6);
    expect_close(fast[1], exact[1], 1e-5, 1e-6);
  }
}

TEST(Matmul, GradientsAddUpInALeafBuffer) {
  const Tensor x = random({2, 3, 4}, Dtype::f64), dy = random({2, 3, 5}, Dtype::f64, 2);
  const Tensor w = set_requires_grad(random({4, 5}, Dtype::f64, 1));
  set_grad_buffer(w, full({4, 5}, 99, Dtype::f64));  // old numbers: the first backward overwrites them
  const auto step = [&] {
    const Tensor y = matmul(x, w);
    backward(std::span(&y, 1), std::span(&dy, 1));
  };
  step();
  const Tensor once = clone(grad(w));
  step();
  std::vector<double> twice = once.to_vector<double>();
  for (double& v : twice) v *= 2;
  expect_values(grad(w), twice, 1e-12);
}

TEST(Matmul, SavesOnlyWhatBackwardNeeds) {
  const Tensor a = set_requires_grad(random({4, 8})), b = random({8, 2}, Dtype::f32, 1);
  EXPECT_EQ(saved_bytes(matmul(a, b)), b.storage()->nbytes());
}

TEST(Matmul, ErrorsNameTheOperationAndWhatArrived) {
  expect_error([] { matmul(zeros({2, 3}), zeros({4, 5})); }, {"matmul: ", "[2,3]", "[4,5]"});
  expect_error([] { matmul(zeros({3}), zeros({3, 5})); }, {"matmul: ", "[3]"});
  expect_error([] { matmul(zeros({2, 2, 3}), zeros({3, 3, 5})); }, {"matmul: ", "[2,1,1]", "[3,1,1]"});
  expect_error([] { matmul(zeros({2, 3}), zeros({3, 5}, Dtype::bf16)); }, {"matmul: ", "f32", "bf16"});
}

}  // namespace
}  // namespace vigor
