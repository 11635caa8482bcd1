#include <algorithm>

#include "kernels/index/index_kernels.h"
#include "kernels/parallel.h"
#include "tensor/dtype.h"
#include "tensor/strided_loop.h"

namespace vigor {
namespace {

template <class F>
void visit_ids(Dtype dtype, F&& f) {
  if (dtype == Dtype::i32) return f.template operator()<int32_t>();
  f.template operator()<int64_t>();
}

// The dimensions but `dim` as a loop over the sizes of ids: picked is the tensor with ids' sizes, source the other.
StridedLoop<3> lines_of(const TensorView& picked, const TensorView& source, const TensorView& ids, int dim) {
  Shape sizes = ids.sizes;
  std::array<Strides, 3> strides{picked.strides, source.strides, ids.strides};
  sizes.erase(dim);
  for (Strides& s : strides) s.erase(dim);
  return StridedLoop<3>(sizes, strides);
}

// Calls f(picked offset, source offset, ids offset, lines) for groups of neighbouring lines along dim; no two threads
// get the same line.
template <class F>
void parallel_lines(const StridedLoop<3>& loop, int64_t length, F&& f) {
  constexpr int64_t kWidth = 64;
  const int64_t n = loop.row_length();
  const int64_t groups = (n + kWidth - 1) / kWidth;
  const int64_t elements = std::max<int64_t>(1, length * std::min(kWidth, n));
  parallel_blocks(loop.rows() * groups, std::max<int64_t>(1, kElementsPerBlock / elements),
                  [&](int64_t begin, int64_t end) {
                    for (int64_t i = begin; i < end; ++i) {
                      const auto at = loop.row_offsets(i / groups);
                      const int64_t line = i % groups * kWidth;
                      f(at[0] + line * loop.inner_stride(0), at[1] + line * loop.inner_stride(1),
                        at[2] + line * loop.inner_stride(2), std::min(kWidth, n - line));
                    }
                  });
}

template <class T, class Id>
void gather_values(const TensorView& y, const TensorView& x, int dim, const TensorView& ids) {
  const StridedLoop<3> loop = lines_of(y, x, ids, dim);
  const int64_t length = ids.sizes[dim];
  const int64_t y_line = loop.inner_stride(0), x_line = loop.inner_stride(1), id_line = loop.inner_stride(2);
  parallel_lines(loop, length, [&](int64_t to, int64_t from, int64_t id_at, int64_t lines) {
    for (int64_t j = 0; j < length; ++j) {
      T* out = y.as<T>() + to + j * y.strides[dim];
      const T* in = x.as<T>() + from;
      const Id* id = ids.as<Id>() + id_at + j * ids.strides[dim];
      for (int64_t k = 0; k < lines; ++k) out[k * y_line] = in[id[k * id_line] * x.strides[dim] + k * x_line];
    }
  });
}

template <class Sum, class T, class Id>
void scatter_add(const TensorView& dx, const TensorView& dy, int dim, const TensorView& ids) {
  const StridedLoop<3> loop = lines_of(dy, dx, ids, dim);
  const int64_t length = ids.sizes[dim];
  const int64_t dy_line = loop.inner_stride(0), dx_line = loop.inner_stride(1), id_line = loop.inner_stride(2);
  parallel_lines(loop, length, [&](int64_t from, int64_t to, int64_t id_at, int64_t lines) {
    for (int64_t j = 0; j < length; ++j) {
      const T* in = dy.as<T>() + from + j * dy.strides[dim];
      Sum* out = dx.as<Sum>() + to;
      const Id* id = ids.as<Id>() + id_at + j * ids.strides[dim];
      for (int64_t k = 0; k < lines; ++k)
        out[id[k * id_line] * dx.strides[dim] + k * dx_line] += static_cast<Sum>(in[k * dy_line]);
    }
  });
}

}  // namespace

int64_t first_out_of_range_cpu(const TensorView& ids, int64_t size) {
  int64_t found = -1;
  visit_ids(ids.dtype, [&]<class Id>() {
    const StridedLoop<1> loop(ids.sizes, {ids.strides});
    const int64_t n = loop.row_length();
    for (int64_t row = 0; row < loop.rows() && found < 0; ++row) {
      const Id* id = ids.as<Id>() + loop.row_offsets(row)[0];
      for (int64_t i = 0; i < n && found < 0; ++i) {
        const int64_t value = id[i * loop.inner_stride(0)];
        if (value < 0 || value >= size) found = row * n + i;
      }
    }
  });
  return found;
}

void gather_cpu(const TensorView& y, const TensorView& x, int dim, const TensorView& ids) {
  visit_any(y.dtype,
            [&]<class T>() { visit_ids(ids.dtype, [&]<class Id>() { gather_values<T, Id>(y, x, dim, ids); }); });
}

void gather_backward_cpu(const TensorView& dx, const TensorView& dy, int dim, const TensorView& ids) {
  visit_float(dy.dtype, "gather_backward", [&]<class T>() {
    visit_ids(ids.dtype, [&]<class Id>() { scatter_add<Accumulator<T>, T, Id>(dx, dy, dim, ids); });
  });
}

}  // namespace vigor
