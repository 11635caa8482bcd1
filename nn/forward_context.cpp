#include "nn/forward_context.h"

#include "kernels/dropout/dropout.h"
#include "tensor/philox.h"

namespace vigor {

Tensor apply_dropout(const Tensor& x, const ForwardContext& context, std::string_view name) {
  if (context.dropout == 0) return x;
  // An odd multiplier spreads the micro-batches over the 29 bits of the salt.
  const uint32_t salt = (salt_of(name) + context.micro_batch * 0x9E3779B1u) & 0x1fffffffu;
  return dropout(x, context.dropout, RandomKey{context.seed, RandomStream::dropout, salt, context.step}, context.state);
}

}  // namespace vigor
