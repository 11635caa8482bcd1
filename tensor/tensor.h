#pragma once
// The one public tensor type: a counted handle on storage, offset, sizes, strides and dtype, with one opaque slot that
// autograd fills. Copying a Tensor copies the handle: both see the same elements and the same gradient.
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tensor/philox.h"
#include "tensor/storage.h"
#include "tensor/view.h"

namespace vigor {

class AutogradSlot {
 public:
  virtual ~AutogradSlot() = default;
};

class Tensor {
 public:
  Tensor() = default;  // undefined: no elements, no shape
  Tensor(std::shared_ptr<Storage> storage, int64_t offset, const Shape& sizes, const Strides& strides, Dtype dtype);

  bool defined() const { return impl_ != nullptr; }
  explicit operator bool() const { return defined(); }

  const Shape& shape() const { return impl_->sizes; }
  const Strides& strides() const { return impl_->strides; }
  int rank() const { return impl_->sizes.rank(); }
  int64_t size(int dim) const;  // -1 is the last
  int64_t numel() const { return impl_->sizes.numel(); }
  size_t nbytes() const { return static_cast<size_t>(numel()) * size_of(dtype()); }
  Dtype dtype() const { return impl_->dtype; }
  Device device() const { return impl_->storage->device(); }
  bool is_contiguous() const { return vigor::is_contiguous(impl_->sizes, impl_->strides); }
  const std::shared_ptr<Storage>& storage() const { return impl_->storage; }
  int64_t offset() const { return impl_->offset; }  // of the first element in its storage, in elements

  TensorView view() const;
  operator TensorView() const { return view(); }  // NOLINT: launchers take views

  // First element. The type must be that of dtype(): throws std::invalid_argument otherwise.
  template <class T>
  T* data() const {
    require_dtype(dtype_of<T>);
    return static_cast<T*>(raw());
  }
  void* raw() const { return impl_->storage->data() + impl_->offset * static_cast<int64_t>(size_of(impl_->dtype)); }

  // Another window on the same storage, without a slot (no gradient flows through it).
  Tensor with_view(const TensorView& view) const;
  // The same elements without the slot.
  Tensor without_slot() const { return with_view(view()); }

  // Reading out, for tests, logs and files: any strides, converted to T.
  template <class T>
  T item() const;  // exactly one element
  template <class T>
  std::vector<T> to_vector() const;  // in row-major order

  AutogradSlot* slot() const { return impl_->slot.get(); }
  void set_slot(std::unique_ptr<AutogradSlot> slot) const { impl_->slot = std::move(slot); }
  bool same_as(const Tensor& other) const { return impl_ == other.impl_; }
  // True when nobody else can see these elements: this handle is the only one and no other view shares the storage.
  bool is_sole_owner() const { return impl_.use_count() == 1 && impl_->storage.use_count() == 1; }

 private:
  struct Impl {
    std::shared_ptr<Storage> storage;
    int64_t offset = 0;
    Shape sizes;
    Strides strides;
    Dtype dtype = Dtype::f32;
    std::unique_ptr<AutogradSlot> slot;
  };
  void require_dtype(Dtype wanted) const;

  std::shared_ptr<Impl> impl_;
};

// ---- making tensors; all contiguous ----
Tensor empty(const Shape& sizes, Dtype dtype = Dtype::f32, Device device = kCpu);  // uninitialised
Tensor zeros(const Shape& sizes, Dtype dtype = Dtype::f32, Device device = kCpu);
Tensor full(const Shape& sizes, double value, Dtype dtype = Dtype::f32, Device device = kCpu);
Tensor empty_like(const Tensor& x);
Tensor zeros_like(const Tensor& x);
Tensor clone(const Tensor& x);                     // a contiguous copy without gradient history
Tensor to_device(const Tensor& x, Device device);  // x itself if it is there, else a contiguous copy without history
Tensor normal(const Shape& sizes, double mean, double stddev, const RandomKey& key, Dtype dtype = Dtype::f32,
              Device device = kCpu);
Tensor uniform(const Shape& sizes, double low, double high, const RandomKey& key, Dtype dtype = Dtype::f32,
               Device device = kCpu);
// A copy of `values` (row-major); sizes.numel() must be their number.
template <class T>
Tensor from_values(std::span<const T> values, const Shape& sizes);
template <class T>
Tensor from_values(const std::vector<T>& values, const Shape& sizes) {
  return from_values(std::span<const T>(values), sizes);
}
// Somebody else's memory (a mapped file), kept by `owner`. Must be aligned for dtype.
Tensor from_memory(void* data, const Shape& sizes, Dtype dtype, std::shared_ptr<const void> owner);

// "[4,256,512] f32 on cpu": what error messages show.
std::string describe(const Tensor& x);
// Values as nested brackets; long dimensions show their first and last three entries.
std::string to_string(const Tensor& x);

}  // namespace vigor
