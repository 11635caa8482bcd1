#pragma once
// Sizes and strides: up to kMaxRank 64-bit numbers by value, so a view of a tensor is trivially copyable.
#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace vigor {

inline constexpr int kMaxRank = 8;

class Shape {
 public:
  Shape() = default;  // rank 0: a scalar, one element
  Shape(std::initializer_list<int64_t> sizes) : Shape(std::span<const int64_t>(sizes.begin(), sizes.size())) {}
  explicit Shape(std::span<const int64_t> sizes);  // throws std::invalid_argument above kMaxRank

  int rank() const { return rank_; }
  int64_t operator[](int dim) const { return values_[static_cast<size_t>(dim)]; }
  int64_t& operator[](int dim) { return values_[static_cast<size_t>(dim)]; }
  int64_t back() const { return values_[static_cast<size_t>(rank_ - 1)]; }
  const int64_t* begin() const { return values_.data(); }
  const int64_t* end() const { return values_.data() + rank_; }
  void push_back(int64_t size);
  void erase(int dim);
  void insert(int dim, int64_t size);
  int64_t numel() const;  // product of the sizes; 1 for rank 0
  bool operator==(const Shape& other) const;

 private:
  std::array<int64_t, kMaxRank> values_{};
  int rank_ = 0;
};

using Strides = Shape;  // in elements, one for each dimension

Strides contiguous_strides(const Shape& sizes);  // row-major
bool is_contiguous(const Shape& sizes, const Strides& strides);
// Product of the sizes, or a negative number when a size is negative or the product does not fit in 63 bits:
// for sizes that come from a file.
int64_t checked_numel(std::span<const int64_t> sizes);
// -1 counts from the end. Throws std::invalid_argument naming `op` when outside [-rank, rank).
int normalize_dim(int dim, int rank, const char* op);
// NumPy broadcasting: aligned at the last dimension, 1 stretches. Throws naming `op` when sizes differ.
Shape broadcast_shapes(const Shape& a, const Shape& b, const char* op);
std::string to_string(const Shape& shape);  // "[4,256,512]"

}  // namespace vigor
