#include "kernels/cast/cast.h"
#include "tests/support/cuda_testing.h"
#include "tests/support/emulator_counters.h"

namespace vigor {
namespace {

using namespace vigor::testing;

TEST(CastCuda, BothDirectionsWithGradients) {
  for (const Dtype from : {Dtype::f32, Dtype::bf16}) {
    const Dtype to = from == Dtype::f32 ? Dtype::bf16 : Dtype::f32;
    for (const int64_t n : {1, 17, 64, 4101}) {
      const Tensor x = random({n}, from), dy = random({n}, to, 1);
      const Operation f = [to](std::span<const Tensor> in) { return cast(in[0], to); };
      const Outcome expected = outcome_of(f, {x}, dy), actual = outcome_of(f, {on_cuda(x)}, on_cuda(dy));
      expect_equal(on_host(actual.y), expected.y);
      expect_equal(on_host(actual.gradients[0]), expected.gradients[0]);
    }
  }
}

TEST(CastCuda, StridedInputsAndIntegers) {
  const Tensor x = random({6, 34}, Dtype::f32, 0, -100, 100);
  for (const Tensor& strided : strided_variants(x))
    for (const Dtype to : {Dtype::bf16, Dtype::f16, Dtype::i32, Dtype::i64})
      expect_equal(on_host(cast(on_cuda_strided(strided), to)), cast(x, to));
}

TEST(CastCuda, BytesMoved) {
  const Tensor x = on_cuda(random({64, 256}));
  expect_bytes_moved("copy_packs_kernel", 4 * 64 * 256, 2 * 64 * 256, [&] { cast(x, Dtype::bf16); });
}

}  // namespace
}  // namespace vigor
