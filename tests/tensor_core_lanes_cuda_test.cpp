// Which element of a matrix each lane holds: the tables that kernels with tensor cores, and the emulated device, rest
// on. The fixture is made from the formulas of the PTX manual (tests/parity/make_tensor_core_lanes.py). It is compared
// with a second public description, the strides of NVIDIA's CUTLASS (cute/atom/mma_traits_sm80.hpp), and then with what
// the device does: on a GPU this test is the first that scripts/gpu-check runs.
#include <fstream>
#include <map>

#include "tests/cuda/tensor_core_lanes_cuda.h"
#include "tests/support/cuda_testing.h"

namespace vigor::testing {
namespace {

struct Place {
  int row, column;
  bool operator==(const Place&) const = default;
};
// places[lane * elements + element] of one operand
using Places = std::vector<Place>;

std::map<std::string, Places> read_tables() {
  std::map<std::string, Places> tables;
  std::ifstream file(std::string(VIGOR_SOURCE_DIR) + "/tests/fixtures/tensor_core/lanes.txt");
  std::string instruction, operand;
  for (int lane, element, row, column; file >> instruction >> operand >> lane >> element >> row >> column;)
    tables[instruction + " " + operand].push_back({row, column});
  return tables;
}

const Places& table(const std::string& name) {
  static const std::map<std::string, Places> tables = read_tables();
  return tables.at(name);
}

int elements_of(const Places& places) { return static_cast<int>(places.size()) / 32; }

// A layout as CUTLASS writes it: lane = t0 + 4 t1, element = v0 + 2 v1 + 4 v2; the offset into a column-major matrix of
// `rows` rows is the sum of the digits times their strides.
Places from_strides(int rows, int elements, int t0, int t1, int v0, int v1, int v2) {
  Places places;
  for (int lane = 0; lane < 32; ++lane)
    for (int e = 0; e < elements; ++e) {
      const int offset = lane % 4 * t0 + lane / 4 * t1 + e % 2 * v0 + e / 2 % 2 * v1 + e / 4 * v2;
      places.push_back({offset % rows, offset / rows});
    }
  return places;
}

// CUTLASS describes B as the matrix [N,K]; the manual as [K,N].
Places transposed(Places places) {
  for (Place& place : places) std::swap(place.row, place.column);
  return places;
}

TEST(TensorCoreLanes, ManualAndCutlassAgree) {
  EXPECT_EQ(table("m16n8k16 a"), from_strides(16, 8, 32, 1, 16, 8, 128));
  EXPECT_EQ(table("m16n8k16 b"), transposed(from_strides(8, 4, 16, 1, 8, 64, 0)));
  EXPECT_EQ(table("m16n8k16 c"), from_strides(16, 4, 32, 1, 16, 8, 0));
  EXPECT_EQ(table("m16n8k8 a"), from_strides(16, 4, 32, 1, 16, 8, 0));
  EXPECT_EQ(table("m16n8k8 b"), transposed(from_strides(8, 2, 16, 1, 8, 0, 0)));
  EXPECT_EQ(table("m16n8k8 c"), from_strides(16, 4, 32, 1, 16, 8, 0));
}

TEST(TensorCoreLanes, TablesCoverEachElementOnce) {
  const std::map<std::string, Shape> sizes = {
      {"m16n8k16 a", {16, 16}}, {"m16n8k16 b", {16, 8}}, {"m16n8k16 c", {16, 8}},     {"m16n8k8 a", {16, 8}},
      {"m16n8k8 b", {8, 8}},    {"m16n8k8 c", {16, 8}},  {"ldmatrix plain", {32, 8}}, {"ldmatrix trans", {32, 8}}};
  for (const auto& [name, shape] : sizes) {
    std::map<std::pair<int, int>, int> seen;
    for (const Place& place : table(name)) ++seen[{place.row, place.column}];
    EXPECT_EQ(static_cast<int64_t>(seen.size()), shape.numel()) << name;
    for (const auto& [at, count] : seen) EXPECT_EQ(count, 1) << name;
  }
}

// The matrix spread over lanes as the table says: [32 * elements].
Tensor fragments_of(const Tensor& matrix, const Places& places) {
  std::vector<float> values;
  const std::vector<float> from = matrix.to_vector<float>();
  for (const Place& place : places)
    values.push_back(from[static_cast<size_t>(place.row * matrix.size(1) + place.column)]);
  return from_values(values, {static_cast<int64_t>(places.size())});
}

// Small whole numbers, so that every order of summation gives the same.
Tensor whole_numbers(const Shape& sizes, uint32_t salt) {
  const Tensor x = empty(sizes, Dtype::f32);
  const Tensor ids = random_ids(sizes, 17, Dtype::i32, salt);
  copy(x, ids);
  accumulate(x, full(sizes, -8));
  return x;
}

void expect_mma(int k) {
  const std::string name = "m16n8k" + std::to_string(k) + " ";
  const Tensor a = whole_numbers({16, k}, 1), b = whole_numbers({k, 8}, 2), c = whole_numbers({16, 8}, 3);
  const std::vector<float> va = a.to_vector<float>(), vb = b.to_vector<float>();
  const Tensor expected = clone(c);
  for (int m = 0; m < 16; ++m)
    for (int n = 0; n < 8; ++n)
      for (int i = 0; i < k; ++i)
        expected.data<float>()[m * 8 + n] += va[static_cast<size_t>(m * k + i)] * vb[static_cast<size_t>(i * 8 + n)];
  const Tensor d = zeros({32 * 4}, Dtype::f32, kCuda);
  run_mma(k, d, on_cuda(converted(fragments_of(a, table(name + "a")), Dtype::bf16)),
          on_cuda(converted(fragments_of(b, table(name + "b")), Dtype::bf16)),
          on_cuda(fragments_of(c, table(name + "c"))));
  expect_equal(on_host(d), fragments_of(expected, table(name + "c")));
}

TEST(TensorCoreLanes, MmaK16) { expect_mma(16); }
TEST(TensorCoreLanes, MmaK8) { expect_mma(8); }

TEST(TensorCoreLanes, Ldmatrix) {
  const Tensor rows = converted(random({32, 8}, Dtype::f32, 4), Dtype::bf16);
  for (const bool trans : {false, true}) {
    const Places& places = table(trans ? "ldmatrix trans" : "ldmatrix plain");
    const Tensor fragments = zeros({32 * elements_of(places)}, Dtype::bf16, kCuda);
    run_ldmatrix(trans, fragments, on_cuda(rows));
    expect_equal(on_host(fragments), converted(fragments_of(rows, places), Dtype::bf16));
  }
}

}  // namespace
}  // namespace vigor::testing
