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
// filter     with a threshold above 0, dlogits is set to 0, for dx and dW, in every block of 128 tokens (from the first
//            on; the last may be shorter) x one entry of the vocabulary in which |softmax - onehot| is below the
//            threshold for all tokens. The two products then run over the other columns alone, gathered a thousand at a
//            time. After Wijmans et al. 2024, "Cut Your Losses in Large-Vocabulary Language Models", arXiv:2411.09009,
//            who sort the vocabulary to fill blocks of 256 entries; single columns need no sorting. The loss and dbias,
//            which takes no product, stay exact.
//            What is lost: each token's part of dlogits by less than threshold an entry, so at most threshold V in sum,
//            beside 2 (1 - p_target) in whole. Above 1 / V an untrained, flat softmax loses all but its targets.
//            CPU only; scratch 8 V + 4 thousand (128 + 2 d) bytes.
//
// CUDA       three products of cuBLASLt a chunk, and between them one kernel for loss and gradient with a block a row:
//            it reads each logit once and writes its gradient in place (rows above 96 KB are read twice), so that a
//            logit costs 5 accesses in all. Up to 96 KB of shared memory a block. Nothing waits for the host.
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
