#include "kernels/linear_cross_entropy/linear_cross_entropy.h"

#include <algorithm>

#include "kernels/arguments.h"
#include "kernels/cross_entropy/class_targets.h"
#include "kernels/cross_entropy/cross_entropy_kernels.h"
#include "kernels/linear_cross_entropy/linear_cross_entropy_kernels.h"
#include "tensor/op_scope.h"
#include "tensor/primitives.h"

namespace vigor {
namespace {

// Each chunk reads the whole weight and, with gradients, reads and writes all of dW: the larger the chunk, the smaller
// that share of the time. Beyond this many logits nothing more is gained: 64 MB in f32 on a CPU; on a GPU, whose
// products are faster by more than its memory is, 256 MB.
constexpr int64_t kChunkLogitsCpu = int64_t{1} << 24, kChunkLogitsCuda = int64_t{1} << 26;
constexpr int64_t kFewestTokens = 16;

// Tokens in a chunk: the fewest chunks within the limit, all of about one size; a whole number of `unit`s, which may go
// beyond the limit, unless one chunk has them all.
int64_t chunk_tokens(int64_t N, int64_t V, Device device, int64_t unit) {
  const int64_t most = std::max(kFewestTokens, (device.is_cpu() ? kChunkLogitsCpu : kChunkLogitsCuda) / V);
  const int64_t chunks = (N + most - 1) / most;
  const int64_t tokens = (N + chunks - 1) / chunks;
  return std::min(N, (tokens + unit - 1) / unit * unit);
}

// The logits of one chunk. On a GPU their rows begin at multiples of 128 bytes and more, whatever V is: kernels then
// read them in 16-byte packs, and tensor cores take them.
Tensor logits_scratch(int64_t tokens, int64_t V, Dtype dtype, Device device) {
  if (device.is_cpu()) return empty({tokens, V}, dtype, device);
  constexpr int64_t kRowUnit = 64;
  const Tensor padded = empty({tokens, (V + kRowUnit - 1) / kRowUnit * kRowUnit}, dtype, device);
  return padded.with_view(sliced(padded, 1, 0, V, 1, "linear_cross_entropy"));
}

struct LinearCrossEntropyNode : Node {
  LinearCrossEntropyNode() : Node("linear_cross_entropy") {}
  SavedTensor dx{this, "dx/dloss"}, dweight{this, "dweight/dloss"}, dbias{this, "dbias/dloss"};
  Dtype x_dtype = Dtype::f32, weight_dtype = Dtype::f32, bias_dtype = Dtype::f32;

  void backward(Backward& b) override {
    const Tensor& dloss = b.grad();
    OpScope scope("linear_cross_entropy_backward", {&dloss, &dx.peek(), &dweight.peek(), &dbias.peek()});
    const Tensor x_copy = hand_over(b, 0, dx, x_dtype, dloss);
    const Tensor weight_copy = hand_over(b, 1, dweight, weight_dtype, dloss);
    const Tensor bias_copy = hand_over(b, 2, dbias, bias_dtype, dloss);
    scope.done({&x_copy, &weight_copy, &bias_copy});
  }

 private:
  // Scales a saved gradient by dloss into the gradient buffer of the leaf, which is returned, or in place when there is
  // none.
  Tensor hand_over(Backward& b, int input, SavedTensor& saved, Dtype dtype, const Tensor& dloss) {
    if (!b.needs(input)) return {};
    Tensor gradient = saved.get();
    saved.release();
    const Tensor& leaf = edges()[static_cast<size_t>(input)].leaf;
    const bool in_place = gradient.dtype() == dtype && !(leaf.defined() && grad(leaf).defined());
    const Backward::Target target =
        in_place ? Backward::Target{gradient} : b.target(input, gradient.shape(), dtype, gradient.device());
    switch (gradient.device().kind) {
      case DeviceKind::cpu:
        scaled_gradient_cpu(gradient_view(target), gradient, dloss);
        break;
      case DeviceKind::cuda:
        if constexpr (kCudaBuild) scaled_gradient_cuda(gradient_view(target), gradient, dloss);
        else unsupported_device("linear_cross_entropy_backward", gradient.device());
        break;
    }
    gradient = Tensor();  // the engine takes memory over only from its last owner
    b.set(input, target);
    return in_place ? Tensor() : target.tensor;
  }
};

void check_arguments(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  check(x.defined() && weight.defined(), "linear_cross_entropy: x and weight must be tensors; got an undefined one");
  if (!is_computed(x.dtype()) || x.rank() != 2 || x.numel() == 0)
    fail("linear_cross_entropy: x must be [N,d] in f32, f64 or bf16, neither of them 0; got {}", describe(x));
  if (weight.rank() != 2 || weight.size(0) == 0 || weight.size(1) != x.size(1) || !fits_beside(weight, x) ||
      weight.device() != x.device())
    fail("linear_cross_entropy: weight must be [V,d] with d={} in the dtype of x, or f32 beside bf16; got {} (x is {})",
         x.size(1), describe(weight), describe(x));
  if (bias.defined() &&
      (!(bias.shape() == Shape{weight.size(0)}) || !fits_beside(bias, x) || bias.device() != x.device()))
    fail("linear_cross_entropy: bias must be [V]=[{}] in the dtype of x, or f32 beside bf16; got {} (x is {})",
         weight.size(0), describe(bias), describe(x));
}

void check_filter(const GradientFilter& filter, const Tensor& x) {
  check(filter.threshold >= 0 && filter.threshold <= 1,
        "linear_cross_entropy: the filter's threshold must be in 0 .. 1; got {}", filter.threshold);
  if (filter.threshold > 0 && !x.device().is_cpu())
    fail("linear_cross_entropy: gradients are filtered on a CPU only; x is {}", describe(x));
}

struct Result {
  Tensor losses;         // [N]
  Tensor loss_weight;    // [] f64: 1 / counted
  Tensor dx, dw, dbias;  // for dloss = 1
};

// Which of the gradients are wanted.
struct Wanted {
  bool x = false, weight = false, bias = false;
};

// The memory that the filter works in.
struct FilterScratch {
  FilterScratch(const GradientFilter& filter, int64_t N, int64_t V, int64_t d, Dtype dtype, Dtype weight_dtype)
      : threshold(filter.threshold),
        count(filter.count),
        largest(empty({V}, dtype)),
        columns(empty({V}, Dtype::i32)),
        dlogits(empty({kFilterTokens, kFilterColumns}, dtype)),
        weight(empty({kFilterColumns, d}, weight_dtype)),
        dw(empty({kFilterColumns, d}, dtype)),
        tail_columns(empty({(N + kFilterTokens - 1) / kFilterTokens, V}, dtype)),
        tail_shares(empty({N}, dtype)),
        tail_x(empty({tail_columns.size(0), d}, dtype)),
        tail_weight(empty_like(tail_x)) {}
  FilterViews views() const {
    return {threshold, largest, columns, dlogits, weight, dw, tail_columns, tail_shares, tail_x, tail_weight, count};
  }

