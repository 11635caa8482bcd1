#include "nn/embedding.h"

#include "kernels/embedding/embedding.h"

namespace vigor {

Embedding::Embedding(int64_t rows, int64_t channels, double stddev) {
  add_parameter("weight", weight, {rows, channels}, normal_init(stddev));
}

Tensor Embedding::forward(const Tensor& ids) const { return embedding(ids, weight); }

}  // namespace vigor
