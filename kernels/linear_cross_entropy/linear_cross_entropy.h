#pragma once
// The head of a language model in one operation: projection to the vocabulary, softmax and cross-entropy, over chunks
// of tokens so that the logits [N,V] never exist as a whole.
//
//   forward    logits = x W^T + bias                     for the tokens of one chunk
//              loss = sum_i (lse_i - logits[i,targets_i]) / counted      over tokens with targets_i != ignore_index
//   backward   dlogits = dloss (softmax(logits) - onehot(targets)) / counted
//              dx = dlogits W     dW = dlogits^T x     dbias = sum_i dlogits_i
//
//   x          [N,d]  f32, f64 or bf16, any strides
//   weight W   [V,d]  dtype of x, or f32 beside bf16
//   bias       [V]    likewise; may be undefined
//   targets    [N]    i32 or i64, each in 0 .. V-1 or ignore_index
//   loss       []     f32; f64 beside f64. 0 when no token counts
//
// When gradients are recorded, the forward pass computes them too, for dloss = 1, while the chunk's logits are at
// hand; backward only scales them. Keeping nothing and recomputing the logits in backward would cost a fourth product
// of N V d beside the three: a third more time, against one array of the size of the weight.
//
// computed   logits and all sums in f32 (f64 for f64), the mean of the losses in f64; on CUDA the logits of a bf16 x
//            are rounded to bf16, and so is their gradient
// saved      dx [N,d], dW [V,d] and dbias [V], each if wanted, in f32 (f64): 4 (N d + V d + V) bytes. A leaf without a
//            gradient buffer takes over the memory of dW; x and weight are not kept.
// scratch    the logits of one chunk, at most 64 MB (CUDA: 256 MB) or 16 tokens
//
// filter     with a threshold above 0, entries of dlogits are left out of the products for dx and dW in every block of
//            128 tokens (from the first on; the last may be shorter) x one entry of the vocabulary in which |softmax -
//            onehot| is below the threshold for all tokens. The two products run over the other columns alone, gathered
//            a thousand at a time. After Wijmans et al. 2024, "Cut Your Losses in Large-Vocabulary Language Models",
//            arXiv:2411.09009, who sort the vocabulary to fill blocks of 256 entries; single columns need no sorting.
//            What is left out of 128 tokens is not dropped but replaced by the outer product of its sums:
//              dlogits_iv ~ u_v r_i / sum_i r_i,   u_v = sum over i, r_i = sum over v, of what is left out
//            which costs one product of N / 128 rows each way. That is exact while the softmax is the same for all
//            tokens, as an untrained, flat one is; without it all but the targets would be lost then, 1 / V being less
//            than the threshold. Each entry is off by less than the threshold. The loss and dbias stay exact.
//            CPU only; scratch 4 (2 V + V N / 128 + 1024 (128 + 2 d)) bytes and some rows.
//
#include "tensor/tensor.h"

namespace vigor {

// Blocks of dlogits that were made by filtered backward passes, and those of them that were not skipped.
struct FilterCount {
  int64_t kept = 0, all = 0;
};

struct GradientFilter {
  double threshold = 0;  // in 0 .. 1; 0: nothing is skipped, and the result is that without a filter, bit by bit
  FilterCount* count = nullptr;  // added to, where given
};

// Differentiable in x, weight and bias. Throws std::invalid_argument for other shapes or dtypes, for a filter on CUDA,
// and for a target out of range, naming its index; on CUDA such a target makes the loss and the gradients NaN.
Tensor linear_cross_entropy(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& targets,
                            int64_t ignore_index = -1, const GradientFilter& filter = {});

// The loss of each token, [N], 0 where ignored: for evaluation, without gradients.
Tensor linear_cross_entropy_per_token(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& targets,
                                      int64_t ignore_index = -1);

}  // namespace vigor
