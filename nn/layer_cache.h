#pragma once
// What a layer remembers of the tokens it has seen, so that the next token costs the same whatever came before it.
#include <cstdint>
#include <span>
#include <vector>

#include "tensor/tensor.h"

namespace vigor {

// Any number of tensors with the batch as first dimension. Only the mixer that made them knows which is which: a
// recurrent state [B, ...], or keys and values [B, capacity, H, P] of which TokenPositions says how many are valid.
// Copying a LayerCache shares the tensors; clone() copies them.
struct LayerCache {
  std::vector<Tensor> tensors;

  LayerCache clone() const;
  // Row i of the result is row rows[i] of this one; rows may repeat (several continuations of one prompt).
  LayerCache select_rows(std::span<const int64_t> rows) const;
  // Row `to` becomes a copy of row `from` of `source`, a cache of the same layer and capacity.
  void assign_row(int64_t to, const LayerCache& source, int64_t from);
  size_t nbytes() const;
};

// Where the tokens of one call stand in their sequences: row b of x [B,T,C] holds lengths[b] tokens at positions
// offsets[b].., and padding after them.
struct TokenPositions {
  // Throws std::invalid_argument when a length is not in 1..T or the two differ in number.
  TokenPositions(std::span<const int32_t> offsets, std::span<const int32_t> lengths, int64_t T, Device device = kCpu);

  // For kernels, on the device of the model.
  Tensor offsets;   // i32 [B]
  Tensor lengths;   // i32 [B]
  Tensor ends;      // i32 [B]: offsets + lengths, what the caches hold after the call
  int64_t max_end;  // the largest of them
  // For the host, the same numbers.
  std::vector<int32_t> host_offsets, host_lengths;
};

}  // namespace vigor