  double threshold;
  FilterCount* count;
  Tensor largest, columns, dlogits, weight, dw, tail_columns, tail_shares, tail_x, tail_weight;
};

Result compute(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& targets, int64_t ignore_index,
               Wanted wanted, const GradientFilter& filter) {
  const int64_t N = x.size(0), V = weight.size(0);
  const Device device = x.device();
  const ClassTargets classes = class_targets("linear_cross_entropy", targets, N, V, ignore_index, device);
  const Dtype dtype = x.dtype() == Dtype::f64 ? Dtype::f64 : Dtype::f32;
  const Dtype logits_dtype = device.is_cpu() ? dtype : x.dtype();
  const Tensor in = contiguous_values(x), w = contiguous_values(weight);
  const Tensor b = bias_in(bias, logits_dtype);
  Result r;
  r.losses = empty({N}, dtype, device);
  r.loss_weight = classes.weight;
  if (wanted.x) r.dx = empty(x.shape(), dtype, device);
  if (wanted.weight) r.dw = empty(weight.shape(), dtype, device);
  if (wanted.bias) r.dbias = empty(bias.shape(), dtype, device);
  const bool filtered = filter.threshold > 0 && (wanted.x || wanted.weight);
  const int64_t chunk = chunk_tokens(N, V, device, filtered ? kFilterTokens : 1);
  const Tensor logits = logits_scratch(chunk, V, logits_dtype, device);
  const LinearCrossEntropyViews views{
      in,     w,        view_or_none(b),    classes.ids,        ignore_index,         r.loss_weight,
      logits, r.losses, view_or_none(r.dx), view_or_none(r.dw), view_or_none(r.dbias)};
  switch (device.kind) {
    case DeviceKind::cpu:
      if (filtered) {
        const FilterScratch scratch(filter, N, V, x.size(1), dtype, w.dtype());
        const FilterViews filter_views = scratch.views();
        linear_cross_entropy_cpu(views, &filter_views);
      } else {
        linear_cross_entropy_cpu(views);
      }
      break;
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) linear_cross_entropy_cuda(views);
      else unsupported_device("linear_cross_entropy", device);
      break;
  }
  return r;
}

double product_flops(const Tensor& x, const Tensor& weight) {
  return 2.0 * static_cast<double>(x.numel()) * static_cast<double>(weight.size(0));
}

}  // namespace

Tensor linear_cross_entropy(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& targets,
                            int64_t ignore_index, const GradientFilter& filter) {
  check_arguments(x, weight, bias);
  check_filter(filter, x);
  const auto node = record<LinearCrossEntropyNode>({&x, &weight, &bias});
  Wanted wanted;
  if (node) wanted = {node->edges()[0].wanted(), node->edges()[1].wanted(), node->edges()[2].wanted()};
  OpScope scope("linear_cross_entropy", {&x, &weight, &bias, &targets},
                product_flops(x, weight) * (1 + (wanted.x ? 1 : 0) + (wanted.weight ? 1 : 0)));
  const Result r = compute(x, weight, bias, targets, ignore_index, wanted, filter);
  const Tensor loss = empty({}, r.losses.dtype(), x.device());
  switch (x.device().kind) {
    case DeviceKind::cpu:
      weighted_loss_cpu(loss, r.losses, r.loss_weight);
      break;
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) weighted_loss_cuda(loss, r.losses, r.loss_weight);
      else unsupported_device("linear_cross_entropy", x.device());
      break;
  }
  if (node) {
    node->dx.save(r.dx);
    node->dweight.save(r.dw);
    node->dbias.save(r.dbias);
    node->x_dtype = x.dtype();
    node->weight_dtype = weight.dtype();
    if (bias.defined()) node->bias_dtype = bias.dtype();
    node->attach({&loss});
  }
  scope.done({&loss, &r.dx, &r.dw, &r.dbias});
  return loss;
}

Tensor linear_cross_entropy_per_token(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& targets,
                                      int64_t ignore_index) {
  check_arguments(x, weight, bias);
  OpScope scope("linear_cross_entropy", {&x, &weight, &bias, &targets}, product_flops(x, weight));
  const Tensor losses = compute(x, weight, bias, targets, ignore_index, {}, {}).losses;
  scope.done({&losses});
  return losses;
}

}  // namespace vigor
