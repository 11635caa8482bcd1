#include "tensor/tensor.h"

#include <cstring>

#include "tensor/primitives.h"

namespace vigor {

Tensor::Tensor(std::shared_ptr<Storage> storage, int64_t offset, const Shape& sizes, const Strides& strides,
               Dtype dtype)
    : impl_(std::make_shared<Impl>()) {
  impl_->storage = std::move(storage);
  impl_->offset = offset;
  impl_->sizes = sizes;
  impl_->strides = strides;
  impl_->dtype = dtype;
}

int64_t Tensor::size(int dim) const { return shape()[normalize_dim(dim, rank(), "size")]; }

TensorView Tensor::view() const { return {raw(), impl_->sizes, impl_->strides, impl_->dtype, device()}; }

void Tensor::require_dtype(Dtype wanted) const {
  if (dtype() != wanted) fail("data: tensor is {}; it was read as {}", describe(*this), name_of(wanted));
}

Tensor Tensor::with_view(const TensorView& view) const {
  const auto bytes = static_cast<std::byte*>(view.data) - impl_->storage->data();
  return Tensor(impl_->storage, bytes / static_cast<int64_t>(size_of(view.dtype)), view.sizes, view.strides,
                view.dtype);
}

template <class T>
std::vector<T> Tensor::to_vector() const {
  std::vector<T> values(static_cast<size_t>(numel()));
  const TensorView target{values.data(), shape(), contiguous_strides(shape()), dtype_of<T>, kCpu};
  copy(target, view());
  return values;
}

template <class T>
T Tensor::item() const {
  if (numel() != 1) fail("item: the tensor must have exactly one element; got {}", describe(*this));
  return to_vector<T>()[0];
}

#define VIGOR_FOR_EACH_TYPE(X) X(float) X(double) X(bf16) X(f16) X(int32_t) X(int64_t) X(uint8_t)
#define VIGOR_INSTANTIATE(T)                         \
  template std::vector<T> Tensor::to_vector() const; \
  template T Tensor::item() const;                   \
  template Tensor from_values(std::span<const T>, const Shape&);

Tensor empty(const Shape& sizes, Dtype dtype, Device device) {
  const int64_t count = checked_numel({sizes.begin(), sizes.end()});
  int64_t nbytes = 0;
  if (count < 0 || __builtin_mul_overflow(count, static_cast<int64_t>(size_of(dtype)), &nbytes))
    fail("empty: sizes must be at least 0 and their product must fit in 63 bits; got {}", to_string(sizes));
  return Tensor(std::make_shared<Storage>(static_cast<size_t>(nbytes), device), 0, sizes, contiguous_strides(sizes),
                dtype);
}

Tensor full(const Shape& sizes, double value, Dtype dtype, Device device) {
  Tensor x = empty(sizes, dtype, device);
  fill(x, value);
  return x;
}

Tensor zeros(const Shape& sizes, Dtype dtype, Device device) { return full(sizes, 0.0, dtype, device); }
Tensor empty_like(const Tensor& x) { return empty(x.shape(), x.dtype(), x.device()); }
Tensor zeros_like(const Tensor& x) { return zeros(x.shape(), x.dtype(), x.device()); }

Tensor clone(const Tensor& x) {
  Tensor y = empty_like(x);
  copy(y, x);
  return y;
}

Tensor to_device(const Tensor& x, Device device) {
  if (!x.defined() || x.device() == device) return x;
  Tensor y = empty(x.shape(), x.dtype(), device);
  copy(y, x);
  return y;
}

Tensor normal(const Shape& sizes, double mean, double stddev, const RandomKey& key, Dtype dtype, Device device) {
  Tensor x = empty(sizes, dtype, device);
  fill_normal(x, mean, stddev, key);
  return x;
}

Tensor uniform(const Shape& sizes, double low, double high, const RandomKey& key, Dtype dtype, Device device) {
  Tensor x = empty(sizes, dtype, device);
  fill_uniform(x, low, high, key);
  return x;
}

template <class T>
Tensor from_values(std::span<const T> values, const Shape& sizes) {
  check(sizes.numel() == static_cast<int64_t>(values.size()), "from_values: {} values were given for sizes {}",
        values.size(), to_string(sizes));
  Tensor x = empty(sizes, dtype_of<T>);
  if (!values.empty()) std::memcpy(x.raw(), values.data(), values.size_bytes());
  return x;
}

Tensor from_memory(void* data, const Shape& sizes, Dtype dtype, std::shared_ptr<const void> owner) {
  check(reinterpret_cast<uintptr_t>(data) % size_of(dtype) == 0, "from_memory: the address is not aligned for {}",
        name_of(dtype));
  const size_t nbytes = static_cast<size_t>(sizes.numel()) * size_of(dtype);
  return Tensor(std::make_shared<Storage>(data, nbytes, kCpu, std::move(owner)), 0, sizes, contiguous_strides(sizes),
                dtype);
}

std::string describe(const Tensor& x) {
  if (!x.defined()) return "undefined";
  return fmt::format("{} {} on {}", to_string(x.shape()), name_of(x.dtype()), to_string(x.device()));
}

namespace {

constexpr int64_t kEdgeItems = 3;

std::string shown(double value) { return fmt::format("{:10.4g}", value); }
std::string shown(int64_t value) { return fmt::format("{:d}", value); }

template <class T>
void print_dim(std::string& out, const std::vector<T>& values, const Tensor& x, int dim, int64_t first) {
  if (dim == x.rank()) {
    out += shown(values[static_cast<size_t>(first)]);
    return;
  }
  int64_t step = 1;
  for (int d = dim + 1; d < x.rank(); ++d) step *= x.shape()[d];
  const int64_t size = x.shape()[dim];
  const bool last = dim + 1 == x.rank();
  const std::string separator = last ? ", " : ",\n" + std::string(static_cast<size_t>(dim) + 1, ' ');
  out += '[';
  for (int64_t i = 0; i < size; ++i) {
    if (i > 0) out += separator;
    if (size > 2 * kEdgeItems && i == kEdgeItems) {
      out += "...";
      i = size - kEdgeItems - 1;
      continue;
    }
    print_dim(out, values, x, dim + 1, first + i * step);
  }
  out += ']';
}

}  // namespace

std::string to_string(const Tensor& x) {
  if (!x.defined()) return "undefined tensor";
  std::string out;
  if (is_floating(x.dtype())) print_dim(out, x.to_vector<double>(), x, 0, 0);
  else print_dim(out, x.to_vector<int64_t>(), x, 0, 0);
  return out + "  " + describe(x);
}

VIGOR_FOR_EACH_TYPE(VIGOR_INSTANTIATE)

}  // namespace vigor
