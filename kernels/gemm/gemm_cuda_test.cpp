// Products on the GPU against a plain triple loop in f64: every version of the ladder, every mix of dtypes, transposes,
// row strides, batches and epilogues.
#include "kernels/gemm/gemm_cuda.h"

#include <fmt/core.h>

#include "kernels/gemm/cublaslt_cuda.h"
#include "kernels/kernel_version.h"
#include "tensor/cuda_graph.h"
#include "tests/support/cuda_testing.h"
#include "tests/support/emulator_counters.h"

namespace vigor {
namespace {

using namespace vigor::testing;

constexpr Transpose kTransposes[] = {Transpose::no, Transpose::yes};
constexpr Accumulate kAccumulates[] = {Accumulate::no, Accumulate::yes};
constexpr double kMark = 777;  // in the gaps between rows, where nothing may be written

// `count` stored matrices of rows x columns with `pad` marked elements behind each row.
struct Stored {
  int64_t count, rows, columns, ld;
  Tensor values, memory;  // on the host and on the GPU: [count,rows,ld]

  Stored(int64_t n, int64_t r, int64_t c, int64_t pad, Dtype dtype, uint32_t salt)
      : count(n), rows(r), columns(c), ld(c + pad), values(full({n, r, c + pad}, kMark, dtype)) {
    copy(inside(values), random({n, r, c}, dtype, salt));
    memory = on_cuda(values);
  }
  Tensor inside(const Tensor& x) const { return x.with_view(sliced(x, 2, 0, columns, 1, "test")); }
  int64_t stride() const { return rows * ld; }
  Dtype dtype() const { return values.dtype(); }
};

struct Case {
  int64_t m, n, k;
  Transpose transpose_a = Transpose::no, transpose_b = Transpose::no;
  Accumulate accumulate = Accumulate::no;
  int64_t pad = 0, count = 1;
  bool bias = false;
};

std::string describe(const Case& c) {
  return fmt::format("m {} n {} k {} transposes {}{} accumulate {} pad {} count {} bias {}", c.m, c.n, c.k,
                     static_cast<int>(c.transpose_a), static_cast<int>(c.transpose_b), static_cast<int>(c.accumulate),
                     c.pad, c.count, c.bias);
}

void expect_right(const Case& t, Dtype a_dtype, Dtype b_dtype, Dtype c_dtype) {
  SCOPED_TRACE(describe(t) + fmt::format(" {} {} {}", name_of(a_dtype), name_of(b_dtype), name_of(c_dtype)));
  const bool ta = t.transpose_a == Transpose::yes, tb = t.transpose_b == Transpose::yes;
  const Stored a(t.count, ta ? t.k : t.m, ta ? t.m : t.k, t.pad, a_dtype, 1);
  const Stored b(t.count, tb ? t.n : t.k, tb ? t.k : t.n, t.pad, b_dtype, 2);
  const Stored c(t.count, t.m, t.n, t.pad, c_dtype, 3), bias(1, 1, t.n, 0, c_dtype, 4);
  const GemmInput in_a(a.memory.raw(), a_dtype, a.ld, t.transpose_a),
      in_b(b.memory.raw(), b_dtype, b.ld, t.transpose_b);
  const GemmOutput out(c.memory.raw(), c_dtype, c.ld, t.accumulate);
  const GemmCudaEpilogue epilogue = t.bias ? GemmCudaEpilogue::add_bias(bias.memory.raw()) : GemmCudaEpilogue();
  if (t.count == 1) gemm_cuda(t.m, t.n, t.k, in_a, in_b, out, epilogue);
  else gemm_batched_cuda(t.count, t.m, t.n, t.k, in_a, a.stride(), in_b, b.stride(), out, c.stride());

  const auto x = a.values.to_vector<double>(), y = b.values.to_vector<double>(), old = c.values.to_vector<double>();
  const auto offset = bias.values.to_vector<double>();
  std::vector<double> want = old;
  for (int64_t q = 0; q < t.count; ++q)
    for (int64_t i = 0; i < t.m; ++i)
      for (int64_t j = 0; j < t.n; ++j) {
        double sum = t.bias ? offset[static_cast<size_t>(j)] : 0;
        for (int64_t p = 0; p < t.k; ++p) {
          const int64_t at_a = q * a.stride() + (ta ? p * a.ld + i : i * a.ld + p);
          const int64_t at_b = q * b.stride() + (tb ? j * b.ld + p : p * b.ld + j);
          sum += x[static_cast<size_t>(at_a)] * y[static_cast<size_t>(at_b)];
        }
        double& out_value = want[static_cast<size_t>(q * c.stride() + i * c.ld + j)];
        out_value = sum + (t.accumulate == Accumulate::yes ? out_value : 0);
      }
  // Rounding of k additions of numbers below 1, then of the result to the type of C.
  const double sums = 2e-7 * (4.0 + static_cast<double>(t.k)), rounding = c_dtype == Dtype::bf16 ? 8e-3 : 1e-6;
  expect_close(on_host(c.memory), from_values(want, c.values.shape()), sums, rounding);
}

struct Version {
  int number;
  Dtype dtype;
};

class GemmVersion : public ::testing::TestWithParam<Version> {
 protected:
  void expect_all_right(std::initializer_list<Case> cases) {
    const KernelVersionScope version("gemm", GetParam().number);
    const Dtype in = GetParam().dtype;
    for (const Case& c : cases) {
      expect_right(c, in, in, in);
      if (in == Dtype::bf16) expect_right(c, in, in, Dtype::f32);
    }
  }
};

TEST_P(GemmVersion, OddAndRoundSizes) {
  for (Transpose ta : kTransposes)
    for (Transpose tb : kTransposes)
      for_each_warp_order([&] {
        expect_all_right({{1, 1, 1, ta, tb},
                          {3, 17, 33, ta, tb, Accumulate::yes, 1},
                          {64, 33, 17, ta, tb, Accumulate::no, 3},
                          {40, 64, 32, ta, tb, Accumulate::yes, 8}});
      });
}

// Several tiles in every direction, with packs and without.
TEST_P(GemmVersion, SeveralTiles) {
  for (Transpose ta : kTransposes)
    for (Transpose tb : kTransposes)
      expect_all_right({{136, 144, 72, ta, tb, Accumulate::yes, 0}, {131, 133, 37, ta, tb, Accumulate::no, 1}});
}

TEST_P(GemmVersion, Batches) {
  for (Transpose tb : kTransposes)
    expect_all_right(
        {{17, 24, 16, Transpose::no, tb, Accumulate::yes, 8, 3}, {5, 3, 7, Transpose::yes, tb, Accumulate::no, 1, 4}});
}

TEST_P(GemmVersion, Bias) {
  for (Accumulate accumulate : kAccumulates)
    expect_all_right({{33, 24, 16, Transpose::no, Transpose::yes, accumulate, 0, 1, true},
                      {3, 7, 5, Transpose::no, Transpose::yes, accumulate, 1, 1, true}});
}

std::vector<Version> versions() {
  std::vector<Version> all;
  for (int number = 1; number <= kGemmCudaVersions; ++number)
    for (Dtype dtype : {Dtype::f32, Dtype::bf16})
      if (!(number == 3 && dtype == Dtype::bf16) && !(number == 4 && dtype == Dtype::f32))
        all.push_back({number, dtype});
  return all;
}

INSTANTIATE_TEST_SUITE_P(Ladder, GemmVersion, ::testing::ValuesIn(versions()), [](const auto& test) {
  return fmt::format("v{}_{}", test.param.number, name_of(test.param.dtype));
});

TEST(GemmCuda, MixedDtypes) {
  for (Dtype a : {Dtype::f32, Dtype::bf16})
    for (Dtype b : {Dtype::f32, Dtype::bf16})
      for (Dtype c : {Dtype::f32, Dtype::bf16})
        expect_right({35, 34, 40, Transpose::no, Transpose::yes, Accumulate::yes, 1, 1, true}, a, b, c);
}

TEST(GemmCuda, SharedMatrixOfABatch) {
  const Tensor a = random({3, 4, 5}), b = random({5, 6}, Dtype::f32, 1), y = zeros({3, 4, 6}, Dtype::f32, kCuda);
  const Tensor a_there = on_cuda(a), b_there = on_cuda(b);
  gemm_batched_cuda(3, 4, 6, 5, {a_there.data<float>(), 5}, 20, {b_there.data<float>(), 6}, 0, {y.data<float>(), 6},
                    24);
  std::vector<float> want(72);
  gemm_batched(3, 4, 6, 5, {a.data<float>(), 5}, 20, {b.data<float>(), 6}, 0, {want.data(), 6}, 24);
  expect_close(on_host(y), from_values(want, {3, 4, 6}), 1e-6, 1e-6);
}

TEST(GemmCuda, NothingToSum) {
  for (Dtype dtype : {Dtype::f32, Dtype::bf16})
    for (Accumulate accumulate : kAccumulates) {
      expect_right({3, 5, 0, Transpose::no, Transpose::no, accumulate, 2}, dtype, dtype, dtype);
      expect_right({3, 5, 0, Transpose::no, Transpose::no, accumulate, 2, 1, true}, dtype, dtype, dtype);
    }
  gemm_cuda(0, 5, 3, {static_cast<float*>(nullptr), 3}, {static_cast<float*>(nullptr), 5},
            {static_cast<float*>(nullptr), 5});
}

// The gradients of a linear layer: dW = dy^T x together with db = the sums of dy.
TEST(GemmCuda, RowSumsBesideTheProduct) {
  for (const int version : {2, kGemmCudaVersions})
    for (const Dtype in : {Dtype::f32, Dtype::bf16})
      for (const Dtype out : {Dtype::f32, Dtype::bf16})
        for (const Dtype sums : {Dtype::f32, Dtype::bf16})
          for (const Accumulate accumulate : kAccumulates)
            for (const Shape& sizes : {Shape{16, 24, 33}, Shape{3, 5, 7}, Shape{8, 16, 0}}) {
              SCOPED_TRACE(fmt::format("version {} {} {} {} accumulate {} {}", version, name_of(in), name_of(out),
                                       name_of(sums), static_cast<int>(accumulate), to_string(sizes)));
              const KernelVersionScope scope("gemm", version);
              const int64_t m = sizes[0], n = sizes[1], k = sizes[2];
              const Tensor dy = random({k, m}, in, 1), x = random({k, n}, in, 2), db = random({m}, sums, 3);
              const Tensor dw = empty({m, n}, out, kCuda), dy_there = on_cuda(dy), x_there = on_cuda(x);
              const Tensor db_there = on_cuda(db);
              gemm_cuda(m, n, k, {dy_there.raw(), in, m, Transpose::yes}, {x_there.raw(), in, n}, {dw.raw(), out, n},
                        GemmCudaEpilogue::sum_rows_of_a({db_there.raw(), sums, m, accumulate}));
              std::vector<double> want = db.to_vector<double>(), product(static_cast<size_t>(m * n));
              const auto dys = dy.to_vector<double>(), xs = x.to_vector<double>();
              for (int64_t i = 0; i < m; ++i) {
                if (accumulate == Accumulate::no) want[static_cast<size_t>(i)] = 0;
                for (int64_t p = 0; p < k; ++p) {
                  const double up = dys[static_cast<size_t>(p * m + i)];
                  want[static_cast<size_t>(i)] += up;
                  for (int64_t j = 0; j < n; ++j)
                    product[static_cast<size_t>(i * n + j)] += up * xs[static_cast<size_t>(p * n + j)];
                }
              }
              expect_close(on_host(db_there), from_values(want, {m}), 1e-5, sums == Dtype::bf16 ? 8e-3 : 1e-6);
              expect_close(on_host(dw), from_values(product, {m, n}), 1e-5, out == Dtype::bf16 ? 8e-3 : 1e-6);
            }
}

TEST(GemmCuda, ColumnSum) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16})
    for (const Dtype out_dtype : {Dtype::f32, Dtype::bf16})
      for (const int64_t m : {0, 1, 3, 200, 700})
        for (const int64_t n : {1, 17, 64, 136, 300}) {
          SCOPED_TRACE(fmt::format("{} {} m {} n {}", name_of(dtype), name_of(out_dtype), m, n));
          const int64_t pad = n % 8;
          const Stored x(1, m, n, pad, dtype, 1), sums(1, 1, n, 0, out_dtype, 2);
          const Accumulate accumulate = (m + n) % 2 == 0 ? Accumulate::yes : Accumulate::no;
          column_sum_cuda(m, n, {x.memory.raw(), dtype, x.ld}, {sums.memory.raw(), out_dtype, n, accumulate});
          const auto values = x.values.to_vector<double>();
          std::vector<double> want = sums.values.to_vector<double>();
          for (int64_t j = 0; j < n; ++j) {
            if (accumulate == Accumulate::no) want[static_cast<size_t>(j)] = 0;
            for (int64_t i = 0; i < m; ++i) want[static_cast<size_t>(j)] += values[static_cast<size_t>(i * x.ld + j)];
          }
          expect_close(on_host(sums.memory), from_values(want, {1, 1, n}), 2e-5,
                       out_dtype == Dtype::bf16 ? 8e-3 : 1e-6);
        }
}

