// cuDNN's fused attention behind our own function. libcudnn is opened when it is first asked for, so that programs
// start without it. A call's graph is built and planned once for its sizes and strides; later calls only execute it.
#ifdef VIGOR_HAVE_CUDNN
#define NV_CUDNN_FRONTEND_USE_DYNAMIC_LOADING
#include <cudnn_frontend.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <vector>

#include "kernels/attention/attention_kernels.h"
#include "tensor/check.h"
#include "tensor/cuda.h"

namespace cudnn_frontend {
void* cudnn_dlhandle = nullptr;  // where the frontend looks for cuDNN's functions
}

namespace vigor {
namespace {

namespace fe = cudnn_frontend;
using Attributes = fe::graph::Tensor_attributes;
using Graph = fe::graph::Graph;

void check_cudnn(fe::error_t status, const char* call, int line) {
  if (status.is_good()) return;
  throw std::runtime_error(
      fmt::format("cuDNN: {} at {}:{}: {}; choose our own kernels with --attention own, or VIGOR_ATTENTION=own", call,
                  __FILE__, line, status.get_message()));
}
#define VIGOR_CUDNN_CHECK(call) check_cudnn((call), #call, __LINE__)

struct Library {
  std::string problem;
  Library() {
    // The frontend would open the runtime library by itself, an older one first; it must be the one of this program.
    setenv("CUDNN_FRONTEND_CUDART_LIB_NAME", fmt::format("libcudart.so.{}", CUDART_VERSION / 1000).c_str(), 0);
    fe::cudnn_dlhandle = dlopen("libcudnn.so.9", RTLD_NOW | RTLD_GLOBAL);
    if (fe::cudnn_dlhandle == nullptr) problem = fmt::format("cuDNN 9 could not be loaded: {}", dlerror());
  }
};
const Library& library() {
  static const Library opened;
  return opened;
}

cudnnHandle_t cudnn_handle() {
  static const cudnnHandle_t handle = [] {
    if (!library().problem.empty()) throw std::runtime_error("attention: " + library().problem);
    cudnnHandle_t created = nullptr;
    const auto checked = [](cudnnStatus_t status, const char* call) {
      if (status != CUDNN_STATUS_SUCCESS)
        throw std::runtime_error(fmt::format("cuDNN: {}: status {}", call, static_cast<int>(status)));
    };
    checked(fe::detail::create_handle(&created), "cudnnCreate");
    checked(fe::detail::set_stream(created, cuda_stream()), "cudnnSetStream");
    return created;
  }();
  return handle;
}

// ---- graphs ----

enum Id : int64_t { kQ = 1, kK, kV, kY, kLse, kDy, kDq, kDk, kDv };

struct Plan {
  Graph graph;
  int64_t workspace_bytes = 0;
};

// A view [B,T,H,P] as cuDNN numbers its dimensions: B, H, T, P.
Attributes described(const TensorView& x, Id id, const char* name) {
  return Attributes()
      .set_name(name)
      .set_uid(id)
      .set_data_type(fe::DataType_t::BFLOAT16)
      .set_dim({x.sizes[0], x.sizes[2], x.sizes[1], x.sizes[3]})
      .set_stride({x.strides[0], x.strides[2], x.strides[1], 1});
}
Attributes described_lse(const TensorView& lse) {  // [B,H,T,1], contiguous, natural logarithm: as ours
  return Attributes()
      .set_name("lse")
      .set_uid(kLse)
      .set_data_type(fe::DataType_t::FLOAT)
      .set_dim({lse.sizes[0], lse.sizes[1], lse.sizes[2], 1})
      .set_stride({lse.sizes[1] * lse.sizes[2], lse.sizes[2], 1, 1});
}
void set_result(const std::shared_ptr<Attributes>& result, const Attributes& like) {
  result->set_output(true)
      .set_uid(like.get_uid())
      .set_data_type(like.get_data_type())
      .set_dim(like.get_dim())
      .set_stride(like.get_stride());
}

template <class Options>
Options options_of(const AttentionInputs& in) {
  Options options;
  options.set_name("attention").set_attn_scale(static_cast<float>(in.scale));
  if (in.causal)  // query i sees keys up to i, as ours without offsets
    options.set_diagonal_alignment(fe::DiagonalAlignment_t::TOP_LEFT).set_diagonal_band_right_bound(0);
  return options;
}

void start_graph(Graph& graph) {
  graph.set_io_data_type(fe::DataType_t::BFLOAT16)
      .set_intermediate_data_type(fe::DataType_t::FLOAT)
      .set_compute_data_type(fe::DataType_t::FLOAT);
}

void describe_forward(Graph& graph, const AttentionInputs& in, const TensorView& y, const TensorView& lse) {
  start_graph(graph);
  const auto q = graph.tensor(described(in.q, kQ, "q")), k = graph.tensor(described(in.k, kK, "k"));
  const auto v = graph.tensor(described(in.v, kV, "v"));
  const auto options = options_of<fe::graph::SDPA_attributes>(in).set_generate_stats(true);
  const auto [y_out, lse_out] = graph.sdpa(q, k, v, options);
  set_result(y_out, described(y, kY, "y"));
  set_result(lse_out, described_lse(lse));
}

void describe_backward(Graph& graph, const AttentionInputs& in, const AttentionGradients& grads) {
  start_graph(graph);
  const auto q = graph.tensor(described(in.q, kQ, "q")), k = graph.tensor(described(in.k, kK, "k"));
  const auto v = graph.tensor(described(in.v, kV, "v")), y = graph.tensor(described(grads.y, kY, "y"));
  const auto dy = graph.tensor(described(grads.dy, kDy, "dy")), lse = graph.tensor(described_lse(grads.lse));
  const auto options = options_of<fe::graph::SDPA_backward_attributes>(in).set_deterministic_algorithm(true);
  const auto [dq, dk, dv] = graph.sdpa_backward(q, k, v, y, dy, lse, options);
  set_result(dq, described(grads.dq, kDq, "dq"));
  set_result(dk, described(grads.dk, kDk, "dk"));
  set_result(dv, described(grads.dv, kDv, "dv"));
}

// The plan for these views: made by `describe` and cuDNN's heuristics the first time, then kept.
template <class Describe>
Plan& plan_for(const AttentionInputs& in, std::initializer_list<const TensorView*> views, Describe&& describe) {
  static std::mutex mutex;
  // Never destroyed, like the allocators: cuDNN may be gone before static objects are.
  static auto& plans = *new std::map<std::vector<int64_t>, std::unique_ptr<Plan>>;
  std::vector<int64_t> key = {in.causal, std::bit_cast<int64_t>(in.scale), static_cast<int64_t>(views.size())};
  for (const TensorView* x : views) {
    key.insert(key.end(), x->sizes.begin(), x->sizes.end());
    key.insert(key.end(), x->strides.begin(), x->strides.end());
  }
  const std::lock_guard lock(mutex);
  std::unique_ptr<Plan>& plan = plans[key];
  if (plan != nullptr) return *plan;
  auto made = std::make_unique<Plan>();
  describe(made->graph);
  VIGOR_CUDNN_CHECK(made->graph.build(cudnn_handle(), {fe::HeurMode_t::A}));
  VIGOR_CUDNN_CHECK(made->graph.get_workspace_size(made->workspace_bytes));
  plan = std::move(made);
  return *plan;
}

// Every row does; strides of dimensions of size 1 say nothing.
bool starts_on_16_bytes(const TensorView& x) {
  for (int dim = 0; dim < 3; ++dim)
    if (x.sizes[dim] > 1 && x.strides[dim] % 8 != 0) return false;
  return reinterpret_cast<uintptr_t>(x.data) % 16 == 0;
}

void check_supported(const AttentionInputs& in) {
  const int64_t P = in.q.sizes[3];
  if (in.q.dtype != Dtype::bf16 || P % 8 != 0 || P > 128)
    fail("attention: cuDNN's kernels take bf16 with heads of 8, 16 .. 128 channels; got {} with {} (--attention own)",
         name_of(in.q.dtype), P);
  check(starts_on_16_bytes(in.q) && starts_on_16_bytes(in.k) && starts_on_16_bytes(in.v),
        "attention: cuDNN's kernels want rows of q, k and v that start on 16 bytes (--attention own)");
}

Plan& forward_plan(const AttentionInputs& in, const TensorView& y, const TensorView& lse) {
  check_supported(in);
  return plan_for(in, {&in.q, &in.k, &in.v, &y}, [&](Graph& graph) { describe_forward(graph, in, y, lse); });
}
Plan& backward_plan(const AttentionInputs& in, const AttentionGradients& grads) {
  check_supported(in);
  check(!grads.dlse.defined(), "attention_backward: cuDNN's kernels have no gradient through lse (--attention own)");
  return plan_for(in, {&in.q, &in.k, &in.v, &grads.y, &grads.dy, &grads.dq, &grads.dk, &grads.dv},
                  [&](Graph& graph) { describe_backward(graph, in, grads); });
}

int64_t floats_for(int64_t bytes) { return (bytes + 3) / 4; }

}  // namespace

std::string problem_of_cudnn() { return library().problem; }

int64_t attention_forward_scratch_cudnn(const AttentionInputs& in, const TensorView& y, const TensorView& lse) {
  return floats_for(forward_plan(in, y, lse).workspace_bytes);
}

void attention_forward_cudnn(const AttentionInputs& in, const TensorView& y, const TensorView& lse,
                             const TensorView& scratch) {
  std::unordered_map<int64_t, void*> memory = {
      {kQ, in.q.data}, {kK, in.k.data}, {kV, in.v.data}, {kY, y.data}, {kLse, lse.data}};
  VIGOR_CUDNN_CHECK(forward_plan(in, y, lse).graph.execute(cudnn_handle(), memory, scratch.data));
}

int64_t attention_backward_scratch_cudnn(const AttentionInputs& in, const AttentionGradients& grads) {
  return floats_for(backward_plan(in, grads).workspace_bytes);
}

void attention_backward_cudnn(const AttentionInputs& in, const AttentionGradients& grads, const TensorView& scratch) {
  std::unordered_map<int64_t, void*> memory = {{kQ, in.q.data},      {kK, in.k.data},        {kV, in.v.data},
                                               {kY, grads.y.data},   {kLse, grads.lse.data}, {kDy, grads.dy.data},
                                               {kDq, grads.dq.data}, {kDk, grads.dk.data},   {kDv, grads.dv.data}};
  VIGOR_CUDNN_CHECK(backward_plan(in, grads).graph.execute(cudnn_handle(), memory, scratch.data));
}

}  // namespace vigor
#endif
