#pragma once
// For *_simd.cpp files: a loop over n elements in vectors, written once for whole vectors and the tail.
//
//   for_each_vector(n, [&](int64_t i, auto lanes) { store(y + i, 2.0f * load(x + i, lanes), lanes); });
#include "tensor/simd.h"

#if defined(VIGOR_ISA)

namespace vigor::VIGOR_ISA {

struct AllLanes {};

template <class T>
VIGOR_INLINE vfloat load(const T* p, AllLanes) {
  return load(p);
}
template <class T>
VIGOR_INLINE vfloat load(const T* p, int64_t lanes) {
  return load_partial(p, lanes);
}
template <class T>
VIGOR_INLINE void store(T* p, vfloat v, AllLanes) {
  store(p, v);
}
template <class T>
VIGOR_INLINE void store(T* p, vfloat v, int64_t lanes) {
  store_partial(p, v, lanes);
}

// v with the lanes behind the tail set to `other`, for sums and maxima of values that are not 0 there.
VIGOR_INLINE vfloat keep(vfloat v, AllLanes, float) { return v; }
VIGOR_INLINE vfloat keep(vfloat v, int64_t lanes, float other) {
  for (int64_t i = lanes; i < kLanes; ++i) v[i] = other;
  return v;
}

template <class F>
VIGOR_INLINE void for_each_vector(int64_t n, F f) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) f(i, AllLanes{});
  if (i < n) f(i, n - i);
}

template <class T>
void fill_zeros(T* p, int64_t n) {
  for_each_vector(n, [=](int64_t i, auto lanes) { store(p + i, zero(), lanes); });
}

// to = from, or zeros when `from` is null.
template <class T>
void copy_or_zeros(T* to, const T* from, int64_t n) {
  for_each_vector(n, [=](int64_t i, auto lanes) { store(to + i, from ? load(from + i, lanes) : zero(), lanes); });
}

}  // namespace vigor::VIGOR_ISA

#endif  // VIGOR_ISA