// A bias that is not at a multiple of 16 bytes.
TEST(GemmCuda, BiasInTheMiddleOfARow) {
  const Tensor x = random({4, 8}), w = random({8, 8}, Dtype::f32, 1), row = random({9}, Dtype::f32, 2);
  const Tensor x_there = on_cuda(x), w_there = on_cuda(w), row_there = on_cuda(row);
  const Tensor y = empty({4, 8}, Dtype::f32, kCuda), want = empty({4, 8});
  gemm_cuda(4, 8, 8, {x_there.data<float>(), 8}, {w_there.data<float>(), 8, Transpose::yes}, {y.data<float>(), 8},
            GemmCudaEpilogue::add_bias(row_there.data<float>() + 1));
  gemm(4, 8, 8, {x.data<float>(), 8}, {w.data<float>(), 8, Transpose::yes}, {want.data<float>(), 8},
       GemmEpilogue::bias(row.data<float>() + 1));
  expect_close(on_host(y), want, 1e-6, 1e-6);
}

// Products with bias and row sums must not have fallen back to our own kernels unnoticed.
TEST(GemmCuda, TheLibraryTakesTheProductsOfLinearLayers) {
  const Tensor x = zeros({32, 32}, Dtype::f32, kCuda), w = zeros({32, 32}, Dtype::f32, kCuda);
  const Tensor y = zeros({32, 32}, Dtype::f32, kCuda), vector = zeros({32}, Dtype::f32, kCuda);
  for (const auto& [in, out] :
       {std::pair(Dtype::f32, Dtype::f32), {Dtype::bf16, Dtype::bf16}, {Dtype::bf16, Dtype::f32}})
    for (const LtEpilogue epilogue : {LtEpilogue::none, LtEpilogue::bias, LtEpilogue::row_sums}) {
      if (epilogue == LtEpilogue::row_sums && in != out) continue;  // not promised by its documentation
      SCOPED_TRACE(fmt::format("{} to {}, epilogue {}", name_of(in), name_of(out), static_cast<int>(epilogue)));
      LtProblem p{};
      p.count = 1;
      p.m = p.n = p.k = p.lda = p.ldb = p.ldc = 32;
      p.in = in;
      p.out = out;
      p.transpose_a = epilogue == LtEpilogue::row_sums ? Transpose::yes : Transpose::no;
      p.transpose_b = epilogue == LtEpilogue::row_sums ? Transpose::no : Transpose::yes;
      p.epilogue = epilogue;
      p.alignment_a = p.alignment_b = p.alignment_c = 16;
      EXPECT_TRUE(cublaslt_gemm(p, {x.raw(), w.raw(), y.raw(), vector.raw()}, true));
    }
}

