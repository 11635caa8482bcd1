#include "kernels/dropout/dropout_simd.h"

#include "kernels/vector_loop.h"

namespace vigor::VIGOR_ISA {
namespace {

constexpr int kBlocks = 32;  // Philox blocks side by side, so that the compiler makes vectors of them
constexpr int kWords = 4 * kBlocks;

// words[4 j + w] = word w of Philox block `block + j`: tensor/philox.h for many blocks at once.
VIGOR_INLINE void random_words(uint64_t seed, uint64_t block, uint32_t step, uint32_t stream, uint32_t* words) {
  uint32_t c0[kBlocks], c1[kBlocks], c2[kBlocks], c3[kBlocks];
  for (int j = 0; j < kBlocks; ++j) {
    c0[j] = static_cast<uint32_t>(block + static_cast<uint64_t>(j));
    c1[j] = static_cast<uint32_t>((block + static_cast<uint64_t>(j)) >> 32);
    c2[j] = step;
    c3[j] = stream;
  }
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    for (int j = 0; j < kBlocks; ++j) {
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
  for (int j = 0; j < kBlocks; ++j) {
    words[4 * j] = c0[j];
    words[4 * j + 1] = c1[j];
    words[4 * j + 2] = c2[j];
    words[4 * j + 3] = c3[j];
  }
}

template <class T>
void drop(const DropoutRange<T>& range) {
  uint32_t words[kWords];
  float factor[kWords];  // scale or 0
  for (int64_t begin = 0; begin < range.n; begin += kWords) {
    const int64_t n = range.n - begin < kWords ? range.n - begin : kWords;
    random_words(range.seed, (range.first + static_cast<uint64_t>(begin)) / 4, range.step, range.stream, words);
    for (int i = 0; i < kWords; ++i) factor[i] = words[i] >= range.threshold ? range.scale : 0.0f;
    const T* x = range.x + begin;
    T* y = range.y + begin;
    for_each_vector(n, [&](int64_t i, auto lanes) {
      const vfloat f = load(factor + i);
      store(y + i, select(f == 0.0f, zero(), load(x + i, lanes) * f), lanes);  // a dropped infinity is 0, not NaN
    });
  }
}

}  // namespace

void dropout(const DropoutRange<float>& range) { drop(range); }
void dropout(const DropoutRange<bf16>& range) { drop(range); }

}  // namespace vigor::VIGOR_ISA
