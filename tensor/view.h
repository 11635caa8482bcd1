#pragma once
// What kernels' launchers receive: a pointer with sizes, strides and dtype, by value. A view owns nothing and knows
// nothing of gradients. The functions make other views of the same memory; none copies.
#include <optional>
#include <span>

#include "tensor/device.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace vigor {

struct TensorView {
  void* data = nullptr;
  Shape sizes;
  Strides strides;  // in elements; 0 where a dimension was expanded
  Dtype dtype = Dtype::f32;
  Device device;

  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
  bool defined() const { return data != nullptr; }
  int rank() const { return sizes.rank(); }
  int64_t numel() const { return sizes.numel(); }
  bool is_contiguous() const { return vigor::is_contiguous(sizes, strides); }
};

// All throw std::invalid_argument naming `op` when the arguments do not fit.
TensorView permuted(const TensorView& x, std::span<const int> dims, const char* op);
TensorView sliced(const TensorView& x, int dim, int64_t start, int64_t end, int64_t step, const char* op);
TensorView expanded(const TensorView& x, const Shape& sizes, const char* op);  // size 1 -> n with stride 0
// The same elements under other sizes; none when the strides do not allow it without a copy, or their number differs.
std::optional<TensorView> reshaped(const TensorView& x, const Shape& sizes);

}  // namespace vigor
