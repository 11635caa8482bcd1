#include "tensor/primitives.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tensor/check.h"
#include "tensor/op_scope.h"
#include "tensor/primitives_cuda.h"
#include "tensor/strided_loop.h"
#include "tensor/tensor.h"
#include "tensor/threads.h"

namespace vigor {
namespace {

constexpr int64_t kParallelElements = 1 << 15;  // below this starting threads costs more than it saves

template <class To, class From>
To convert(From value) {
  if constexpr (std::is_same_v<To, From>) return value;
  else if constexpr (std::is_same_v<From, bf16> || std::is_same_v<From, f16>)
    return convert<To>(static_cast<float>(value));
  else if constexpr (std::is_same_v<To, bf16> || std::is_same_v<To, f16>) return To(static_cast<float>(value));
  else return static_cast<To>(value);
}

// Calls f(offsets, n) for stretches that cover the loop once, shared out among the threads: element i < n of operand k
// is at offsets[k] + i * loop.inner_stride(k). A single long row is cut, so that there is something to share.
template <int N, class F>
void for_each_stretch(const StridedLoop<N>& loop, F&& f) {
  const int64_t n = loop.row_length();
  const int64_t rows = loop.rows();
  const int64_t cuts = rows == 1 ? std::max<int64_t>(1, n / kParallelElements) : 1;
  parallel_for(rows * cuts, rows * n > kParallelElements, [&](int64_t i) {
    std::array<int64_t, N> offsets = loop.row_offsets(i / cuts);
    const int64_t begin = n * (i % cuts) / cuts;
    const int64_t end = n * (i % cuts + 1) / cuts;
    for (int k = 0; k < N; ++k) offsets[static_cast<size_t>(k)] += begin * loop.inner_stride(k);
    f(offsets, end - begin);
  });
}

template <class T>
void fill_values(const TensorView& y, T value) {
  const StridedLoop<1> loop(y.sizes, {y.strides});
  const int64_t step = loop.inner_stride(0);
  for_each_stretch(loop, [&](const std::array<int64_t, 1>& at, int64_t n) {
    T* out = y.as<T>() + at[0];
    for (int64_t i = 0; i < n; ++i) out[i * step] = value;
  });
}

// Copies matrices of the dimensions (dim, last), contiguous along the last in y and along `dim` in x, in square tiles,
// so that each cache line that is read or written is used in full while it is there.
template <class To, class From>
void copy_transposed(To* y, const From* x, const StridedLoop<2>& loop, int dim) {
  constexpr int64_t kTile = 32;
  const int64_t rows = loop.sizes[dim];
  const int64_t columns = loop.row_length();
  const int64_t y_row = loop.strides[0][dim];
  const int64_t x_column = loop.inner_stride(1);
  const int64_t bands = (rows + kTile - 1) / kTile;
  Shape others = loop.sizes;
  others[dim] = others[others.rank() - 1] = 1;
  const StridedLoop<2> matrices(others, loop.strides);
  const int64_t count = matrices.row_length();
  parallel_for(others.numel() * bands, rows * columns * others.numel() > kParallelElements, [&](int64_t task) {
    const int64_t matrix = task / bands;
    const auto at = matrices.row_offsets(matrix / count);
    To* out = y + at[0] + matrix % count * matrices.inner_stride(0);
    const From* in = x + at[1] + matrix % count * matrices.inner_stride(1);
    const int64_t first_row = task % bands * kTile;
    const int64_t end_row = std::min(rows, first_row + kTile);
    for (int64_t first = 0; first < columns; first += kTile)
      for (int64_t row = first_row; row < end_row; ++row)
        for (int64_t c = first; c < std::min(columns, first + kTile); ++c)
          out[row * y_row + c] = convert<To>(in[row + c * x_column]);
  });
}

template <class To, class From>
void copy_values(const TensorView& y, const TensorView& x) {
  const StridedLoop<2> loop(y.sizes, {y.strides, x.strides});
  if (const int dim = transposed_dim(loop); dim >= 0) return copy_transposed(y.as<To>(), x.as<From>(), loop, dim);
  const int64_t to = loop.inner_stride(0);
  const int64_t from = loop.inner_stride(1);
  for_each_stretch(loop, [&](const std::array<int64_t, 2>& at, int64_t n) {
    To* out = y.as<To>() + at[0];
    const From* in = x.as<From>() + at[1];
    if (to != 1 || from != 1) {
      for (int64_t i = 0; i < n; ++i) out[i * to] = convert<To>(in[i * from]);
    } else if constexpr (std::is_same_v<To, From>) {
      std::memcpy(out, in, static_cast<size_t>(n) * sizeof(To));
    } else {
      for (int64_t i = 0; i < n; ++i) out[i] = convert<To>(in[i]);
    }
  });
}

template <class T>
void accumulate_values(const TensorView& y, const TensorView& x) {
  using Acc = Accumulator<T>;
  const StridedLoop<2> loop(y.sizes, {y.strides, x.strides});
  const int64_t to = loop.inner_stride(0);
  const int64_t from = loop.inner_stride(1);
  const auto sum = [](T a, T b) { return T(static_cast<Acc>(a) + static_cast<Acc>(b)); };
  for_each_stretch(loop, [&](const std::array<int64_t, 2>& at, int64_t n) {
    T* out = y.as<T>() + at[0];
    const T* in = x.as<T>() + at[1];
    if (to == 1 && from == 1) {
      for (int64_t i = 0; i < n; ++i) out[i] = sum(out[i], in[i]);
    } else {
      for (int64_t i = 0; i < n; ++i) out[i * to] = sum(out[i * to], in[i * from]);
    }
  });
}

template <class F>
void fill_random(const TensorView& y, const char* op, F value_of) {
  visit_float(y.dtype, op, [&]<class T>() {
    const StridedLoop<1> loop(y.sizes, {y.strides});
    const int64_t n = loop.row_length();
    const int64_t step = loop.inner_stride(0);
    for (int64_t row = 0; row < loop.rows(); ++row) {
      T* out = y.as<T>() + loop.row_offsets(row)[0];
      parallel_for(n, n > kParallelElements,
                   [&](int64_t i) { out[i * step] = convert<T>(value_of(static_cast<uint64_t>(row * n + i))); });
    }
  });
}

void fill_cpu(const TensorView& y, double value) {
  if (value == 0.0 && y.is_contiguous()) {
    std::memset(y.data, 0, static_cast<size_t>(y.numel()) * size_of(y.dtype));
    return;
  }
  visit_any(y.dtype, [&]<class T>() { fill_values<T>(y, convert<T>(value)); });
}

void copy_cpu(const TensorView& y, const TensorView& x) {
  visit_any(y.dtype, [&]<class To>() { visit_any(x.dtype, [&]<class From>() { copy_values<To, From>(y, x); }); });
}

double nbytes_of(const TensorView& x) { return static_cast<double>(x.numel()) * static_cast<double>(size_of(x.dtype)); }

// Between host and GPU only contiguous elements of one dtype travel: the rest is arranged on either side.
void copy_between(const TensorView& y, const TensorView& x) {
  const auto staging = [](const TensorView& like, Dtype dtype) { return empty(like.sizes, dtype, like.device); };
  if (!x.is_contiguous() || x.dtype != y.dtype) {
    const Tensor arranged = staging(x, y.dtype);
    copy(arranged, x);
    return copy_between(y, arranged);
  }
  if (!y.is_contiguous()) {
    const Tensor arrived = staging(y, y.dtype);
    copy_between(arrived, x);
    return copy(y, arrived);
  }
  if constexpr (kCudaBuild) transfer_cuda(y, x);
}

}  // namespace

void fill(const TensorView& y, double value) {
  if (y.numel() == 0) return;
  const OpScope scope({"fill", 0, nbytes_of(y)}, {&y});
  switch (y.device.kind) {
    case DeviceKind::cpu:
      return fill_cpu(y, value);
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) return fill_cuda(y, value);
      else unsupported_device("fill", y.device);
  }
}

