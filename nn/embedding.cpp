#include "nn/embedding.h"

#include "kernels/embedding/embedding.h"

namespace vigor {

Embedding::Embedding(int64_t rows, int64_t channels) {
  add_parameter("weight", weight, {rows, channels}, normal_init(kLinearStddev));
}

Tensor Embedding::forward(const Tensor& ids) const { return embedding(ids, weight); }

}  // namespace vigor
