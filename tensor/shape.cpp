#include "tensor/shape.h"

#include <algorithm>

#include "tensor/check.h"

namespace vigor {

Shape::Shape(std::span<const int64_t> sizes) {
  for (int64_t size : sizes) push_back(size);
}

void Shape::push_back(int64_t size) { insert(rank_, size); }

void Shape::insert(int dim, int64_t size) {
  check(rank_ < kMaxRank, "shape: at most {} dimensions are supported", kMaxRank);
  for (int i = rank_; i > dim; --i) (*this)[i] = (*this)[i - 1];
  (*this)[dim] = size;
  ++rank_;
}

void Shape::erase(int dim) {
  for (int i = dim; i + 1 < rank_; ++i) (*this)[i] = (*this)[i + 1];
  --rank_;
  (*this)[rank_] = 0;
}

int64_t Shape::numel() const {
  int64_t n = 1;
  for (int64_t size : *this) n *= size;
  return n;
}

bool Shape::operator==(const Shape& other) const {
  return rank_ == other.rank_ && std::equal(begin(), end(), other.begin());
}

Strides contiguous_strides(const Shape& sizes) {
  Strides strides = sizes;
  int64_t step = 1;
  for (int dim = sizes.rank() - 1; dim >= 0; --dim) {
    strides[dim] = step;
    step *= sizes[dim];
  }
  return strides;
}

bool is_contiguous(const Shape& sizes, const Strides& strides) {
  int64_t step = 1;
  for (int dim = sizes.rank() - 1; dim >= 0; --dim) {
    if (sizes[dim] == 0) return true;
    if (sizes[dim] != 1 && strides[dim] != step) return false;
    step *= sizes[dim];
  }
  return true;
}

int64_t checked_numel(std::span<const int64_t> sizes) {
  int64_t n = 1;
  for (int64_t size : sizes)
    if (size < 0 || __builtin_mul_overflow(n, size, &n)) return -1;
  return n;
}

int normalize_dim(int dim, int rank, const char* op) {
  check(dim >= -rank && dim < rank, "{}: dimension must be in [{}, {}); got {}", op, -rank, rank, dim);
  return dim < 0 ? dim + rank : dim;
}

Shape broadcast_shapes(const Shape& a, const Shape& b, const char* op) {
  const int rank = std::max(a.rank(), b.rank());
  Shape out;
  for (int dim = 0; dim < rank; ++dim) {
    const int ia = dim - (rank - a.rank());
    const int ib = dim - (rank - b.rank());
    const int64_t na = ia < 0 ? 1 : a[ia];
    const int64_t nb = ib < 0 ? 1 : b[ib];
    if (na != nb && na != 1 && nb != 1)
      fail("{}: sizes must be equal or 1 from the last dimension backwards; got {} and {}", op, to_string(a),
           to_string(b));
    out.push_back(na == 1 ? nb : na);
  }
  return out;
}

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (int dim = 0; dim < shape.rank(); ++dim) {
    if (dim > 0) text += ',';
    text += std::to_string(shape[dim]);
  }
  return text + "]";
}

}  // namespace vigor
