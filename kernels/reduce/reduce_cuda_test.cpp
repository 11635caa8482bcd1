#include "kernels/reduce/reduce.h"
#include "tests/support/cuda_testing.h"
#include "tests/support/emulator_counters.h"

namespace vigor {
namespace {

using namespace vigor::testing;

enum class Kind { sum, mean, max };

Operation reduction(Kind kind, std::vector<int> dims, bool keepdim = false) {
  return [=](std::span<const Tensor> in) {
    if (kind == Kind::sum) return sum(in[0], dims, keepdim);
    if (kind == Kind::mean) return mean(in[0], dims, keepdim);
    return max(in[0], dims, keepdim);
  };
}

struct Case {
  Shape sizes;
  std::vector<int> dims;
};

std::vector<Case> cases() {
  return {{{1}, {0}},
          {{17}, {0}},
          {{64}, {0}},
          {{3, 33}, {1}},           // a warp for a row
          {{5, 64}, {1}},           // in packs
          {{3, 520}, {1}},          // a block for a row
          {{300, 3}, {0}},          // columns, fewer than a pack
          {{70, 40}, {0}},          // columns in packs
          {{9, 300}, {0}},          // several tiles of columns
          {{2, 9, 24}, {1}},        // tiles of several rows of results
          {{4, 6, 16}, {0, 2}},     // both kinds of dimensions
          {{4, 3, 2, 16}, {0, 2}},  // columns over two loops
          {{3, 4, 5}, {}},          // nothing to reduce
          {{2, 3, 4, 5}, {1, 3}}};
}

TEST(ReduceCuda, AgreesWithDefinition) {
  for (const Kind kind : {Kind::sum, Kind::mean, Kind::max})
    for (const Case& c : cases()) {
      SCOPED_TRACE(to_string(c.sizes) + " kind " + std::to_string(static_cast<int>(kind)));
      const Tensor x = random(c.sizes, Dtype::f64);
      expect_cuda_close_to_f64(reduction(kind, c.dims), {x}, {Dtype::f32}, 1e-6, 2e-6);
    }
}

TEST(ReduceCuda, AgreesWithDefinitionInBf16) {
  for (const Kind kind : {Kind::sum, Kind::max})
    for (const Case& c : cases()) {
      SCOPED_TRACE(to_string(c.sizes) + " kind " + std::to_string(static_cast<int>(kind)));
      expect_cuda_close_to_f64(reduction(kind, c.dims, true), {random(c.sizes, Dtype::f64)}, {Dtype::bf16}, 1e-5, 8e-3);
    }
}

TEST(ReduceCuda, FewResultsAreComputedInParts) {
  for (const Case& c : {Case{{9001}, {0}}, Case{{2, 8200}, {1}}, Case{{8200, 8}, {0}}, Case{{8200, 3}, {0}}})
    for (const Kind kind : {Kind::sum, Kind::max}) {
      SCOPED_TRACE(to_string(c.sizes));
      const Tensor x = random(c.sizes), y = on_host(reduction(kind, c.dims)(std::vector{on_cuda(x)}));
      expect_close(y, reduction(kind, c.dims)(std::vector{converted(x, Dtype::f64)}), 1e-5, 1e-6);
      expect_equal(on_host(reduction(kind, c.dims)(std::vector{on_cuda(x)})), y);  // always the same
    }
}

TEST(ReduceCuda, StridedInputs) {
  for (const std::vector<int>& dims : {std::vector<int>{0}, {1}, {2}, {0, 2}, {0, 1, 2}})
    for (const Tensor& strided : strided_variants(random({3, 5, 32})))
      for (const Kind kind : {Kind::sum, Kind::max})
        expect_close(on_host(reduction(kind, dims)(std::vector{on_cuda_strided(strided)})),
                     reduction(kind, dims)(std::vector{converted(strided, Dtype::f64)}), 2e-6, 1e-6);
}

TEST(ReduceCuda, MaximumSendsItsGradientToTheFirstOfEquals) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    const Tensor x = converted(from_values<float>({1, 3, 3, 2, 2, 1}, {2, 3}), dtype);
    for (const Tensor& variant : {x, with_gaps(x), transposed_storage(x)}) {
      const Tensor dy = converted(from_values<float>({5, 7}, {2}), dtype);
      const Outcome result = outcome_of(reduction(Kind::max, {1}), {on_cuda_strided(variant)}, on_cuda(dy));
      expect_values(on_host(result.gradients[0]), {0, 5, 0, 7, 0, 0});
    }
    const Outcome all = outcome_of(reduction(Kind::max, {0, 1}), {on_cuda(x)}, full({}, 1.0, dtype, kCuda));
    expect_values(on_host(all.gradients[0]), {0, 1, 0, 0, 0, 0});
  }
}

TEST(ReduceCuda, NotANumberReachesTheMaximum) {
  for (const int64_t n : {1, 40, 700}) {
    const Tensor x = full({n, 1}, 1);
    x.data<float>()[n / 2] = NAN;
    for (const Shape& sizes : {Shape{n, 1}, Shape{1, n}}) {
      const Tensor row = x.with_view({x.raw(), sizes, contiguous_strides(sizes), Dtype::f32, kCpu});
      const Outcome result = outcome_of(reduction(Kind::max, {0, 1}), {on_cuda(row)}, full({}, 1.0, Dtype::f32, kCuda));
      EXPECT_TRUE(std::isnan(on_host(result.y).item<float>()));
      EXPECT_EQ(on_host(result.gradients[0]).to_vector<float>()[static_cast<size_t>(n / 2)], 1.0f);
    }
  }
}

TEST(ReduceCuda, NoElements) {
  expect_values(on_host(sum(zeros({0, 3}, Dtype::f32, kCuda), {0})), {0, 0, 0});
  EXPECT_EQ(max(zeros({0, 3}, Dtype::f32, kCuda), {1}).shape(), Shape{0});
  EXPECT_TRUE(std::isnan(on_host(mean(zeros({0}, Dtype::bf16, kCuda))).item<float>()));
}

// x is read once; the results are few beside it.
TEST(ReduceCuda, BytesMoved) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    const Tensor x = on_cuda(random({64, 512}, dtype));
    const auto n = static_cast<double>(x.nbytes()), element = static_cast<double>(size_of(dtype));
    expect_bytes_moved("reduce_rows_kernel", n, 64 * element, [&] { sum(x, {1}); });
    expect_bytes_moved("reduce_columns_kernel", n, 512 * element, [&] { sum(x, {0}); });
  }
}

}  // namespace
}  // namespace vigor
