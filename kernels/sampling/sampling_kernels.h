#pragma once
#include "kernels/sampling/sampling.h"
#include "tensor/view.h"

namespace vigor {

// logits [B,V] with contiguous rows, ids i32 [B], order i32 [V]: working memory. Returns the first row that cannot be
// sampled (a NaN, or only -infinity), or -1.
int64_t sample_cpu(const TensorView& ids, const TensorView& logits, const TensorView& order,
                   const SamplingOptions& options, const RandomKey& key);

}  // namespace vigor
