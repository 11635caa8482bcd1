// Tensor-core instructions: mma.sync, ldmatrix, wmma. Sums are made in f32, in the order of k, from C on.
#include "kernels/emulator/addresses.h"
#include "kernels/emulator/fragments.h"
#include "kernels/emulator/half.h"

namespace vigor::emulator::VIGOR_ISA {
namespace {

// These instructions are the whole warp's. False: some lanes are still on their way.
VIGOR_INLINE bool whole_warp(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  const uint32_t here = meet(warp, instruction, lanes, kAllLanes);
  if (here != 0 && here != kAllLanes) {
    fail(warp, instruction, __builtin_ctz(here), FaultKind::launch_failure,
         "a matrix instruction needs all 32 lanes of the warp; some do not exist or have exited");
  }
  return here != 0;
}

// tf32: an f32 whose low 13 mantissa bits the tensor core does not see.
struct Tf32 {
  uint32_t bits;
};
VIGOR_INLINE float to_float(Tf32 x) { return bits_float(x.bits & ~0x1fffu); }

VIGOR_INLINE float to_float(float x) { return x; }

// A lane table as places in a row-major matrix: entry 32 i + lane is where the lane's element i is.
template <auto table, uint32_t kCount, uint32_t kColumns>
struct Places {
  uint16_t at[kCount * kWarpSize];
  constexpr Places() : at() {
    for (uint32_t i = 0; i < kCount; ++i) {
      for (uint32_t lane = 0; lane < kWarpSize; ++lane) {
        const Element element = table(lane, i);
        at[i * kWarpSize + lane] = static_cast<uint16_t>(element.row * kColumns + element.column);
      }
    }
  }
};
template <auto table, uint32_t kCount, uint32_t kColumns>
constexpr Places<table, kCount, kColumns> kPlaces;

// The row-major matrix that a fragment of kCount elements a lane makes; 16-bit elements share registers.
template <class T, uint32_t kCount, uint32_t kColumns, auto table>
VIGOR_INLINE void gather(Warp& warp, const Operand* fragment, float* matrix) {
  alignas(64) float elements[kCount * kWarpSize];
  if constexpr (sizeof(T) == 2) {
    for (uint32_t i = 0; i < kCount; i += 2) {
      const uint32_t* words = plane_of<uint32_t>(warp, fragment[i / 2]);
      for (uint32_t lane = 0; lane < kWarpSize; ++lane) {
        elements[i * kWarpSize + lane] = to_float(T{static_cast<uint16_t>(words[lane])});
        elements[(i + 1) * kWarpSize + lane] = to_float(T{static_cast<uint16_t>(words[lane] >> 16)});
      }
    }
  } else {
    for (uint32_t i = 0; i < kCount; ++i) {
      const uint32_t* words = plane_of<uint32_t>(warp, fragment[i]);
      for (uint32_t lane = 0; lane < kWarpSize; ++lane) {
        elements[i * kWarpSize + lane] = to_float(__builtin_bit_cast(T, words[lane]));
      }
    }
  }
  for (uint32_t i = 0; i < kCount * kWarpSize; ++i) matrix[kPlaces<table, kCount, kColumns>.at[i]] = elements[i];
}

// The other way round, rounded to T.
template <class T, uint32_t kCount, uint32_t kColumns, auto table>
VIGOR_INLINE void scatter(Warp& warp, const Operand* fragment, const float* matrix) {
  alignas(64) float elements[kCount * kWarpSize];
  for (uint32_t i = 0; i < kCount * kWarpSize; ++i) elements[i] = matrix[kPlaces<table, kCount, kColumns>.at[i]];
  if constexpr (sizeof(T) == 2) {
    for (uint32_t i = 0; i < kCount; i += 2) {
      uint32_t* words = plane_of<uint32_t>(warp, fragment[i / 2]);
      for (uint32_t lane = 0; lane < kWarpSize; ++lane) {
        const uint32_t low = round_to<T>(elements[i * kWarpSize + lane]).bits;
        const uint32_t high = round_to<T>(elements[(i + 1) * kWarpSize + lane]).bits;
        words[lane] = low | high << 16;
      }
    }
  } else {
    for (uint32_t i = 0; i < kCount; ++i) {
      __builtin_memcpy(plane_of<uint32_t>(warp, fragment[i]), elements + i * kWarpSize, 4 * kWarpSize);
    }
  }
}

// d += a b, sums in the order of k; four rows and eight columns at a time.
template <uint32_t kM, uint32_t kN, uint32_t kK>
VIGOR_INLINE void multiply(float (*d)[kN], const float (*a)[kK], const float (*b)[kN]) {
  using Vector [[gnu::vector_size(32)]] = float;
  constexpr uint32_t kRows = 4, kWidth = 8;
  for (uint32_t n = 0; n < kN; n += kWidth) {
    for (uint32_t m = 0; m < kM; m += kRows) {
      Vector sums[kRows];
      for (uint32_t i = 0; i < kRows; ++i) __builtin_memcpy(&sums[i], &d[m + i][n], sizeof(Vector));
      for (uint32_t k = 0; k < kK; ++k) {
        Vector row;
        __builtin_memcpy(&row, &b[k][n], sizeof(Vector));
        for (uint32_t i = 0; i < kRows; ++i) sums[i] += a[m + i][k] * row;
      }
      for (uint32_t i = 0; i < kRows; ++i) __builtin_memcpy(&d[m + i][n], &sums[i], sizeof(Vector));
    }
  }
}

// mma.sync.m16n8k{4,8,16}: operands d, a, b, c.
template <class In, class Sum, uint32_t kK, auto a_table, auto b_table>
void mma(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  if (!whole_warp(warp, instruction, lanes)) return;
  constexpr uint32_t kElementsPerRegister = 4 / sizeof(In);
  constexpr uint32_t kSumRegisters = sizeof(Sum);  // four sums a lane
  constexpr uint32_t kA = 16 * kK / kWarpSize, kB = 8 * kK / kWarpSize;
  const Operand* d = instruction.operands;
  const Operand* a = d + kSumRegisters;
  const Operand* b = a + kA / kElementsPerRegister;
  const Operand* c = b + kB / kElementsPerRegister;
  alignas(64) float a_matrix[16][kK], b_matrix[kK][8], d_matrix[16][8];
  gather<In, kA, kK, a_table>(warp, a, *a_matrix);
  gather<In, kB, 8, b_table>(warp, b, *b_matrix);
  gather<Sum, 4, 8, mma_c>(warp, c, *d_matrix);
  multiply<16, 8, kK>(d_matrix, a_matrix, b_matrix);
  scatter<Sum, 4, 8, mma_c>(warp, d, *d_matrix);
}

// ldmatrix.x{1,2,4}: kCount registers, then the address of a row.
template <uint32_t kCount, bool kTransposed>
void load_matrices(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  if (!whole_warp(warp, instruction, lanes)) return;
  constexpr uint32_t kRowBytes = 16;
  constexpr uint32_t kRows = kCount == 4 ? kAllLanes : (1u << (8 * kCount)) - 1;  // lanes whose addresses count
  Addresses at;
  locate(warp, instruction, instruction.operands[kCount], instruction.immediate, instruction.space, kRows, kRowBytes,
         AccessKind::read, at);
  for (uint32_t matrix = 0; matrix < kCount; ++matrix) {
    uint16_t rows[8][8];
    for (uint32_t row = 0; row < 8; ++row) {
      __builtin_memcpy(rows[row], at.pointer<std::byte>(8 * matrix + row), kRowBytes);
    }
    // Element i of a lane is half-word 2 lane + i of the plane.
    auto* d = reinterpret_cast<uint16_t*>(plane_of<uint32_t>(warp, instruction.operands[matrix]));
    for (uint32_t half = 0; half < 2 * kWarpSize; ++half) {
      const Element element = ldmatrix_element(half / 2, half % 2);
      d[half] = kTransposed ? rows[element.column][element.row] : rows[element.row][element.column];
    }
  }
}

// Addresses of element i of every lane of a wmma fragment in memory. Pointer and stride are the same in all lanes.
template <uint32_t kRows, uint32_t kColumns>
VIGOR_INLINE void wmma_addresses(Warp& warp, const Instruction& instruction, const Operand& base, const Operand& stride,
                                 bool row_major, uint32_t bytes, uint32_t i, Addresses& at) {
  add_offset(warp, base, instruction.immediate, at.value);
  const uint64_t begin = at.value[0];
  const uint64_t step = stride.present ? plane_of<uint32_t>(warp, stride)[0] : (row_major ? kColumns : kRows);
  for (uint32_t lane = 0; lane < kWarpSize; ++lane) {
    const Element element = wmma_element(lane, i, kRows, kColumns);
    at.value[lane] =
        begin + bytes * (row_major ? element.row * step + element.column : element.column * step + element.row);
  }
}

// wmma.load: kSlots elements a lane, then address and stride.
template <class T, uint32_t kRows, uint32_t kColumns, uint32_t kSlots, bool kRowMajor>
void wmma_load(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  if (!whole_warp(warp, instruction, lanes)) return;
  constexpr uint32_t kRegisters = kSlots * sizeof(T) / 4;
  constexpr uint32_t kShare = kRows * kColumns / kWarpSize;
  const Operand* operands = instruction.operands;
  for (uint32_t i = 0; i < kShare; ++i) {
    Addresses at;
    wmma_addresses<kRows, kColumns>(warp, instruction, operands[kRegisters], operands[kRegisters + 1], kRowMajor,
                                    sizeof(T), i, at);
    check_addresses(warp, instruction, instruction.space, kAllLanes, sizeof(T), AccessKind::read, at);
    for (uint32_t lane = 0; lane < kWarpSize; ++lane) {
      T value;
      __builtin_memcpy(&value, at.pointer<std::byte>(lane), sizeof(T));
      for (uint32_t slot = i; slot < kSlots; slot += kShare) {
        if constexpr (sizeof(T) == 2) {
          uint32_t& word = plane_of<uint32_t>(warp, operands[slot / 2])[lane];
          const uint32_t bits = value.bits;
          word = slot % 2 ? (word & 0xffffu) | bits << 16 : (word & 0xffff0000u) | bits;
        } else {
          plane_of<uint32_t>(warp, operands[slot])[lane] = __builtin_bit_cast(uint32_t, value);
        }
      }
    }
  }
}

// wmma.store: address, elements, stride.
template <class T, uint32_t kRows, uint32_t kColumns, bool kRowMajor>
void wmma_store(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  if (!whole_warp(warp, instruction, lanes)) return;
  constexpr uint32_t kShare = kRows * kColumns / kWarpSize;
  const Operand* operands = instruction.operands;
  for (uint32_t i = 0; i < kShare; ++i) {
    Addresses at;
    wmma_addresses<kRows, kColumns>(warp, instruction, operands[0], operands[1 + kShare * sizeof(T) / 4], kRowMajor,
                                    sizeof(T), i, at);
    check_addresses(warp, instruction, instruction.space, kAllLanes, sizeof(T), AccessKind::write, at);
    const uint32_t* words = plane_of<uint32_t>(warp, operands[1 + i * sizeof(T) / 4]);
    const uint32_t shift = sizeof(T) == 2 ? 16 * (i % 2) : 0;
    for (uint32_t lane = 0; lane < kWarpSize; ++lane) {
      const auto value = static_cast<typename BitsOf<sizeof(T)>::type>(words[lane] >> shift);
      __builtin_memcpy(at.pointer<std::byte>(lane), &value, sizeof(T));
    }
  }
}

template <uint32_t kRows, uint32_t kColumns>
constexpr Element wmma_table(uint32_t lane, uint32_t i) {
  return wmma_element(lane, i, kRows, kColumns);
}

// wmma.mma: operands d, a, b, c.
template <class In, uint32_t kM, uint32_t kN, uint32_t kASlots, uint32_t kBSlots, class D, class C>
void wmma_multiply(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  if (!whole_warp(warp, instruction, lanes)) return;
  constexpr uint32_t kK = 16, kSums = kM * kN / kWarpSize;
  const Operand* d = instruction.operands;
  const Operand* a = d + kSums * sizeof(D) / 4;
  const Operand* b = a + kASlots / 2;
  const Operand* c = b + kBSlots / 2;
  alignas(64) float a_matrix[kM][kK], b_matrix[kK][kN], d_matrix[kM][kN];
  gather<In, kM * kK / kWarpSize, kK, wmma_table<kM, kK>>(warp, a, *a_matrix);
  gather<In, kK * kN / kWarpSize, kN, wmma_table<kK, kN>>(warp, b, *b_matrix);
  gather<C, kSums, kN, wmma_table<kM, kN>>(warp, c, *d_matrix);
  multiply<kM, kN, kK>(d_matrix, a_matrix, b_matrix);
  scatter<D, kSums, kN, wmma_table<kM, kN>>(warp, d, *d_matrix);
}

#define VIGOR_MMA(shape, types, letters, ...) \
  OpRow { "mma.sync.aligned." shape ".row.col." types, mma<__VA_ARGS__>, letters, kControl }
#define VIGOR_LDMATRIX(suffix, count, letters)                                                                \
  OpRow{"ldmatrix.sync.aligned.m8n8." suffix ".b16", load_matrices<count, false>, letters, kControl}, OpRow { \
    "ldmatrix.sync.aligned.m8n8." suffix ".trans.b16", load_matrices<count, true>, letters, kControl          \
  }

// Letters of n registers.
#define VIGOR_D4 "dddd"
#define VIGOR_D8 "dddddddd"
#define VIGOR_A2 "aa"
#define VIGOR_A4 "aaaa"
#define VIGOR_A8 "aaaaaaaa"

// Loads of A and B of one shape, stores and loads of C and D, and the product.
#define VIGOR_WMMA_LOAD(matrix, shape, type_name, type, rows, columns, slots, letters)                             \
  OpRow{"wmma.load." matrix ".sync.aligned.row." shape "." type_name, wmma_load<type, rows, columns, slots, true>, \
        letters "mo", kControl},                                                                                   \
      OpRow {                                                                                                      \
    "wmma.load." matrix ".sync.aligned.col." shape "." type_name, wmma_load<type, rows, columns, slots, false>,    \
        letters "mo", kControl                                                                                     \
  }
#define VIGOR_WMMA_STORE(shape, type_name, type, rows, columns, letters)                                              \
  OpRow{"wmma.store.d.sync.aligned.row." shape "." type_name, wmma_store<type, rows, columns, true>, "m" letters "o", \
        kControl},                                                                                                    \
      OpRow {                                                                                                         \
    "wmma.store.d.sync.aligned.col." shape "." type_name, wmma_store<type, rows, columns, false>, "m" letters "o",    \
        kControl                                                                                                      \
  }
#define VIGOR_WMMA_PRODUCT(layouts, shape, types, letters, ...) \
  OpRow { "wmma.mma.sync.aligned." layouts "." shape "." types, wmma_multiply<__VA_ARGS__>, letters, kControl }
#define VIGOR_WMMA_LAYOUTS(shape, types, letters, ...)                   \
  VIGOR_WMMA_PRODUCT("row.row", shape, types, letters, __VA_ARGS__),     \
      VIGOR_WMMA_PRODUCT("row.col", shape, types, letters, __VA_ARGS__), \
      VIGOR_WMMA_PRODUCT("col.row", shape, types, letters, __VA_ARGS__), \
      VIGOR_WMMA_PRODUCT("col.col", shape, types, letters, __VA_ARGS__)
#define VIGOR_WMMA_SHAPE(shape, m, n, a_slots, a_letters, a_dst, b_slots, b_letters, b_dst)                       \
  VIGOR_WMMA_LOAD("a", shape, "f16", F16, m, 16, 16, VIGOR_D8),                                                   \
      VIGOR_WMMA_LOAD("b", shape, "f16", F16, 16, n, 16, VIGOR_D8),                                               \
      VIGOR_WMMA_LOAD("a", shape, "bf16", Bf16, m, 16, a_slots, a_dst),                                           \
      VIGOR_WMMA_LOAD("b", shape, "bf16", Bf16, 16, n, b_slots, b_dst),                                           \
      VIGOR_WMMA_LOAD("c", shape, "f32", float, m, n, 8, VIGOR_D8),                                               \
      VIGOR_WMMA_LOAD("c", shape, "f16", F16, m, n, 8, VIGOR_D4),                                                 \
      VIGOR_WMMA_STORE(shape, "f32", float, m, n, VIGOR_A8), VIGOR_WMMA_STORE(shape, "f16", F16, m, n, VIGOR_A4), \
      VIGOR_WMMA_LAYOUTS(shape, "f32.f32", VIGOR_D8 VIGOR_A8 VIGOR_A8 VIGOR_A8, F16, m, n, 16, 16, float, float), \
      VIGOR_WMMA_LAYOUTS(shape, "f16.f16", VIGOR_D4 VIGOR_A8 VIGOR_A8 VIGOR_A4, F16, m, n, 16, 16, F16, F16),     \
      VIGOR_WMMA_LAYOUTS(shape, "f32.f16", VIGOR_D8 VIGOR_A8 VIGOR_A8 VIGOR_A4, F16, m, n, 16, 16, float, F16),   \
      VIGOR_WMMA_LAYOUTS(shape, "f16.f32", VIGOR_D4 VIGOR_A8 VIGOR_A8 VIGOR_A8, F16, m, n, 16, 16, F16, float),   \
      VIGOR_WMMA_LAYOUTS(shape, "f32.bf16.bf16.f32", VIGOR_D8 a_letters b_letters VIGOR_A8, Bf16, m, n, a_slots,  \
                         b_slots, float, float)

constexpr OpRow kRows[] = {
    VIGOR_MMA("m16n8k16", "f32.bf16.bf16.f32", "ddddaaaaaaaaaa", Bf16, float, 16, mma_k16_a, mma_k16_b),
    VIGOR_MMA("m16n8k16", "f32.f16.f16.f32", "ddddaaaaaaaaaa", F16, float, 16, mma_k16_a, mma_k16_b),
    VIGOR_MMA("m16n8k16", "f16.f16.f16.f16", "ddaaaaaaaa", F16, F16, 16, mma_k16_a, mma_k16_b),
    VIGOR_MMA("m16n8k8", "f32.bf16.bf16.f32", "ddddaaaaaaa", Bf16, float, 8, mma_k8_a, mma_k8_b),
    VIGOR_MMA("m16n8k8", "f32.f16.f16.f32", "ddddaaaaaaa", F16, float, 8, mma_k8_a, mma_k8_b),
    VIGOR_MMA("m16n8k8", "f16.f16.f16.f16", "ddaaaaa", F16, F16, 8, mma_k8_a, mma_k8_b),
    VIGOR_MMA("m16n8k8", "f32.tf32.tf32.f32", "ddddaaaaaaaaaa", Tf32, float, 8, mma_tf32_a, mma_tf32_b),
    VIGOR_MMA("m16n8k4", "f32.tf32.tf32.f32", "ddddaaaaaaa", Tf32, float, 4, mma_tf32_a, mma_tf32_b),

    VIGOR_LDMATRIX("x1", 1, "dm"),
    VIGOR_LDMATRIX("x2", 2, "ddm"),
    VIGOR_LDMATRIX("x4", 4, "ddddm"),

    VIGOR_WMMA_SHAPE("m16n16k16", 16, 16, 8, VIGOR_A4, VIGOR_D4, 8, VIGOR_A4, VIGOR_D4),
    VIGOR_WMMA_SHAPE("m32n8k16", 32, 8, 16, VIGOR_A8, VIGOR_D8, 4, VIGOR_A2, "dd"),
    VIGOR_WMMA_SHAPE("m8n32k16", 8, 32, 4, VIGOR_A2, "dd", 16, VIGOR_A8, VIGOR_D8),
};

}  // namespace

RowTable matrix_rows() { return table_of(kRows); }

}  // namespace vigor::emulator::VIGOR_ISA
