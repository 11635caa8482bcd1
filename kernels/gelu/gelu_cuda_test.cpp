#include "kernels/gelu/gelu.h"
#include "tests/support/cuda_testing.h"
#include "tests/support/emulator_counters.h"

namespace vigor {
namespace {

using namespace vigor::testing;

constexpr GeluKind kKinds[] = {GeluKind::erf, GeluKind::tanh};

Operation gelu_of(GeluKind kind) {
  return [kind](std::span<const Tensor> in) { return gelu(in[0], kind); };
}

TEST(GeluCuda, AgreesWithDefinition) {
  for (const GeluKind kind : kKinds)
    for (const int64_t n : {1, 3, 17, 64, 4099}) {
      const Tensor x = random({n}, Dtype::f64, 2, -8, 8);
      expect_cuda_close_to_f64(gelu_of(kind), {x}, {Dtype::f32}, 2e-6, 2e-6);
      expect_cuda_close_to_f64(gelu_of(kind), {x}, {Dtype::bf16}, 1e-3, 8e-3);
    }
}

TEST(GeluCuda, LargeValuesStayFinite) {
  for (const GeluKind kind : kKinds) {
    const Tensor x = on_cuda(from_values<float>({1e30f, -1e30f, 60.0f, -60.0f}, {4}));
    const Outcome result = outcome_of(gelu_of(kind), {x}, full({4}, 1.0, Dtype::f32, kCuda));
    expect_close(on_host(result.y), from_values<float>({1e30f, 0, 60, 0}, {4}), 0, 1e-6);
    expect_values(on_host(result.gradients[0]), {1, 0, 1, 0});
  }
}

TEST(GeluCuda, StridedInputs) {
  const Tensor x = random({3, 5, 17});
  for (const GeluKind kind : kKinds) {
    const Tensor expected = on_host(gelu(on_cuda(x), kind));
    for (const Tensor& strided : strided_variants(x))
      expect_equal(on_host(gelu(on_cuda_strided(strided), kind)), expected);
  }
}

TEST(GeluCuda, BytesMoved) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    const Tensor x = set_requires_grad(on_cuda(random({64, 256}, dtype))), dy = on_cuda(random({64, 256}, dtype, 1));
    const auto n = static_cast<double>(x.nbytes());
    Tensor y;
    expect_bytes_moved("map_kernel", n, n, [&] { y = gelu(x); });
    expect_bytes_moved("map_kernel", 2 * n, n, [&] { backward(std::span(&y, 1), std::span(&dy, 1)); });
  }
}

}  // namespace
}  // namespace vigor
