#include "kernels/adamw/adamw_simd.h"

#include "kernels/random_words.h"
#include "kernels/vector_loop.h"

namespace vigor::VIGOR_ISA {
namespace {

// 0 in place of numbers so small that the next product might leave the normal range. The moments of a token that is no
// longer seen shrink step by step, would stay at the smallest subnormal number for ever, and each operation on one
// costs x86 well over a hundred cycles.
VIGOR_INLINE vfloat flush_tiny(vfloat x) { return select(abs(x) < 1e-36f, zero(), x); }

// x as a bf16: the upper half of its bits, one more when the lower half and `random`, 16 bits, overflow. store() then
// has nothing left to round.
VIGOR_INLINE vfloat rounded_at_random(vfloat x, vuint random) {
  const vuint bits = reinterpret_cast<vuint>(x);
  const vfloat cut = reinterpret_cast<vfloat>((bits + random) & 0xffff0000u);
  return select((bits & 0x7f800000u) == 0x7f800000u, x, cut);  // infinity and NaN stay what they are
}

VIGOR_INLINE vuint load_words(const uint32_t* words) {
  return reinterpret_cast<vuint>(load(reinterpret_cast<const int32_t*>(words)));
}

// moments_word of adamw_kernels.h for the elements from number i on.
VIGOR_INLINE vuint moments_words(const MomentsKey& key, int64_t i) {
  static constexpr uint32_t kNumbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  vuint x = (load_words(kNumbers) + static_cast<uint32_t>(i)) ^ key.word[0];
  x = ((x ^ (x >> 16)) * 0x85ebca6bu) ^ key.word[1];
  x = (x ^ (x >> 13)) * 0xc2b2ae35u;
  return x ^ (x >> 16);
}

// Updates the moments of elements i.. and returns the new parameters.
template <class G, class M, class Lanes>
VIGOR_INLINE vfloat updated(const float* p, const G* g, M* m, M* v, int64_t i, Lanes lanes,
                            const AdamWFactors<float>& f, const MomentsKey& key, int64_t first) {
  const vfloat gradient = load(g + i, lanes) * f.clip;
  const vfloat mean = flush_tiny(fma(load(m + i, lanes), f.beta1, gradient * f.one_minus_beta1));
  const vfloat square = flush_tiny(fma(load(v + i, lanes), f.beta2, gradient * gradient * f.one_minus_beta2));
  const vfloat denominator = fma(sqrt(square), f.denominator_scale, f.eps);
  if constexpr (sizeof(M) == 2) {
    const vuint word = moments_words(key, first + i);
    store(m + i, rounded_at_random(mean, word & 0xffffu), lanes);
    store(v + i, rounded_at_random(square, word >> 16), lanes);
  } else {
    store(m + i, mean, lanes);
    store(v + i, square, lanes);
  }
  return fma(mean / denominator, -f.step_size, load(p + i, lanes) * f.decay);
}

template <class M>
void update(float* p, const float* g, M* m, M* v, int64_t n, const AdamWFactors<float>& f, const MomentsKey& key,
            int64_t first) {
  for_each_vector(n, [&](int64_t i, auto lanes) { store(p + i, updated(p, g, m, v, i, lanes, f, key, first), lanes); });
}

template <class M>
void update_mixed(bf16* rounded, float* p, const bf16* g, M* m, M* v, int64_t n, const AdamWFactors<float>& f,
                  const MomentsKey& key, int64_t first) {
  for_each_vector(n, [&](int64_t i, auto lanes) {
    const vfloat value = updated(p, g, m, v, i, lanes, f, key, first);
    store(p + i, value, lanes);
    store(rounded + i, value, lanes);
  });
}

}  // namespace

void adamw(float* p, const float* g, float* m, float* v, int64_t n, const AdamWFactors<float>& f, const MomentsKey& key,
           int64_t first) {
  update(p, g, m, v, n, f, key, first);
}
void adamw(float* p, const float* g, bf16* m, bf16* v, int64_t n, const AdamWFactors<float>& f, const MomentsKey& key,
           int64_t first) {
  update(p, g, m, v, n, f, key, first);
}

void adamw_mixed(bf16* rounded, float* p, const bf16* g, float* m, float* v, int64_t n, const AdamWFactors<float>& f,
                 const MomentsKey& key, int64_t first) {
  update_mixed(rounded, p, g, m, v, n, f, key, first);
}
void adamw_mixed(bf16* rounded, float* p, const bf16* g, bf16* m, bf16* v, int64_t n, const AdamWFactors<float>& f,
                 const MomentsKey& key, int64_t first) {
  update_mixed(rounded, p, g, m, v, n, f, key, first);
}

void round_stochastically(bf16* rounded, const float* p, int64_t n, const RandomSequence& random) {
  uint32_t words[kRandomWords];
  for (int64_t begin = 0; begin < n; begin += kRandomWords) {
    random_words(random, begin, words);
    for_each_vector(n - begin < kRandomWords ? n - begin : kRandomWords, [&](int64_t i, auto lanes) {
      const vfloat value = load(p + begin + i, lanes);
      store(rounded + begin + i, rounded_at_random(value, load_words(words + i) >> 16), lanes);
    });
  }
}

}  // namespace vigor::VIGOR_ISA
