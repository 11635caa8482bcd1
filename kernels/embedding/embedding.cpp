#include "kernels/embedding/embedding.h"

#include "kernels/arguments.h"
#include "kernels/embedding/embedding_kernels.h"
#include "tensor/op_scope.h"
#include "tensor/primitives.h"

namespace vigor {
namespace {

// Input 0 is the table of tokens; input 1 that of positions, when there is one.
struct EmbeddingNode : Node {
  explicit EmbeddingNode(const char* name) : Node(name) {}
  SavedTensor ids{this, "ids"}, position_ids{this, "position_ids"};  // [N] i64
  Shape weight_shape, positions_shape;
  Dtype dtype = Dtype::f32;

  void backward(Backward& b) override {
    const Tensor dy = contiguous_values(b.grad());
    OpScope scope("embedding_backward", {&dy, &ids.get()});
    const Tensor tokens = table_gradient(b, 0, weight_shape, dy, ids.get());
    const Tensor places =
        position_ids.defined() ? table_gradient(b, 1, positions_shape, dy, position_ids.get()) : Tensor();
    scope.done({&tokens, &places});
  }

  // Returns the gradient if all of it was written, and not only rows of it.
  Tensor table_gradient(Backward& b, int input, const Shape& shape, const Tensor& dy, const Tensor& rows) {
    if (!b.needs(input)) return {};
    const Backward::Target target = b.target(input, shape, dtype, dy.device());
    switch (dy.device().kind) {
      case DeviceKind::cpu:
        embedding_backward_cpu(gradient_view(target), empty_like(rows), dy, rows);
        break;
      case DeviceKind::cuda:
        if constexpr (kCudaBuild) embedding_backward_cuda(gradient_view(target), dy, rows);
        else unsupported_device("embedding_backward", dy.device());
        break;
    }
    b.set(input, target);
    return target.accumulate ? Tensor() : target.tensor;
  }
};

// ids as [N] i64; on a CPU checked to lie in [0, rows).
Tensor checked_ids(const char* op, const Tensor& ids, int64_t rows) {
  const Tensor wide = empty({ids.numel()}, Dtype::i64, ids.device());
  copy(wide.with_view({wide.raw(), ids.shape(), contiguous_strides(ids.shape()), Dtype::i64, ids.device()}), ids);
  if (!ids.device().is_cpu()) return wide;
  const int64_t* id = wide.data<int64_t>();
  for (int64_t i = 0; i < wide.numel(); ++i)
    if (id[i] < 0 || id[i] >= rows)
      fail("{}: ids must be in [0, {}); got {} at position {} of {}", op, rows, id[i], i, to_string(ids.shape()));
  return wide;
}

void check_ids_and_weight(const char* op, const Tensor& ids, const Tensor& weight) {
  check(ids.defined() && weight.defined(), "{}: ids and weight must be tensors; got an undefined one", op);
  if (ids.dtype() != Dtype::i32 && ids.dtype() != Dtype::i64)
    fail("{}: ids must be i32 or i64; got {}", op, describe(ids));
  if (!is_computed(weight.dtype()) || weight.rank() != 2 || weight.device() != ids.device())
    fail("{}: weight must be [V,C] in f32, f64 or bf16 on the device of ids; got {} (ids are {})", op, describe(weight),
         describe(ids));
}

// offsets[b] + t for each token, as [B*T] i64; on a CPU checked.
Tensor make_position_ids(const char* op, const Tensor& ids, const Tensor& positions, const Tensor& offsets) {
  const int64_t batch = ids.size(0), time = ids.size(1);
  const auto check_places = [&](int64_t b, int64_t offset) {
    if (offset < 0 || offset + time > positions.size(0))
      fail("{}: there are {} positions; sequence {} needs {} to {} (ids are {})", op, positions.size(0), b, offset,
           offset + time - 1, to_string(ids.shape()));
  };
  const Tensor position_ids = empty({ids.numel()}, Dtype::i64, ids.device());
  if (!ids.device().is_cpu()) {
    if (!offsets.defined() && batch > 0) check_places(0, 0);
    if constexpr (kCudaBuild) embedding_position_ids_cuda(position_ids, view_or_none(contiguous_values(offsets)), time);
    else unsupported_device(op, ids.device());
    return position_ids;
  }
  const std::vector<int64_t> first =
      offsets.defined() ? offsets.to_vector<int64_t>() : std::vector<int64_t>(static_cast<size_t>(batch), 0);
  int64_t* out = position_ids.data<int64_t>();
  for (int64_t b = 0; b < batch; ++b) {
    const int64_t offset = first[static_cast<size_t>(b)];
    check_places(b, offset);
    for (int64_t t = 0; t < time; ++t) *out++ = offset + t;
  }
  return position_ids;
}

Tensor look_up(const char* op, const Tensor& ids, const Tensor& weight, const Tensor& position_ids,
               const Tensor& positions) {
  const double nbytes =
      2.0 * static_cast<double>(ids.numel() * weight.size(1)) * static_cast<double>(size_of(weight.dtype()));
  OpScope scope(op, {&ids, &weight, &positions}, 0, nbytes);  // not the whole table
  const Tensor rows = checked_ids(op, ids, weight.size(0));
  const Tensor tokens = contiguous_values(weight), places = contiguous_values(positions);
  Shape sizes = ids.shape();
  sizes.push_back(weight.size(1));
  const Tensor y = empty(sizes, weight.dtype(), weight.device());
  switch (y.device().kind) {
    case DeviceKind::cpu:
      embedding_forward_cpu(y, rows, tokens, view_or_none(position_ids), view_or_none(places));
      break;
    case DeviceKind::cuda:
      if constexpr (kCudaBuild)
        embedding_forward_cuda(y, rows, tokens, view_or_none(position_ids), view_or_none(places));
      else unsupported_device(op, y.device());
      break;
  }
  if (auto node = record<EmbeddingNode>({&weight, &positions}, op)) {
    node->ids.save(rows);
    node->position_ids.save(position_ids);
    node->weight_shape = weight.shape();
    if (positions.defined()) node->positions_shape = positions.shape();
    node->dtype = weight.dtype();
    node->attach({&y});
  }
  scope.done({&y});
  return y;
}

}  // namespace

Tensor embedding(const Tensor& ids, const Tensor& weight) {
  check_ids_and_weight("embedding", ids, weight);
  return look_up("embedding", ids, weight, {}, {});
}

Tensor embedding_with_positions(const Tensor& ids, const Tensor& weight, const Tensor& positions,
                                const Tensor& offsets) {
  const char* op = "embedding_with_positions";
  check_ids_and_weight(op, ids, weight);
  check(positions.defined(), "{}: positions must be a tensor; got an undefined one", op);
  if (ids.rank() != 2) fail("{}: ids must be [B,T]; got {}", op, describe(ids));
  if (positions.rank() != 2 || positions.size(1) != weight.size(1) || positions.dtype() != weight.dtype() ||
      positions.device() != weight.device())
    fail("{}: positions must be [maxT,C] with the width and dtype of weight; got {} (weight is {})", op,
         describe(positions), describe(weight));
  if (offsets.defined() &&
      (!(offsets.shape() == Shape{ids.size(0)}) || offsets.dtype() != Dtype::i32 || offsets.device() != ids.device()))
    fail("{}: offsets must be [B]=[{}] i32 on the device of ids; got {} (ids are {})", op, ids.size(0),
         describe(offsets), describe(ids));
  return look_up(op, ids, weight, make_position_ids(op, ids, positions, offsets), positions);
}

}  // namespace vigor