// Recorded once, replayed with other numbers in the same places.
TEST(GemmCuda, CanBeRecorded) {
  const Tensor dy = empty({24, 16}, Dtype::f32, kCuda), x = empty({24, 8}, Dtype::f32, kCuda);
  const Tensor dw = zeros({16, 8}, Dtype::f32, kCuda), db = zeros({16}, Dtype::f32, kCuda);
  for (const int version : {3, kGemmCudaVersions}) {
    const KernelVersionScope scope("gemm", version);
    const auto products = [&] {
      gemm_cuda(16, 8, 24, {dy.data<float>(), 16, Transpose::yes}, {x.data<float>(), 8}, {dw.data<float>(), 8},
                GemmCudaEpilogue::sum_rows_of_a({db.data<float>(), 16}));
      column_sum_cuda(24, 16, {dy.data<float>(), 16}, {db.data<float>(), 16, Accumulate::yes});
    };
    fill(dy, 0);
    fill(x, 0);
    products();  // what is made on first use
    CudaGraph graph;
    graph.capture(products);
    for (const uint32_t salt : {1u, 2u}) {
      const Tensor up = random({24, 16}, Dtype::f32, salt), in = random({24, 8}, Dtype::f32, salt + 2);
      copy(dy, on_cuda(up));
      copy(x, on_cuda(in));
      graph.replay();
      const Tensor want = empty({16, 8}), sums = empty({16});
      gemm(16, 8, 24, {up.data<float>(), 16, Transpose::yes}, {in.data<float>(), 8}, {want.data<float>(), 8});
      column_sum(24, 16, {up.data<float>(), 16}, {sums.data<float>(), 16});
      for (int64_t i = 0; i < 16; ++i) sums.data<float>()[i] *= 2;
      expect_close(on_host(dw), want, 1e-5, 1e-5);
      expect_close(on_host(db), sums, 1e-5, 1e-5);
    }
  }
}

