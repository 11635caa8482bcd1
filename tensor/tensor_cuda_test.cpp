// Tensors in device memory: primitives against the CPU, transfers, and the allocator on cudaMalloc.
#include "tensor/primitives.h"
#include "tests/support/testing.h"

namespace vigor {
namespace {

using namespace vigor::testing;

constexpr Dtype kDtypes[] = {Dtype::f32, Dtype::f64, Dtype::bf16, Dtype::f16, Dtype::i32, Dtype::i64, Dtype::u8};

Tensor on_cuda(const Tensor& x) { return to_device(x, kCuda); }
Tensor on_host(const Tensor& x) { return to_device(x, kCpu); }

TEST(TensorCuda, RoundTripOfEveryDtype) {
  for (const Dtype dtype : kDtypes) {
    const Tensor x = converted(random({3, 17}, Dtype::f64, 1, 0, 100), dtype);
    const Tensor there = on_cuda(x);
    EXPECT_EQ(there.device(), kCuda);
    expect_equal(on_host(there), x);
  }
}

TEST(TensorCuda, FillsAndStridedCopiesWithConversion) {
  for (const Dtype to : kDtypes)
    for (const Dtype from : kDtypes) {
      SCOPED_TRACE(std::string(name_of(from)) + " to " + name_of(to));
      const Tensor x = converted(random({5, 12}, Dtype::f64, 2, 0, 100), from);
      const Tensor expected = converted(x, to);
      const Tensor y = full({5, 12}, 7, to, kCuda);
      expect_equal(on_host(y), full({5, 12}, 7, to));
      copy(y, on_cuda(x));
      expect_equal(on_host(y), expected);
      const int dims[] = {1, 0};
      const Tensor transposed = empty({12, 5}, to, kCuda);
      copy(permuted(transposed, dims, "test"), on_cuda(x));
      expect_equal(on_host(transposed.with_view(permuted(transposed, dims, "test"))), expected);
    }
}

TEST(TensorCuda, LargeContiguousConversionEndsInAnOddRest) {
  const Tensor x = random({4099}, Dtype::f32, 3);
  const Tensor y = empty({4099}, Dtype::bf16, kCuda);
  copy(y, on_cuda(x));
  expect_equal(on_host(y), converted(x, Dtype::bf16));
}

TEST(TensorCuda, CopiesBetweenDevicesKeepStridesAndConvert) {
  for (const Tensor& x : strided_variants(random({6, 10}, Dtype::f32, 4))) {
    const Tensor y = full({6, 20}, -1, Dtype::bf16, kCuda);
    copy(sliced(y, 1, 0, 20, 2, "test"), x);
    expect_equal(on_host(y.with_view(sliced(y, 1, 0, 20, 2, "test"))), converted(x, Dtype::bf16));
    expect_equal(on_host(y.with_view(sliced(y, 1, 1, 20, 2, "test"))), full({6, 10}, -1, Dtype::bf16));
  }
}

TEST(TensorCuda, AccumulateAddsPacksAndStrides) {
  for (const Dtype dtype : {Dtype::f32, Dtype::f64, Dtype::bf16}) {
    const Tensor x = random({7, 9}, dtype, 5), start = random({7, 9}, dtype, 6);
    const Tensor expected = clone(start), y = on_cuda(start), z = on_cuda(start);
    accumulate(expected, x);
    accumulate(y, on_cuda(x));
    expect_equal(on_host(y), expected);
    const int dims[] = {1, 0};
    const Tensor turned = clone(x.with_view(permuted(x, dims, "test")));
    accumulate(z, permuted(on_cuda(turned), dims, "test"));
    expect_equal(on_host(z), expected);
  }
}

TEST(TensorCuda, RandomNumbersAreTheCpus) {
  const RandomKey key{42, RandomStream::init, 3, 1};
  expect_equal(on_host(uniform({1001}, -1, 1, key, Dtype::f32, kCuda)), uniform({1001}, -1, 1, key));
  expect_close(on_host(normal({1001}, 0, 1, key, Dtype::f32, kCuda)), normal({1001}, 0, 1, key), 1e-6, 1e-6);
}

TEST(TensorCuda, MemoryIsReusedAndCounted) {
  Allocator& allocator = allocator_of(kCuda);
  const Shape large{9 << 20};  // 36 MB: a segment of its own, whatever other tests left in theirs
  { const Tensor warm = empty(large, Dtype::f32, kCuda); }
  const AllocatorStats before = allocator.stats();
  for (int i = 0; i < 10; ++i) const Tensor again = empty(large, Dtype::f32, kCuda);
  EXPECT_EQ(allocator.stats().system_requests, before.system_requests);
  EXPECT_EQ(allocator.stats().current_bytes, before.current_bytes);
  allocator.release_unused();
  EXPECT_LT(allocator.stats().reserved_bytes, before.reserved_bytes);
}

TEST(TensorCuda, AccumulateAcrossDevicesIsRefused) {
  expect_error([] { accumulate(zeros({2}), zeros({2}, Dtype::f32, kCuda)); }, {"accumulate", "devices must agree"});
}

}  // namespace
}  // namespace vigor
