#include "kernels/low_rank_linear/low_rank_linear.h"
#include "tests/support/cuda_testing.h"

namespace vigor {
namespace {

using namespace vigor::testing;

Tensor run(std::span<const Tensor> in) { return low_rank_linear(in[0], in[1], in[2], in[3]); }

// x, lora_a [out,r], lora_b [r,in], bias [out]
std::vector<Tensor> make_inputs(const Shape& x_shape, int64_t out, int64_t r) {
  return {random(x_shape, Dtype::f64, 1), random({out, r}, Dtype::f64, 2), random({r, x_shape.back()}, Dtype::f64, 3),
          random({out}, Dtype::f64, 4)};
}

struct Case {
  Shape x;
  int64_t out, r;
};
const std::vector<Case> kCases = {{{1}, 1, 1}, {{3, 5, 17}, 33, 7}, {{33, 3}, 17, 1}, {{2, 16, 64}, 48, 16}};

TEST(LowRankLinearCuda, AgreesWithDefinition) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(to_string(c.x));
    const std::vector<Tensor> in = make_inputs(c.x, c.out, c.r);
    expect_cuda_close_to_f64(run, in, {Dtype::f32}, 4e-5, 4e-5);
    expect_cuda_close_to_f64(run, in, {Dtype::bf16}, 0.15, 3e-2);
  }
}

TEST(LowRankLinearCuda, MixedDtypes) {
  expect_cuda_close_to_f64(run, make_inputs({5, 17}, 9, 4), {Dtype::bf16, Dtype::f32, Dtype::f32, Dtype::bf16}, 8e-2,
                           2e-2);
}

}  // namespace
}  // namespace vigor
