#pragma once
// Which lane holds which matrix elements, as the PTX ISA manual's chapter on warp-level matrix instructions gives it.
//
// Names as there: groupID = laneid >> 2, threadID_in_group = laneid % 4; i numbers a lane's elements of the matrix, two
// 16-bit elements a register, the even one in the low half.
#include <cstdint>

namespace vigor::emulator {

struct Element {
  uint32_t row, column;
};

static inline constexpr uint32_t group_id(uint32_t lane) { return lane >> 2; }
static inline constexpr uint32_t thread_in_group(uint32_t lane) { return lane % 4; }

// mma.m16n8k16 with 16-bit elements, A (16 x 16), a0..a7:
//   row = groupID            for ai where 0 <= i < 2 || 4 <= i < 6
//         groupID + 8        otherwise
//   col = (threadID_in_group * 2) + (i & 0x1)       for ai where i < 4
//         (threadID_in_group * 2) + (i & 0x1) + 8   for ai where i >= 4
static inline constexpr Element mma_k16_a(uint32_t lane, uint32_t i) {
  const uint32_t row = group_id(lane) + (i < 2 || (i >= 4 && i < 6) ? 0 : 8);
  return {row, thread_in_group(lane) * 2 + (i & 1) + (i < 4 ? 0 : 8)};
}

// mma.m16n8k16 with 16-bit elements, B (16 x 8), b0..b3:
//   row = (threadID_in_group * 2) + (i & 0x1)       for bi where i < 2
//         (threadID_in_group * 2) + (i & 0x1) + 8   for bi where i >= 2
//   col = groupID
static inline constexpr Element mma_k16_b(uint32_t lane, uint32_t i) {
  return {thread_in_group(lane) * 2 + (i & 1) + (i < 2 ? 0 : 8), group_id(lane)};
}

// mma.m16n8k8 with 16-bit elements, A (16 x 8), a0..a3:
//   row = groupID for ai where i < 2, groupID + 8 for ai where i >= 2
//   col = threadID_in_group * 2 + (i & 0x1)
static inline constexpr Element mma_k8_a(uint32_t lane, uint32_t i) {
  return {group_id(lane) + (i < 2 ? 0 : 8), thread_in_group(lane) * 2 + (i & 1)};
}

// mma.m16n8k8 with 16-bit elements, B (8 x 8), b0, b1:
//   row = (threadID_in_group * 2) + i
//   col = groupID
static inline constexpr Element mma_k8_b(uint32_t lane, uint32_t i) {
  return {thread_in_group(lane) * 2 + i, group_id(lane)};
}

// mma.m16n8k8 with tf32 elements, A (16 x 8), a0..a3, and m16n8k4, A (16 x 4), a0, a1:
//   row = groupID for a0 and a2, groupID + 8 for a1 and a3
//   col = threadID_in_group for a0 and a1, threadID_in_group + 4 for a2 and a3
static inline constexpr Element mma_tf32_a(uint32_t lane, uint32_t i) {
  return {group_id(lane) + (i % 2 == 0 ? 0 : 8), thread_in_group(lane) + (i < 2 ? 0 : 4)};
}

// mma.m16n8k8 with tf32 elements, B (8 x 8), b0, b1, and m16n8k4, B (4 x 8), b0:
//   row = threadID_in_group for b0, threadID_in_group + 4 for b1
//   col = groupID
static inline constexpr Element mma_tf32_b(uint32_t lane, uint32_t i) {
  return {thread_in_group(lane) + (i == 0 ? 0 : 4), group_id(lane)};
}

// All of them, C and D (16 x 8), c0..c3:
//   row = groupID for ci where i < 2, groupID + 8 for ci where i >= 2
//   col = (threadID_in_group * 2) + (i & 0x1)
static inline constexpr Element mma_c(uint32_t lane, uint32_t i) {
  return {group_id(lane) + (i < 2 ? 0 : 8), thread_in_group(lane) * 2 + (i & 1)};
}

// ldmatrix, an 8 x 8 matrix of 16-bit elements: lane 8 j + r brings the address of row r of matrix j. Each lane gets
// one register a matrix: row = laneid / 4, columns 2 * (laneid % 4) and the next. With .trans the matrix is transposed
// first.
static inline constexpr Element ldmatrix_element(uint32_t lane, uint32_t i) { return {lane / 4, 2 * (lane % 4) + i}; }

// wmma: the manual leaves open which lane holds what ("the mapping of matrix elements to fragments is unspecified"), so
// elements are dealt out in row-major order: a lane has rows * columns / 32 neighbouring ones. Fragments with more room
// hold them again from the beginning.
static inline constexpr Element wmma_element(uint32_t lane, uint32_t i, uint32_t rows, uint32_t columns) {
  const uint32_t share = rows * columns / 32;
  const uint32_t index = lane * share + i % share;
  return {index / columns, index % columns};
}

}  // namespace vigor::emulator
