#pragma once
#include <cmath>

#include "kernels/sampling/sampling.h"
#include "tensor/view.h"

namespace vigor {

struct Candidate {
  float logit;
  int32_t id;
};

// How far below the largest logit min_p still keeps one: -infinity for all. Computed once, so that both devices compare
// with the same number.
inline double lowest_kept(const SamplingOptions& options) { return options.temperature * std::log(options.min_p); }

// ids [B] i32: the drawn token, or -1 for a row without finite maximum or with a NaN. logits [B,V] contiguous;
// candidates: scratch of B * V Candidates, only needed with top_k, top_p or min_p.
void sample_cpu(const TensorView& ids, const TensorView& logits, const SamplingOptions& options, const RandomKey& key,
                Candidate* candidates);

// The same on a GPU; `candidates` is needed unless greedy or at temperature 0.
void sample_cuda(const TensorView& ids, const TensorView& logits, const SamplingOptions& options, const RandomKey& key,
                 Candidate* candidates);

}  // namespace vigor
