#include "kernels/rope/rope_simd.h"

#include "kernels/vector_loop.h"

namespace vigor::VIGOR_ISA {
namespace {

// Sine and cosine of an angle in 2^-32 turns. The two highest bits, after rounding, are the quarter turn; what is left
// is between -1/8 and 1/8 of a turn, where the Taylor series of these lengths are exact to 2e-9 (sine) and 3e-8
// (cosine, by its last term left out).
VIGOR_INLINE void sin_cos(vuint turn, vfloat& sine, vfloat& cosine) {
  const vuint quarter = (turn + (1u << 29)) >> 30;
  const vint rest = reinterpret_cast<vint>(turn - (quarter << 30));
  const vfloat a = __builtin_convertvector(rest, vfloat) * 1.46291807926715968e-9f;  // 2 pi / 2^32
  const vfloat z = a * a;
  vfloat s = fma(z, 1.0f / 362880, -1.0f / 5040);
  s = fma(s, z, 1.0f / 120);
  s = fma(s, z, -1.0f / 6);
  s = fma(s * z, a, a);
  vfloat c = fma(z, 1.0f / 40320, -1.0f / 720);
  c = fma(c, z, 1.0f / 24);
  c = fma(c, z, -0.5f);
  c = fma(c, z, 1.0f);
  // sin(a + 1/4) = cos a, sin(a + 1/2) = -sin a, sin(a + 3/4) = -cos a; the cosine is a quarter turn ahead.
  const vint odd = reinterpret_cast<vint>(quarter & 1u) != 0;
  const vuint sine_sign = (quarter & 2u) << 30, cosine_sign = ((quarter + 1u) & 2u) << 30;
  sine = reinterpret_cast<vfloat>(reinterpret_cast<vuint>(select(odd, c, s)) ^ sine_sign);
  cosine = reinterpret_cast<vfloat>(reinterpret_cast<vuint>(select(odd, s, c)) ^ cosine_sign);
}

VIGOR_INLINE vuint load_turns(const uint32_t* turn, AllLanes) {
  return reinterpret_cast<vuint>(load(reinterpret_cast<const int32_t*>(turn)));
}
VIGOR_INLINE vuint load_turns(const uint32_t* turn, int64_t lanes) {
  vuint v{};
  for (int64_t i = 0; i < lanes; ++i) v[i] = turn[i];
  return v;
}

template <class T>
void step(const RopeStep<T>& p) {
  const float sine_scale = p.negative ? -p.scale : p.scale;
  for_each_vector(p.pairs, [&](int64_t j, auto lanes) {
    vfloat sine, cosine;
    sin_cos(load_turns(p.turn + j, lanes), sine, cosine);
    store(p.sines + j, sine * sine_scale, lanes);
    store(p.cosines + j, cosine * p.scale, lanes);
  });
  for (int64_t head = 0; head < p.heads; ++head) {
    const T* x = p.x + head * p.x_stride;
    T* y = p.y + head * 2 * p.pairs;
    for_each_vector(p.pairs, [&](int64_t j, auto lanes) {
      const vfloat first = load(x + j, lanes), second = load(x + p.pairs + j, lanes);
      const vfloat sine = load(p.sines + j, lanes), cosine = load(p.cosines + j, lanes);
      store(y + j, fma(first, cosine, -(second * sine)), lanes);
      store(y + p.pairs + j, fma(second, cosine, first * sine), lanes);
    });
  }
}

}  // namespace

void rope_step(const RopeStep<float>& p) { step(p); }
void rope_step(const RopeStep<bf16>& p) { step(p); }

}  // namespace vigor::VIGOR_ISA
