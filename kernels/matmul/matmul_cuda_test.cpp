#include "kernels/matmul/matmul.h"
#include "tests/support/cuda_testing.h"

namespace vigor {
namespace {

using namespace vigor::testing;

Tensor run(std::span<const Tensor> in) { return matmul(in[0], in[1]); }

struct Case {
  Shape a, b;
};

TEST(MatmulCuda, AgreesWithDefinition) {
  const std::vector<Case> cases = {
      {{1, 1}, {1, 1}},          {{17, 33}, {33, 3}},    {{1, 33}, {33, 1}},
      {{64, 32}, {32, 40}},      {{2, 3, 4}, {2, 4, 5}}, {{2, 16, 8}, {8, 24}},  // one b for the whole batch
      {{3, 4}, {2, 4, 5}},        // one a: its gradient is summed over the batch
      {{2, 1, 3, 4}, {5, 4, 2}},  // both expanded
      {{0, 3, 4}, {4, 5}},       {{2, 3, 0}, {0, 5}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(to_string(c.a) + " " + to_string(c.b));
    const std::vector<Tensor> in = {random(c.a), random(c.b, Dtype::f32, 1)};
    expect_cuda_close_to_f64(run, in, {Dtype::f32}, 1e-5, 1e-5);
    expect_cuda_close_to_f64(run, in, {Dtype::bf16}, 4e-2, 2e-2);
  }
}

TEST(MatmulCuda, StridedInputs) {
  const Tensor a = random({2, 5, 8}), b = random({2, 8, 3}, Dtype::f32, 1);
  for (const Tensor& u : strided_variants(a))
    for (const Tensor& v : strided_variants(b)) expect_cuda_close_to_f64(run, {u, v}, {Dtype::f32}, 1e-5, 1e-5);
}

TEST(MatmulCuda, Errors) {
  const Tensor x = on_cuda(random({2, 2}, Dtype::f64));
  expect_error([&] { matmul(x, x); }, {"gemm: on CUDA", "f64"});
  expect_error([&] { matmul(on_cuda(random({2, 2})), random({2, 2})); }, {"matmul: both inputs must be on one device"});
}

}  // namespace
}  // namespace vigor
