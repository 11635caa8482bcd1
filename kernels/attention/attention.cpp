#include "kernels/attention/attention.h"

#include <cmath>

#include "kernels/arguments.h"
#include "kernels/attention/attention_backend.h"
#include "kernels/attention/attention_kernels.h"
#include "tensor/op_scope.h"
#include "tensor/primitives.h"

namespace vigor {
namespace {

// Of the two products of the forward pass. Behind a cache (`offsets`) the queries are the last of the keys' positions.
double products_flops(const Tensor& q, int64_t keys, bool causal, const Tensor& offsets) {
  const double queries = static_cast<double>(q.size(1)), all = static_cast<double>(keys);
  const double seen = !causal ? all : offsets.defined() ? all - 0.5 * (queries - 1) : 0.5 * (queries + 1);
  return 4.0 * static_cast<double>(q.numel()) * seen;
}

// Our own kernels on a GPU or cuDNN's. Throws when those were asked for and cannot be had.
AttentionBackend gpu_backend(const AttentionInputs& in) {
  if (attention_backend() == AttentionBackend::own || in.offsets.defined() || in.lengths.defined())
    return AttentionBackend::own;
  if (const std::string problem = attention_cudnn_problem(); !problem.empty())
    fail("attention: {}; choose our own kernels with --attention own, or VIGOR_ATTENTION=own", problem);
  return AttentionBackend::cudnn;
}

Tensor gpu_scratch(int64_t elements) { return empty({elements}, Dtype::f32, kCuda); }

// These two are called in builds with CUDA only.
void forward_on_gpu(const AttentionInputs& in, const TensorView& y, const TensorView& lse, AttentionBackend backend) {
  if constexpr (kCudaBuild) {
    if constexpr (kCudnnBuild)
      if (backend == AttentionBackend::cudnn)
        return attention_forward_cudnn(in, y, lse, gpu_scratch(attention_forward_scratch_cudnn(in, y, lse)));
    attention_forward_cuda(in, y, lse);
  }
}
void backward_on_gpu(const AttentionInputs& in, const AttentionGradients& grads, AttentionBackend backend) {
  if constexpr (kCudaBuild) {
    if constexpr (kCudnnBuild)
      if (backend == AttentionBackend::cudnn)
        return attention_backward_cudnn(in, grads, gpu_scratch(attention_backward_scratch_cudnn(in, grads)));
    attention_backward_cuda(in, grads, gpu_scratch(attention_backward_scratch_cuda(in)));
  }
}

// q, k and v, each a tensor of its own or all windows on one; and where their gradients go.
struct AttentionNode : Node {
  explicit AttentionNode(const char* name) : Node(name) {}
  SavedTensor q{this, "q"}, k{this, "k"}, v{this, "v"}, y{this, "y"}, lse{this, "lse"};
  SavedTensor offsets{this, "offsets"}, lengths{this, "lengths"};
  double scale = 1;
  bool causal = true;
  AttentionBackend backend = AttentionBackend::own;

  void backward(Backward& b) override {
    const Tensor dq = empty(q.get().shape(), gradient_dtype(), q.get().device());
    const Tensor dk = empty(k.get().shape(), gradient_dtype(), k.get().device());
    const Tensor dv = empty(v.get().shape(), gradient_dtype(), v.get().device());
    compute(b, dq, dk, dv);
    set_rounded(b, 0, dq);
    set_rounded(b, 1, dk);
    set_rounded(b, 2, dv);
  }

 protected:
  void compute(const Backward& b, const Tensor& dq, const Tensor& dk, const Tensor& dv) {
    const Tensor dy = contiguous_values(b.grad_or_zeros(0)), dlse = contiguous_values(b.grad(1));
    OpScope scope("attention_backward", {&dy, &dlse, &q.get(), &k.get(), &v.get(), &y.get(), &lse.get()},
                  2.5 * products_flops(q.get(), k.get().size(1), causal, offsets.get()));
    const AttentionInputs in{q.get(), k.get(), v.get(), view_or_none(offsets.get()), view_or_none(lengths.get()),
                             scale,   causal};
    const AttentionGradients grads{y.get(), lse.get(), dy, view_or_none(dlse), dq, dk, dv};
    switch (dy.device().kind) {
      case DeviceKind::cpu:
        attention_backward_cpu(in, grads, empty({attention_backward_scratch(in)}, lse.get().dtype()));
        break;
      case DeviceKind::cuda:
        if constexpr (kCudaBuild) backward_on_gpu(in, grads, backend);
        else unsupported_device("attention_backward", dy.device());
    }
    scope.done({&dq, &dk, &dv});
  }

  // Of what the launchers write. Gradients are summed in f32; a CPU adds to them in memory, block after block, and
  // those of bf16 inputs are rounded once, at the end.
  Dtype gradient_dtype() { return q.get().device().is_cpu() ? lse.get().dtype() : q.get().dtype(); }

  void set_rounded(Backward& b, int input, const Tensor& gradient) {
    if (gradient.dtype() == y.get().dtype()) return b.set(input, gradient);
    const Tensor rounded = empty(gradient.shape(), y.get().dtype(), gradient.device());
    copy(rounded, gradient);
    b.set(input, rounded);
  }
};

struct QkvViews {
  Tensor q, k, v;
};

// Windows [B,T,heads,P] on qkv [B,T,Hq+2*Hkv,P].
QkvViews split_heads(const Tensor& qkv, int64_t kv_heads) {
  const int64_t heads = qkv.size(2), q_heads = heads - 2 * kv_heads;
  const auto window = [&](int64_t start, int64_t end) {
    return qkv.with_view(sliced(qkv, 2, start, end, 1, "attention_qkv"));
  };
  return {window(0, q_heads), window(q_heads, q_heads + kv_heads), window(q_heads + kv_heads, heads)};
}

struct AttentionQkvNode : AttentionNode {
  AttentionQkvNode(const Shape& qkv_sizes, int64_t heads_of_kv)
      : AttentionNode("attention_qkv"), sizes(qkv_sizes), kv_heads(heads_of_kv) {}
  Shape sizes;
  int64_t kv_heads;

