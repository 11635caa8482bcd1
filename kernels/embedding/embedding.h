#pragma once
// Rows of a table, chosen by ids; with learned positions added.
//
//   embedding                  forward    y[i] = weight[ids[i]]
//                              backward   dweight[v] = sum of dy[i] over all i with ids[i] = v
//   embedding_with_positions   forward    y[b,t] = weight[ids[b,t]] + positions[offsets[b] + t]
//                              backward   dweight as above; dpositions[p] = sum of dy[b,t] over offsets[b] + t = p
//
//   ids         [..] or [B,T]  i32 or i64, any strides
//   weight      [V,C]          f32, f64 or bf16
//   positions   [maxT,C]       the dtype of weight
//   offsets     [B] i32        position of each sequence's first token (a decode step has T = 1); undefined: 0;
//                              on the device of ids
//   y           ids' shape + [C], the dtype of weight
//   sums        f32 (f64 for f64), of equal ids in the order of the tokens: the same for every number of threads
//   saved       ids as i64: 8 bytes a token, and as many for positions
//
// Backward reads and writes only the rows that were used when it adds to an existing gradient; a new one is cleared.
//
// CUDA   f32 and bf16. Forward: a warp a token; the rows that are used in, y out. Backward: the block of the first
// token
//        with an id adds up the rows of dy of all that have it, in their order; dy in, the rows that are used in and
//        out, 4.4 KB of shared memory. To find them each block looks through the N ids, 8 N bytes from the caches,
//        which is little up to some ten thousand tokens. Ids and positions cannot be checked without waiting for the
//        device: one that is out of range gives a row of NaN, and no gradient.
#include "tensor/tensor.h"

namespace vigor {

// Throw std::invalid_argument when shapes or dtypes break the table above, an id is outside [0, V) (naming it and its
// place) or a position outside [0, maxT): on a CPU; on a GPU, see above.
Tensor embedding(const Tensor& ids, const Tensor& weight);
Tensor embedding_with_positions(const Tensor& ids, const Tensor& weight, const Tensor& positions,
                                const Tensor& offsets = {});

}  // namespace vigor
