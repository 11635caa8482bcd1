#include "kernels/elementwise/elementwise_simd.h"

#include "kernels/vector_loop.h"

namespace vigor::VIGOR_ISA {
namespace {

// ---- the rows of the table as types ----

VIGOR_INLINE vfloat within(vfloat x, vfloat s, vfloat t) {
  return select((x >= s) & (x <= t), broadcast(1.0f), zero());
}

// A slope may be a plain number or a vector, hence auto.
#define VIGOR_ROW(name, value, slope, keeps)                                                                \
  struct unary_##name {                                                                                     \
    VIGOR_INLINE vfloat f(vfloat x, [[maybe_unused]] vfloat s, [[maybe_unused]] vfloat t) { return value; } \
    VIGOR_INLINE auto df([[maybe_unused]] vfloat x, [[maybe_unused]] vfloat s, [[maybe_unused]] vfloat t) { \
      [[maybe_unused]] const vfloat y = x; /* the row keeps one of them */                                  \
      return slope;                                                                                         \
    }                                                                                                       \
  };
VIGOR_UNARY_ROWS(VIGOR_ROW)
#undef VIGOR_ROW

#define VIGOR_ROW(name, value, slope_a, slope_b, keeps)                                            \
  struct binary_##name {                                                                           \
    VIGOR_INLINE vfloat f(vfloat a, vfloat b) { return value; }                                    \
    VIGOR_INLINE auto da([[maybe_unused]] vfloat a, [[maybe_unused]] vfloat b) { return slope_a; } \
    VIGOR_INLINE auto db([[maybe_unused]] vfloat a, [[maybe_unused]] vfloat b) { return slope_b; } \
  };
VIGOR_BINARY_ROWS(VIGOR_ROW)
#undef VIGOR_ROW

#define VIGOR_CASE(name, ...) \
  case Unary::name:           \
    return f(unary_##name{});
template <class F>
void visit_row(Unary op, F f) {
  switch (op) { VIGOR_UNARY_ROWS(VIGOR_CASE) }
}
#undef VIGOR_CASE

#define VIGOR_CASE(name, ...) \
  case Binary::name:          \
    return f(binary_##name{});
template <class F>
void visit_row(Binary op, F f) {
  switch (op) { VIGOR_BINARY_ROWS(VIGOR_CASE) }
}
#undef VIGOR_CASE

// ---- reading inputs ----

struct UnitStrides {};  // of all inputs of the loop
struct AnyStrides {};

VIGOR_INLINE int64_t count(AllLanes) { return kLanes; }
VIGOR_INLINE int64_t count(int64_t lanes) { return lanes; }

template <class T, class Lanes>
VIGOR_INLINE vfloat read(Elements<T> e, int64_t i, Lanes lanes, UnitStrides) {
  return load(e.data + i, lanes);
}

template <class T, class Lanes>
VIGOR_INLINE vfloat read(Elements<T> e, int64_t i, Lanes lanes, AnyStrides) {
  if (e.stride == 1) return load(e.data + i, lanes);
  if (e.stride == 0) return broadcast(static_cast<float>(e.data[0]));
  vfloat v{};
  for (int64_t lane = 0; lane < count(lanes); ++lane) v[lane] = static_cast<float>(e.data[(i + lane) * e.stride]);
  return v;
}

template <class F>
void visit_strides(bool all_unit, F f) {
  if (all_unit) return f(UnitStrides{});
  f(AnyStrides{});
}

// ---- the loops ----

template <class T>
void unary_forward_loop(Unary op, T* y, Elements<T> x, int64_t n, float s_number, float t_number) {
  const vfloat s = broadcast(s_number), t = broadcast(t_number);
  visit_row(op, [=](auto row) {
    visit_strides(x.stride == 1, [=](auto strides) {
      for_each_vector(n, [=](int64_t i, auto lanes) { store(y + i, row.f(read(x, i, lanes, strides), s, t), lanes); });
    });
  });
}

template <class T>
void unary_backward_loop(Unary op, T* dx, Elements<T> dy, Elements<T> kept, int64_t n, float s_number, float t_number) {
  const vfloat s = broadcast(s_number), t = broadcast(t_number);
  visit_row(op, [=](auto row) {
    visit_strides(dy.stride == 1 && kept.stride == 1, [=](auto strides) {
      for_each_vector(n, [=](int64_t i, auto lanes) {
        store(dx + i, read(dy, i, lanes, strides) * row.df(read(kept, i, lanes, strides), s, t), lanes);
      });
    });
  });
}

template <class T>
void binary_forward_loop(Binary op, T* y, Elements<T> a, Elements<T> b, int64_t n) {
  visit_row(op, [=](auto row) {
    visit_strides(a.stride == 1 && b.stride == 1, [=](auto strides) {
      for_each_vector(n, [=](int64_t i, auto lanes) {
        store(y + i, row.f(read(a, i, lanes, strides), read(b, i, lanes, strides)), lanes);
      });
    });
  });
}

template <class T>
void binary_backward_loop(Binary op, int input, T* dx, Elements<T> dy, Elements<T> a, Elements<T> b, int64_t n) {
  visit_row(op, [=](auto row) {
    visit_strides(dy.stride == 1 && a.stride == 1 && b.stride == 1, [=](auto strides) {
      for_each_vector(n, [=](int64_t i, auto lanes) {
        const vfloat g = read(dy, i, lanes, strides);
        const vfloat u = read(a, i, lanes, strides), v = read(b, i, lanes, strides);
        store(dx + i, input == 0 ? g * row.da(u, v) : g * row.db(u, v), lanes);
      });
    });
  });
}

}  // namespace

void unary_forward(Unary op, float* y, Elements<float> x, int64_t n, float s, float t) {
  unary_forward_loop(op, y, x, n, s, t);
}
void unary_forward(Unary op, bf16* y, Elements<bf16> x, int64_t n, float s, float t) {
  unary_forward_loop(op, y, x, n, s, t);
}
void unary_backward(Unary op, float* dx, Elements<float> dy, Elements<float> kept, int64_t n, float s, float t) {
  unary_backward_loop(op, dx, dy, kept, n, s, t);
}
void unary_backward(Unary op, bf16* dx, Elements<bf16> dy, Elements<bf16> kept, int64_t n, float s, float t) {
  unary_backward_loop(op, dx, dy, kept, n, s, t);
}
void binary_forward(Binary op, float* y, Elements<float> a, Elements<float> b, int64_t n) {
  binary_forward_loop(op, y, a, b, n);
}
void binary_forward(Binary op, bf16* y, Elements<bf16> a, Elements<bf16> b, int64_t n) {
  binary_forward_loop(op, y, a, b, n);
}
void binary_backward(Binary op, int input, float* dx, Elements<float> dy, Elements<float> a, Elements<float> b,
                     int64_t n) {
  binary_backward_loop(op, input, dx, dy, a, b, n);
}
void binary_backward(Binary op, int input, bf16* dx, Elements<bf16> dy, Elements<bf16> a, Elements<bf16> b, int64_t n) {
  binary_backward_loop(op, input, dx, dy, a, b, n);
}

}  // namespace vigor::VIGOR_ISA
