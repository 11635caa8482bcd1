#pragma once
// For *_simd.cpp files: the random numbers of tensor/philox.h, many at a time.
#include "kernels/random_sequence.h"
#include "tensor/simd.h"

#if defined(VIGOR_ISA)

namespace vigor::VIGOR_ISA {

constexpr int kRandomBlocks = 32;  // Philox blocks side by side, so that the compiler makes vectors of them
constexpr int kRandomWords = 4 * kRandomBlocks;

// words[i] = word `from + i` of the sequence, counted from its first.
VIGOR_INLINE void random_words(const RandomSequence& sequence, int64_t from, uint32_t* words) {
  const uint64_t block = (sequence.first + static_cast<uint64_t>(from)) / 4;
  uint32_t c0[kRandomBlocks], c1[kRandomBlocks], c2[kRandomBlocks], c3[kRandomBlocks];
  for (int j = 0; j < kRandomBlocks; ++j) {
    c0[j] = static_cast<uint32_t>(block + static_cast<uint64_t>(j));
    c1[j] = static_cast<uint32_t>((block + static_cast<uint64_t>(j)) >> 32);
    c2[j] = sequence.step;
    c3[j] = sequence.stream;
  }
  uint32_t k0 = static_cast<uint32_t>(sequence.seed), k1 = static_cast<uint32_t>(sequence.seed >> 32);
  for (int round = 0; round < 10; ++round) {
    for (int j = 0; j < kRandomBlocks; ++j) {
      const uint64_t p0 = uint64_t{0xD2511F53u} * c0[j];
      const uint64_t p1 = uint64_t{0xCD9E8D57u} * c2[j];
      c0[j] = static_cast<uint32_t>(p1 >> 32) ^ c1[j] ^ k0;
      c2[j] = static_cast<uint32_t>(p0 >> 32) ^ c3[j] ^ k1;
      c1[j] = static_cast<uint32_t>(p1);
      c3[j] = static_cast<uint32_t>(p0);
    }
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  for (int j = 0; j < kRandomBlocks; ++j) {
    words[4 * j] = c0[j];
    words[4 * j + 1] = c1[j];
    words[4 * j + 2] = c2[j];
    words[4 * j + 3] = c3[j];
  }
}

}  // namespace vigor::VIGOR_ISA

#endif  // VIGOR_ISA
