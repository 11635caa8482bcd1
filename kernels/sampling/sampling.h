#pragma once
// Draws the next token from logits. With z = logits / temperature, one row at a time:
//
//   greedy   argmax z, also for temperature 0
//   top_k    only the top_k largest z stay                                  0: all
//   top_p    of these, in falling order, only the fewest whose probabilities add up to at least top_p       1: all
//            (Holtzman et al. 2019, arXiv:1904.09751)
//   min_p    of these, only those with at least min_p times the largest probability                         0: all
//            (Nguyen et al. 2024, arXiv:2407.01082); that is z >= max z + log min_p, whatever came before
//   then one is drawn with probability softmax(z) over what stays
//
// in this order, which is that of transformers' generate(). Equal logits are ordered by id, lowest first, so the result
// is a function of logits, options and key alone.
//
//   logits   [B,V]  f32, bf16 or f64, any strides; -infinity excludes a token
//   result   [B]    i32
//
// computed   probabilities in f64
// random     row b uses Philox block b of `key`, whose stream is taken as RandomStream::sampling; a caller counts
//            key.step up from token to token
//
// Not differentiable. With top_k a row is never sorted as a whole, only what it leaves.
//
// CUDA       f32 and bf16; a block a row, 17 KB of shared memory, 8 V bytes of scratch a row. Each of top_k, top_p and
//            a draw from what they leave reads the row four times (kernels/sampling/sampling_cuda.cu). Probabilities
//            are added as integers of 62 bits a row: the id is the CPU's, unless the draw falls within that rounding,
//            one in millions, of a border. Waits for the device, as whoever wants the id must.
#include "tensor/tensor.h"

namespace vigor {

struct SamplingOptions {
  double temperature = 1;
  int64_t top_k = 0;
  double top_p = 1;
  double min_p = 0;
  bool greedy = false;
};

// Throws std::invalid_argument for other shapes, dtypes or option values, and std::runtime_error naming the row when
// logits are NaN, +infinity, or all -infinity.
Tensor sample(const Tensor& logits, const SamplingOptions& options, const RandomKey& key);

}  // namespace vigor