  void backward(Backward& b) override {
    const Tensor dqkv = empty(sizes, gradient_dtype(), lse.get().device());
    const QkvViews d = split_heads(dqkv, kv_heads);
    compute(b, d.q, d.k, d.v);
    set_rounded(b, 0, dqkv);
  }
};

void check_inputs(const char* op, const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options) {
  check(q.defined() && k.defined() && v.defined(), "{}: q, k and v must be tensors; got an undefined one", op);
  if (!is_computed(q.dtype()) || q.rank() != 4 || q.numel() == 0)
    fail("{}: q must be [B,Tq,Hq,P] in f32, f64 or bf16, none of them 0; got {}", op, describe(q));
  if (k.rank() != 4 || k.numel() == 0 || k.size(0) != q.size(0) || k.size(3) != q.size(3) ||
      q.size(2) % k.size(2) != 0 || k.dtype() != q.dtype() || k.device() != q.device())
    fail("{}: k must be [B,Tk,Hkv,P] like q, with Hkv dividing Hq; got {} (q is {})", op, describe(k), describe(q));
  if (!(v.shape() == k.shape()) || v.dtype() != q.dtype() || v.device() != q.device())
    fail("{}: v must be like k; got {} (k is {})", op, describe(v), describe(k));
  const auto check_per_sequence = [&](const char* name, const Tensor& values, int64_t least, int64_t most) {
    if (!values.defined()) return;
    if (!(values.shape() == Shape{q.size(0)}) || values.dtype() != Dtype::i32 || values.device() != q.device())
      fail("{}: {} must be [B]=[{}] i32 on {}; got {}", op, name, q.size(0), to_string(q.device()), describe(values));
    if (!q.device().is_cpu()) return;  // to look at the values would be to wait for the GPU
    const std::vector<int32_t> numbers = values.to_vector<int32_t>();
    for (size_t b = 0; b < numbers.size(); ++b)
      check(numbers[b] >= least && numbers[b] <= most, "{}: {} must be in {} .. {}; {}[{}] is {}", op, name, least,
            most, name, b, numbers[b]);
  };
  check_per_sequence("offsets", options.offsets, 0, INT32_MAX);
  check_per_sequence("lengths", options.lengths, 0, k.size(1));
}

// Kernels step along P with stride 1.
Tensor unit_stride(const Tensor& x) { return x.strides().back() == 1 || x.size(3) == 1 ? x : clone(x); }

AttentionResult run(const char* op, const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options,
                    const std::shared_ptr<AttentionNode>& node) {
  OpScope scope(op, {&q, &k, &v}, products_flops(q, k.size(1), options.causal, options.offsets));
  const Tensor q_in = unit_stride(q), k_in = unit_stride(k), v_in = unit_stride(v);
  const Tensor offsets = contiguous_values(options.offsets), lengths = contiguous_values(options.lengths);
  const double scale = options.scale != 0 ? options.scale : 1 / std::sqrt(static_cast<double>(q.size(3)));
  const Dtype lse_dtype = q.dtype() == Dtype::f64 ? Dtype::f64 : Dtype::f32;
  const AttentionResult result{empty(q.shape(), q.dtype(), q.device()),
                               empty({q.size(0), q.size(2), q.size(1)}, lse_dtype, q.device())};
  const AttentionInputs in{q_in, k_in, v_in, view_or_none(offsets), view_or_none(lengths), scale, options.causal};
  const AttentionBackend backend = q.device().is_cpu() ? AttentionBackend::own : gpu_backend(in);
  switch (q.device().kind) {
    case DeviceKind::cpu:
      attention_forward_cpu(in, result.y, result.lse, empty({attention_forward_scratch(in)}, lse_dtype));
      break;
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) forward_on_gpu(in, result.y, result.lse, backend);
      else unsupported_device(op, q.device());
  }
  if (node) {
    node->q.save(q_in);
    node->k.save(k_in);
    node->v.save(v_in);
    node->y.save(result.y);
    node->lse.save(result.lse);
    node->offsets.save(offsets);
    node->lengths.save(lengths);
    node->scale = scale;
    node->causal = options.causal;
    node->backend = backend;
    node->attach({&result.y, &result.lse});
  }
  scope.done({&result.y, &result.lse});
  return result;
}

}  // namespace

AttentionResult attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options) {
  check_inputs("attention", q, k, v, options);
  return run("attention", q, k, v, options, record<AttentionNode>({&q, &k, &v}, "attention"));
}

AttentionResult attention_qkv(const Tensor& qkv, int64_t kv_heads, const AttentionOptions& options) {
  check(qkv.defined(), "attention_qkv: qkv must be a tensor; got an undefined one");
  if (qkv.rank() != 4 || kv_heads < 1 || qkv.size(2) <= 2 * kv_heads)
    fail("attention_qkv: qkv must be [B,T,Hq+2*Hkv,P] with Hq and Hkv={} at least 1; got {}", kv_heads, describe(qkv));
  const QkvViews views = split_heads(qkv, kv_heads);
  check_inputs("attention_qkv", views.q, views.k, views.v, options);
  return run("attention_qkv", views.q, views.k, views.v, options,
             record<AttentionQkvNode>({&qkv}, qkv.shape(), kv_heads));
}

}  // namespace vigor
