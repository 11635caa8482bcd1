#include "train/evaluation.h"

#include <cmath>
#include <numbers>

#include "autograd/variable.h"

namespace vigor {
namespace {

std::span<int32_t> values_of(const Tensor& x) { return {x.data<int32_t>(), static_cast<size_t>(x.numel())}; }

// i32 [rows,length] at the front of a buffer.
Tensor front(const Tensor& buffer, const EvaluationBatches::Size& size) {
  const Shape sizes{size.rows, size.length};
  return buffer.with_view({buffer.raw(), sizes, contiguous_strides(sizes), buffer.dtype(), buffer.device()});
}

}  // namespace

double Evaluation::bits_per_byte() const {
  return loss / std::numbers::ln2 * static_cast<double>(tokens) / static_cast<double>(bytes);
}

Evaluation evaluate(const LanguageModel& model, EvaluationBatches& batches, const Tokenizer* tokenizer,
                    const std::function<void(const Evaluation&)>& on_batch) {
  const NoGrad no_grad;
  const Tensor ids = empty({batches.batch_size(), batches.seq_len()}, Dtype::i32), targets = empty_like(ids);
  double total = 0;
  Evaluation result;
  batches.reset();
  while (const auto size = batches.next(values_of(ids), values_of(targets))) {
    const Tensor loss =
        model.loss(to_device(front(ids, *size), model.device()), to_device(front(targets, *size), model.device()));
    const int64_t tokens = size->rows * size->length;
    if (tokenizer != nullptr)
      for (const int32_t id : values_of(targets).first(static_cast<size_t>(tokens)))
        result.bytes += static_cast<int64_t>(tokenizer->token_bytes(id).size());
    total += static_cast<double>(loss.item<float>()) * static_cast<double>(tokens);
    result.tokens += tokens;
    result.loss = total / static_cast<double>(result.tokens);
    if (on_batch) on_batch(result);
  }
  return result;
}

}  // namespace vigor
