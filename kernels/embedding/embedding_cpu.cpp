#include <algorithm>
#include <cstring>
#include <numeric>

#include "kernels/embedding/embedding_kernels.h"
#include "kernels/parallel.h"

namespace vigor {
namespace {

constexpr int64_t kRowsPerBlock = 32;

template <class T>
void forward(T* y, const int64_t* ids, const T* weight, const int64_t* position_ids, const T* positions, int64_t rows,
             int64_t columns) {
  using Acc = Accumulator<T>;
  parallel_row_blocks(rows, columns, kRowsPerBlock, [=](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* token = weight + ids[row] * columns;
      T* out = y + row * columns;
      if (positions == nullptr) {
        std::memcpy(out, token, static_cast<size_t>(columns) * sizeof(T));
        continue;
      }
      const T* position = positions + position_ids[row] * columns;
      for (int64_t c = 0; c < columns; ++c) out[c] = T(static_cast<Acc>(token[c]) + static_cast<Acc>(position[c]));
    }
  });
}

// out [C] += the rows order[begin..end) of dy, in pieces that fit on the stack, so that bf16 is rounded once.
template <class T>
void add_rows(T* out, const T* dy, const int64_t* order, int64_t begin, int64_t end, int64_t columns) {
  using Acc = Accumulator<T>;
  constexpr int64_t kPiece = 256;
  for (int64_t first = 0; first < columns; first += kPiece) {
    const int64_t n = std::min(kPiece, columns - first);
    Acc sum[kPiece];
    for (int64_t c = 0; c < n; ++c) sum[c] = static_cast<Acc>(out[first + c]);
    for (int64_t i = begin; i < end; ++i) {
      const T* row = dy + order[i] * columns + first;
      for (int64_t c = 0; c < n; ++c) sum[c] += static_cast<Acc>(row[c]);
    }
    for (int64_t c = 0; c < n; ++c) out[first + c] = T(sum[c]);
  }
}

void clear(const TensorView& x) {
  const int64_t nbytes = x.numel() * static_cast<int64_t>(size_of(x.dtype));
  constexpr int64_t kBlock = 1 << 20;
  parallel_blocks(nbytes, kBlock, [&](int64_t begin, int64_t end) {
    std::memset(x.as<char>() + begin, 0, static_cast<size_t>(end - begin));
  });
}

}  // namespace

void embedding_forward_cpu(const TensorView& y, const TensorView& ids, const TensorView& weight,
                           const TensorView& position_ids, const TensorView& positions) {
  visit_float(y.dtype, "embedding", [&]<class T>() {
    forward(y.as<T>(), ids.as<int64_t>(), weight.as<T>(), position_ids.as<int64_t>(), positions.as<T>(), ids.numel(),
            weight.sizes[1]);
  });
}

// Tokens are sorted by id, and every run of equal ids, which is one row of the table, belongs to one thread.
void embedding_backward_cpu(const GradientView& dtable, const TensorView& order, const TensorView& dy,
                            const TensorView& ids) {
  if (!dtable.accumulate) clear(dtable.view);
  const int64_t rows = ids.numel(), columns = dtable.view.sizes[1];
  const int64_t* id = ids.as<int64_t>();
  int64_t* sorted = order.as<int64_t>();
  std::iota(sorted, sorted + rows, int64_t{0});
  std::sort(sorted, sorted + rows, [id](int64_t a, int64_t b) { return id[a] != id[b] ? id[a] < id[b] : a < b; });
  visit_float(dtable.view.dtype, "embedding_backward", [&]<class T>() {
    parallel_row_blocks(rows, columns, kRowsPerBlock, [&](int64_t block_begin, int64_t block_end) {
      for (int64_t begin = block_begin; begin < block_end; ++begin) {  // a run belongs to the block it begins in
        const int64_t v = id[sorted[begin]];
        if (begin > 0 && id[sorted[begin - 1]] == v) continue;
        int64_t end = begin + 1;
        while (end < rows && id[sorted[end]] == v) ++end;
        add_rows(dtable.view.as<T>() + v * columns, dy.as<T>(), sorted, begin, end, columns);
      }
    });
  });
}

}  // namespace vigor
