#include "kernels/dropout/dropout_simd.h"

#include "kernels/random_words.h"
#include "kernels/vector_loop.h"

namespace vigor::VIGOR_ISA {
namespace {

template <class T>
void drop(const DropoutRange<T>& range) {
  uint32_t words[kRandomWords];
  float factor[kRandomWords];  // scale or 0
  for (int64_t begin = 0; begin < range.n; begin += kRandomWords) {
    const int64_t n = range.n - begin < kRandomWords ? range.n - begin : kRandomWords;
    random_words(range.random, begin, words);
    for (int i = 0; i < kRandomWords; ++i) factor[i] = words[i] >= range.threshold ? range.scale : 0.0f;
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
