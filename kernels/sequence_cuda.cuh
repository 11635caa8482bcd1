#pragma once
// The steps of all sequences of a batch, in device memory.
#include "tensor/cuda_kernel.cuh"

namespace vigor {

struct DeviceSequences {
  int64_t batch, steps;
  const int32_t* lengths;  // [B] or null
  const uint8_t* resets;   // [B,T] or null

  DeviceSequences(const TensorView& x, const TensorView& lengths_or_none, const TensorView& resets_or_none)
      : batch(x.sizes[0]),
        steps(x.sizes[1]),
        lengths(lengths_or_none.as<const int32_t>()),
        resets(resets_or_none.as<const uint8_t>()) {}

  // The host does not look at lengths on a GPU: those outside 0 .. T count as the nearest.
  __device__ int64_t length(int64_t b) const {
    if (lengths == nullptr) return steps;
    const int64_t given = lengths[b];
    return given < 0 ? 0 : given < steps ? given : steps;
  }
  __device__ bool is_reset(int64_t b, int64_t t) const { return resets != nullptr && resets[b * steps + t] != 0; }
};

// Rows [B,T,..] whose elements lie side by side; batch and steps with strides of their own.
template <class T>
struct DeviceRows {
  T* data;
  int64_t batch_stride, step_stride;

  explicit DeviceRows(const TensorView& x) : data(x.as<T>()), batch_stride(x.strides[0]), step_stride(x.strides[1]) {}
  __device__ T* row(int64_t b, int64_t t) const { return data + b * batch_stride + t * step_stride; }
};

// True when all rows of x can be read in 16-byte packs.
template <class T>
bool row_packs_fit(const TensorView& x) {
  constexpr int64_t N = kPackElements<T>;
  return packs_fit<T>(x.data, x.sizes.back()) && x.strides[0] % N == 0 && x.strides[1] % N == 0;
}

}  // namespace vigor