void copy(const TensorView& y, const TensorView& x) {
  if (!(y.sizes == x.sizes)) fail("copy: sizes must agree; got {} from {}", to_string(y.sizes), to_string(x.sizes));
  if (y.numel() == 0) return;
  const OpScope scope({"copy", 0, nbytes_of(y) + nbytes_of(x)}, {&y, &x});
  if (y.device != x.device) return copy_between(y, x);
  switch (y.device.kind) {
    case DeviceKind::cpu:
      return copy_cpu(y, x);
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) return copy_cuda(y, x);
      else unsupported_device("copy", y.device);
  }
}

void accumulate(const TensorView& y, const TensorView& x) {
  if (!(y.sizes == x.sizes) || y.dtype != x.dtype || y.device != x.device)
    fail("accumulate: sizes, dtypes and devices must agree; got {} {} on {} += {} {} on {}", to_string(y.sizes),
         name_of(y.dtype), to_string(y.device), to_string(x.sizes), name_of(x.dtype), to_string(x.device));
  if (y.numel() == 0) return;
  const OpScope scope({"accumulate", static_cast<double>(y.numel()), 3 * nbytes_of(y)}, {&y, &x});
  switch (y.device.kind) {
    case DeviceKind::cpu:
      return visit_float(y.dtype, "accumulate", [&]<class T>() { accumulate_values<T>(y, x); });
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) return accumulate_cuda(y, x);
      else unsupported_device("accumulate", y.device);
  }
}

void fill_normal(const TensorView& y, double mean, double stddev, const RandomKey& key) {
  if (y.numel() == 0) return;
  switch (y.device.kind) {
    case DeviceKind::cpu:
      return fill_random(y, "fill_normal",
                         [=](uint64_t element) { return mean + stddev * random_normal(key, element); });
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) return fill_normal_cuda(y, mean, stddev, key);
      else unsupported_device("fill_normal", y.device);
  }
}

void fill_uniform(const TensorView& y, double low, double high, const RandomKey& key) {
  if (y.numel() == 0) return;
  switch (y.device.kind) {
    case DeviceKind::cpu:
      return fill_random(y, "fill_uniform",
                         [=](uint64_t element) { return low + (high - low) * random_uniform(key, element); });
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) return fill_uniform_cuda(y, low, high, key);
      else unsupported_device("fill_uniform", y.device);
  }
}

int64_t first_non_finite(const TensorView& x) {
  if (!is_floating(x.dtype)) return -1;
  if (!x.device.is_cpu()) {  // a question of anomaly mode, which may be slow
    const Tensor on_host = empty(x.sizes, x.dtype);
    copy(on_host, x);
    return first_non_finite(on_host);
  }
  int64_t found = -1;
  visit_any(x.dtype, [&]<class T>() {
    const StridedLoop<1> loop(x.sizes, {x.strides});
    const int64_t n = loop.row_length();
    const int64_t step = loop.inner_stride(0);
    for (int64_t row = 0; row < loop.rows() && found < 0; ++row) {
      const T* in = x.as<T>() + loop.row_offsets(row)[0];
      for (int64_t i = 0; i < n && found < 0; ++i)
        if (!std::isfinite(convert<double>(in[i * step]))) found = row * n + i;
    }
  });
  return found;
}

}  // namespace vigor