// The table of gemm_own_cuda.h: bytes from memory for one multiply-add, on top of C written once.
TEST(GemmCuda, BytesOfTheLadder) {
  constexpr int64_t m = 128, n = 256, k = 64;
  const auto expect_bytes = [](int version, Dtype dtype, double bytes_per_multiply_add) {
    const KernelVersionScope scope("gemm", version);
    const Tensor a = on_cuda(random({m, k}, dtype)), b = on_cuda(random({n, k}, dtype, 1));
    const Tensor c = empty({m, n}, Dtype::f32, kCuda);
    expect_bytes_moved(fmt::format("gemm_v{}", version).c_str(), bytes_per_multiply_add * m * n * k, 4.0 * m * n, [&] {
      gemm_cuda(m, n, k, {a.raw(), dtype, k}, {b.raw(), dtype, k, Transpose::yes}, {c.data<float>(), n});
    });
  };
  expect_bytes(2, Dtype::f32, 0.25);
  expect_bytes(3, Dtype::f32, 0.0625);
  expect_bytes(4, Dtype::bf16, 0.03125);
}

// The tiles are laid out so that a warp never waits for a bank of shared memory.
TEST(GemmCuda, NoBankConflicts) {
  for (Transpose ta : kTransposes)
    for (Transpose tb : kTransposes)
      for (const int version : {2, 3, 4}) {
        SCOPED_TRACE(fmt::format("version {} transposes {}{}", version, static_cast<int>(ta), static_cast<int>(tb)));
        const KernelVersionScope scope("gemm", version);
        const Dtype dtype = version == 3 ? Dtype::f32 : Dtype::bf16;
        const Tensor a = zeros({128, 128}, dtype, kCuda), c = empty({128, 128}, dtype, kCuda);
        const auto counters = count_kernels(fmt::format("gemm_v{}", version).c_str(), [&] {
          gemm_cuda(128, 128, 128, {a.raw(), dtype, 128, ta}, {a.raw(), dtype, 128, tb}, {c.raw(), dtype, 128});
        });
        EXPECT_EQ(counters.value_or(KernelCounters{}).bank_conflicts, 0u);
      }
}

