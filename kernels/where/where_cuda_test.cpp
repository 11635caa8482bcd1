#include "kernels/where/where.h"
#include "tests/support/cuda_testing.h"
#include "tests/support/emulator_counters.h"

namespace vigor {
namespace {

using namespace vigor::testing;

TEST(WhereCuda, EveryDtypeBroadcastAndStrided) {
  for (const Dtype dtype : {Dtype::f32, Dtype::f64, Dtype::bf16, Dtype::f16, Dtype::i32, Dtype::i64, Dtype::u8})
    for (const int64_t columns : {3, 32}) {
      SCOPED_TRACE(std::string(name_of(dtype)) + " " + std::to_string(columns));
      const Tensor mask = random_ids({4, 1, columns}, 2, Dtype::u8);
      const Tensor a = converted(random({2, columns}, Dtype::f64, 1, 0, 100), dtype);
      const Tensor b = converted(random({4, 2, 1}, Dtype::f64, 2, 0, 100), dtype);
      const Tensor expected = where(mask, a, b);
      for_each_warp_order([&] { expect_equal(on_host(where(on_cuda(mask), on_cuda(a), on_cuda(b))), expected); });
      const auto strided = [](const Tensor& x) { return on_cuda_strided(x); };
      expect_equal(on_host(where(strided(with_gaps(mask)), strided(transposed_storage(a)), strided(with_gaps(b)))),
                   expected);
    }
}

TEST(WhereCuda, LongRowsEndInAnOddRest) {
  const Tensor mask = random_ids({4101}, 2, Dtype::u8);
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16, Dtype::u8}) {
    const Tensor a = converted(random({4101}, Dtype::f64, 1, 0, 100), dtype);
    const Tensor b = converted(random({4101}, Dtype::f64, 2, 0, 100), dtype);
    expect_equal(on_host(where(on_cuda(mask), on_cuda(a), on_cuda(b))), where(mask, a, b));
  }
}

TEST(WhereCuda, Gradients) {
  const Tensor mask = random_ids({4, 1, 8}, 2, Dtype::u8), there = on_cuda(mask);
  const auto mask_beside = [&](const Tensor& x) { return x.device().is_cpu() ? mask : there; };
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    expect_cuda_close_to_f64([&](std::span<const Tensor> in) { return where(mask_beside(in[0]), in[0], in[1]); },
                             {random({2, 8}, Dtype::f64), random({4, 2, 1}, Dtype::f64, 1)}, {dtype}, 1e-6, 8e-3);
    expect_cuda_close_to_f64([&](std::span<const Tensor> in) { return masked_fill(in[0], mask_beside(in[0]), 2); },
                             {random({4, 2, 8}, Dtype::f64)}, {dtype}, 1e-6, 8e-3);
  }
}

TEST(WhereCuda, BytesMoved) {
  const Tensor mask = on_cuda(random_ids({64, 256}, 2, Dtype::u8)), x = on_cuda(random({64, 256}));
  const double n = 64 * 256;
  expect_bytes_moved("map_kernel", n + 2 * 4 * n, 4 * n, [&] { where(mask, x, x); });
}

}  // namespace
}  // namespace vigor
