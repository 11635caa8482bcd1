#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/parallel.h"
#include "kernels/rope/rope_kernels.h"
#include "kernels/rope/rope_simd.h"
#include "tensor/dtype.h"

namespace vigor {
namespace {

int64_t position_of(const RopeInputs& in, int64_t b, int64_t t) {
  return (in.offsets.defined() ? in.offsets.as<int32_t>()[b] : 0) + t;
}

// ---- the definition, in f64 ----

void turn_step(const RopeInputs& in, const RopeAngles& angles, int64_t position, double* y, const double* x) {
  const int64_t H = in.x.sizes[2], pairs = in.x.sizes[3] / 2;
  for (int64_t j = 0; j < pairs; ++j) {
    const double exact =
        static_cast<double>(position) * std::pow(in.theta, -static_cast<double>(j) / static_cast<double>(pairs));
    const double a = in.transformers_angles ? static_cast<float>(position) * angles.radians[j] : exact;
    const double cosine = in.scale * std::cos(a), sine = in.scale * std::sin(in.negative ? -a : a);
    for (int64_t head = 0; head < H; ++head) {
      const double first = x[head * in.x.strides[2] + j], second = x[head * in.x.strides[2] + pairs + j];
      y[head * 2 * pairs + j] = first * cosine - second * sine;
      y[head * 2 * pairs + pairs + j] = second * cosine + first * sine;
    }
  }
}

// ---- f32 and bf16 ----

template <class T>
void turn_step(const RopeInputs& in, const RopeAngles& angles, int64_t position, T* y, const T* x) {
  const int64_t pairs = in.x.sizes[3] / 2;
  uint32_t turn[kRopeMaxPairs];
  float cosines[kRopeMaxPairs], sines[kRopeMaxPairs];
  for (int64_t j = 0; j < pairs; ++j) turn[j] = angles.turn(position, j);
  const RopeStep<T> step{
      in.x.sizes[2], pairs, y, x, in.x.strides[2], turn, cosines, sines, static_cast<float>(in.scale), in.negative};
  VIGOR_PICK(rope_step)(step);
}

}  // namespace

RopeAngles rope_angles(double theta, int64_t pairs, bool transformers) {
  RopeAngles angles{};
  angles.transformers = transformers;
  for (int64_t j = 0; j < pairs; ++j) {
    const double exponent = static_cast<double>(j) / static_cast<double>(pairs);
    if (transformers) {  // there theta and the exponent are float32, and so are the power and its reciprocal
      angles.radians[j] =
          1.0f / static_cast<float>(std::pow(static_cast<float>(theta), double{static_cast<float>(exponent)}));
    } else {
      const double turns = std::pow(theta, -exponent) / (2 * std::numbers::pi);
      angles.turns[j] = static_cast<uint64_t>(std::ldexp(turns - std::floor(turns), 64));
    }
  }
  return angles;
}

void rope_cpu(const RopeInputs& in, const TensorView& y) {
  const int64_t B = y.sizes[0], T = y.sizes[1], step = y.sizes[2] * y.sizes[3];
  if (y.numel() == 0) return;
  const RopeAngles angles = rope_angles(in.theta, y.sizes[3] / 2, in.transformers_angles);
  visit_float(y.dtype, "rope", [&]<class X>() {
    parallel_blocks(B * T, std::max<int64_t>(1, kElementsPerBlock / step), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t b = i / T, t = i % T;
        turn_step(in, angles, position_of(in, b, t), y.as<X>() + i * step,
                  in.x.as<const X>() + b * in.x.strides[0] + t * in.x.strides[1]);
      }
    });
  });
}

}  // namespace vigor
