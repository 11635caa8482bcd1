// Tensor-core instructions against products in f64. The values are small integers and halves, so that every sum is
// exact and a wrong lane table cannot hide in a tolerance.
#include <bit>
#include <cmath>
#include <cstdint>

#include "test_device.h"

namespace vigor::emulator {
namespace {

using Matrix = std::vector<double>;

Matrix made(size_t count, int seed) {
  Matrix m;
  for (size_t i = 0; i < count; ++i) {
    m.push_back(static_cast<double>((static_cast<int>(i) * 37 + seed * 11 + static_cast<int>(i * i) % 13) % 17 - 8) /
                2);
  }
  return m;
}

// a [m, k], b [k, n], c [m, n].
Matrix product(const Matrix& a, const Matrix& b, Matrix c, size_t m, size_t n, size_t k) {
  for (size_t i = 0; i < m; ++i) {
    for (size_t j = 0; j < n; ++j) {
      for (size_t l = 0; l < k; ++l) c[i * n + j] += a[i * k + l] * b[l * n + j];
    }
  }
  return c;
}

Matrix transposed(const Matrix& a, size_t rows, size_t columns) {
  Matrix t(a.size());
  for (size_t i = 0; i < rows; ++i) {
    for (size_t j = 0; j < columns; ++j) t[j * rows + i] = a[i * columns + j];
  }
  return t;
}

std::vector<uint16_t> bf16(const Matrix& a) {
  std::vector<uint16_t> bits;
  for (const double x : a) bits.push_back(static_cast<uint16_t>(std::bit_cast<uint32_t>(static_cast<float>(x)) >> 16));
  return bits;
}

// Small multiples of 1/2 as f16 bits.
std::vector<uint16_t> f16(const Matrix& a) {
  std::vector<uint16_t> bits;
  for (const double x : a) {
    const uint32_t word = std::bit_cast<uint32_t>(static_cast<float>(x));
    bits.push_back(
        x == 0 ? 0 : static_cast<uint16_t>((word >> 16 & 0x8000) | ((word >> 13 & 0x3ffff) - (112 << 10)) % 0x8000));
  }
  return bits;
}

std::vector<float> f32(const Matrix& a) { return {a.begin(), a.end()}; }

class TensorCores : public testing::Test {
 protected:
  void expect_equal(const Matrix& want, const std::vector<float>& got) {
    ASSERT_EQ(want.size(), got.size());
    for (size_t i = 0; i < want.size(); ++i) ASSERT_EQ(want[i], static_cast<double>(got[i])) << "element " << i;
  }
  TestDevice device_{"matrix"};
};

TEST_F(TensorCores, Bfloat16WithLdmatrix) {
  const Matrix a = made(256, 1), b = made(128, 2), c = made(128, 3);
  const uint64_t d = device_.zeros<float>(128), x = device_.upload(bf16(a)), y = device_.upload(bf16(b)),
                 z = device_.upload(f32(c));
  device_.launch("mma_k16_bf16", {{1}, {32}}, d, x, y, z);
  expect_equal(product(a, b, c, 16, 8, 16), device_.download<float>(d, 128));
}

TEST_F(TensorCores, HalfSums) {
  const Matrix a = made(256, 4), b = made(128, 5), c = made(128, 6);
  const uint64_t d = device_.zeros<uint16_t>(128), x = device_.upload(f16(a)), y = device_.upload(f16(b)),
                 z = device_.upload(f16(c));
  device_.launch("mma_k16_f16", {{1}, {32}}, d, x, y, z);
  const Matrix want = product(a, b, c, 16, 8, 16);
  EXPECT_EQ(f16(want), device_.download<uint16_t>(d, 128));
}

TEST_F(TensorCores, ShortProducts) {
  const Matrix a = made(128, 7), b = made(64, 8);
  const uint64_t d = device_.zeros<float>(128), x = device_.upload(f16(a)),
                 y = device_.upload(f16(transposed(b, 8, 8)));
  device_.launch("mma_k8_f16", {{1}, {32}}, d, x, y);
  expect_equal(product(a, b, Matrix(128), 16, 8, 8), device_.download<float>(d, 128));
  const uint64_t x32 = device_.upload(f32(a)), y32 = device_.upload(f32(b));
  device_.launch("mma_k8_tf32", {{1}, {32}}, d, x32, y32);
  expect_equal(product(a, b, Matrix(128), 16, 8, 8), device_.download<float>(d, 128));
}

TEST_F(TensorCores, Wmma) {
  const size_t k = 48;
  const auto twice = [](Matrix m) {
    for (double& x : m) x *= 2;
    return m;
  };
  {
    const Matrix a = made(16 * k, 1), b = made(16 * k, 2);
    const uint64_t d = device_.zeros<float>(256), x = device_.upload(bf16(a)), y = device_.upload(bf16(b));
    device_.launch("wmma_bf16_rows", {{1}, {32}}, d, x, y, static_cast<int>(k));
    expect_equal(twice(product(a, b, Matrix(256), 16, 16, k)), device_.download<float>(d, 256));
  }
  {
    const Matrix a = made(32 * k, 3), b = made(8 * k, 4);
    const uint64_t d = device_.zeros<float>(256), x = device_.upload(f16(a)),
                   y = device_.upload(f16(transposed(b, k, 8)));
    device_.launch("wmma_f16_columns", {{1}, {32}}, d, x, y, static_cast<int>(k));
    expect_equal(twice(product(a, b, Matrix(256), 32, 8, k)), device_.download<float>(d, 256));
  }
  {
    const Matrix a = made(8 * k, 5), b = made(32 * k, 6);
    const uint64_t d = device_.zeros<uint16_t>(256), x = device_.upload(f16(transposed(a, 8, k))),
                   y = device_.upload(f16(b));
    device_.launch("wmma_f16_sums", {{1}, {32}}, d, x, y, static_cast<int>(k));
    EXPECT_EQ(f16(twice(product(a, b, Matrix(256), 8, 32, k))), device_.download<uint16_t>(d, 256));
  }
}

TEST_F(TensorCores, Faults) {
  const uint64_t d = device_.zeros<float>(32);
  std::string report = device_.fault(FaultKind::launch_failure, "mma_of_some_lanes", {{1}, {32}}, d);
  EXPECT_NE(std::string::npos, report.find("needs all 32 lanes")) << report;
  report = device_.fault(FaultKind::misaligned_address, "ldmatrix_misaligned", {{1}, {32}}, d, 0);
  EXPECT_NE(std::string::npos, report.find("read of 16 bytes at shared address")) << report;
}

}  // namespace
}  // namespace vigor::emulator