TEST(GemmCuda, BytesOfColumnSum) {
  constexpr int64_t m = 512, n = 256, parts = m / 64;
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    const Tensor x = on_cuda(random({m, n}, dtype)), sums = empty({n}, Dtype::f32, kCuda);
    const auto run = [&] { column_sum_cuda(m, n, {x.raw(), dtype, n}, {sums.data<float>(), n}); };
    expect_bytes_moved("column_sum_kernel", static_cast<double>(x.nbytes()), 4.0 * parts * n, run);
    expect_bytes_moved("add_parts_kernel", 4.0 * parts * n, 4.0 * n, run);
  }
}

// TF32 may round the factors, and nothing else may change.
TEST(GemmCuda, Tf32OnlyInsideItsScope) {
  const Tensor a = on_cuda(full({16, 16}, 1.0 + 0x1p-20)), b = on_cuda(full({16, 16}, 1.0));
  const Tensor y = empty({16, 16}, Dtype::f32, kCuda);
  const auto product = [&] {
    gemm_cuda(16, 16, 16, {a.data<float>(), 16}, {b.data<float>(), 16}, {y.data<float>(), 16});
    return on_host(y);
  };
  const Tensor exact = full({16, 16}, 16.0 * (1.0 + 0x1p-20));
  expect_equal(product(), exact);
  {
    const CudaTf32Scope scope;
    expect_close(product(), exact, 0, 1e-3);
  }
  expect_equal(product(), exact);
}

TEST(GemmCuda, Errors) {
  const Tensor x = on_cuda(random({2, 2}, Dtype::f64)), y = on_cuda(random({2, 2}));
  expect_error(
      [&] {
        gemm_cuda(2, 2, 2, {x.data<double>(), 2}, {x.data<double>(), 2}, {x.data<double>(), 2});
      },
      {"gemm: on CUDA", "f32 or bf16", "f64"});
  expect_error(
      [&] {
        column_sum_cuda(2, 2, {x.data<double>(), 2}, {y.data<float>(), 2});
      },
      {"column_sum: on CUDA", "f64"});
  const KernelVersionScope scope("gemm", kGemmCudaVersions + 1);
  expect_error(
      [&] {
        gemm_cuda(2, 2, 2, {y.data<float>(), 2}, {y.data<float>(), 2}, {y.data<float>(), 2});
      },
      {"gemm: kernel versions are 1 to 5", "6"});
}

}  // namespace
}  // namespace vigor
