// Entry points: stream capture and graphs.
#include <cuda_runtime_api.h>

#include <algorithm>

#include "kernels/emulator/runtime/capture.h"
#include "kernels/emulator/runtime/copies.h"
#include "kernels/emulator/runtime/device.h"
#include "kernels/emulator/runtime/errors.h"
#include "kernels/emulator/runtime/launches.h"

using namespace vigor::emulator;

namespace {

struct Executable {
  std::shared_ptr<const Graph> graph;      // replaced by an update; launches that wait keep the old one
  std::vector<cudaGraphNode_t> originals;  // the nodes it was made from: updates name these
};

// What the handles stand for.
struct Graphs {
  std::vector<std::shared_ptr<Graph>> graphs;
  std::vector<std::unique_ptr<Executable>> executables;
};

Graphs& all_graphs() {
  static auto* all = new Graphs;  // never destroyed, as runtime_lock()
  return *all;
}

Graph& graph_of(cudaGraph_t handle) {
  for (const auto& graph : all_graphs().graphs) {
    if (reinterpret_cast<cudaGraph_t>(graph.get()) == handle) return *graph;
  }
  throw CudaFailure{cudaErrorInvalidValue};
}

Executable& executable_of(cudaGraphExec_t handle) {
  for (const auto& executable : all_graphs().executables) {
    if (reinterpret_cast<cudaGraphExec_t>(executable.get()) == handle) return *executable;
  }
  throw CudaFailure{cudaErrorInvalidValue};
}

GraphNode& node_of(cudaGraphNode_t handle) {
  for (const auto& graph : all_graphs().graphs) {
    for (const auto& node : graph->nodes) {
      if (reinterpret_cast<cudaGraphNode_t>(node.get()) == handle) return *node;
    }
  }
  throw CudaFailure{cudaErrorInvalidValue};
}

cudaGraphNode_t handle_of(const std::shared_ptr<GraphNode>& node) {
  return reinterpret_cast<cudaGraphNode_t>(node.get());
}

cudaGraph_t keep(std::shared_ptr<Graph> graph) {
  all_graphs().graphs.push_back(std::move(graph));
  return reinterpret_cast<cudaGraph_t>(all_graphs().graphs.back().get());
}

void add_node(cudaGraphNode_t* result, cudaGraph_t handle, const cudaGraphNode_t* dependencies, size_t count,
              cudaGraphNodeType kind, Work work) {
  require(result != nullptr, cudaErrorInvalidValue);
  Graph& graph = graph_of(handle);
  std::vector<int> before;
  for (size_t i = 0; i < count; ++i) before.push_back(graph.index_of(dependencies[i]));
  *result = handle_of(graph.nodes[static_cast<size_t>(graph.add(kind, std::move(work), std::move(before)))]);
}

Work kernel_work(const cudaKernelNodeParams& params) {
  return prepare_launch(find_kernel(params.func), params.gridDim, params.blockDim, params.kernelParams,
                        params.sharedMemBytes);
}

// Gives the list as the graph calls do: at most *count handles, or only their number when `list` is null.
void give(const std::vector<cudaGraphNode_t>& nodes, cudaGraphNode_t* list, size_t* count) {
  require(count != nullptr, cudaErrorInvalidValue);
  if (list != nullptr) {
    for (size_t i = 0; i < *count; ++i) list[i] = i < nodes.size() ? nodes[i] : nullptr;
    *count = std::min(*count, nodes.size());
  } else {
    *count = nodes.size();
  }
}

}  // namespace

void vigor::emulator::forget_graphs() { all_graphs() = {}; }

extern "C" {

// --- capture ---

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  return entry([&] { begin_capture(stream_table().stream(stream), mode); });
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  return entry([&] {
    require(graph != nullptr, cudaErrorInvalidValue);
    *graph = nullptr;
    *graph = keep(end_capture(stream_table().stream(stream)));
  });
}

cudaError_t cudaStreamGetCaptureInfo(cudaStream_t handle, cudaStreamCaptureStatus* status, unsigned long long* id,
                                     cudaGraph_t* graph, const cudaGraphNode_t** dependencies,
                                     const cudaGraphEdgeData** edges, size_t* count) {
  return entry([&] {
    require(status != nullptr, cudaErrorInvalidValue);
    Stream& stream = stream_table().stream(handle);
    refuse_implicit_dependency(stream);
    if (graph != nullptr || dependencies != nullptr || edges != nullptr || count != nullptr) {
      throw CudaFailure{cudaErrorNotSupported, "cudaStreamGetCaptureInfo: the graph of a running capture is not given"};
    }
    *status = cudaStreamCaptureStatusNone;
    if (stream.capture == nullptr) return;
    *status = stream.capture->valid ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusInvalidated;
    if (id != nullptr) *id = stream.capture->id;
  });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  return cudaStreamGetCaptureInfo(stream, status, nullptr, nullptr, nullptr, nullptr, nullptr);
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  return entry([&] {
    require(mode != nullptr, cudaErrorInvalidValue);
    *mode = exchange_capture_mode(*mode);
  });
}

// --- graphs built by hand ---

cudaError_t cudaGraphCreate(cudaGraph_t* graph, unsigned flags) {
  return entry([&] {
    require(graph != nullptr && flags == 0, cudaErrorInvalidValue);
    *graph = keep(std::make_shared<Graph>());
  });
}

cudaError_t cudaGraphClone(cudaGraph_t* copy, cudaGraph_t graph) {
  return entry([&] { *copy = keep(std::make_shared<Graph>(graph_of(graph).clone())); });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return entry([&] {
    const Graph& doomed = graph_of(graph);
    std::erase_if(all_graphs().graphs, [&](const auto& g) { return g.get() == &doomed; });
  });
}

cudaError_t cudaGraphAddKernelNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                   size_t count, const cudaKernelNodeParams* params) {
  return entry([&] { add_node(node, graph, dependencies, count, cudaGraphNodeTypeKernel, kernel_work(*params)); });
}

cudaError_t cudaGraphAddEmptyNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                  size_t count) {
  return entry([&] { add_node(node, graph, dependencies, count, cudaGraphNodeTypeEmpty, {}); });
}

cudaError_t cudaGraphAddHostNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                 size_t count, const cudaHostNodeParams* params) {
  return entry([&] {
    add_node(node, graph, dependencies, count, cudaGraphNodeTypeHost, [run = *params] {
      in_host_function() = true;
      run.fn(run.userData);
      in_host_function() = false;
    });
  });
}

cudaError_t cudaGraphAddMemcpyNode1D(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                     size_t count, void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return entry(
      [&] { add_node(node, graph, dependencies, count, cudaGraphNodeTypeMemcpy, copy_work(to, from, {bytes}, kind)); });
}

cudaError_t cudaGraphAddMemsetNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                   size_t count, const cudaMemsetParams* params) {
  return entry([&] {
    // Wider elements could only be filled by repeating a pattern, which the plain fill does not do.
    require(params->elementSize == 1, cudaErrorNotSupported);
    const CopyShape shape{params->width, params->height, params->pitch};
    add_node(node, graph, dependencies, count, cudaGraphNodeTypeMemset,
             fill_work(params->dst, static_cast<int>(params->value), shape));
  });
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
  return entry([&] {
    std::vector<cudaGraphNode_t> handles;
    for (const auto& node : graph_of(graph).nodes) handles.push_back(handle_of(node));
    give(handles, nodes, count);
  });
}

cudaError_t cudaGraphGetRootNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
  return entry([&] {
    std::vector<cudaGraphNode_t> handles;
    for (const auto& node : graph_of(graph).nodes) {
      if (node->dependencies.empty()) handles.push_back(handle_of(node));
    }
    give(handles, nodes, count);
  });
}

cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType* type) {
  return entry([&] { *type = node_of(node).kind; });
}

// --- executable graphs ---

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  return entry([&] {
    require(executable != nullptr, cudaErrorInvalidValue);
    const Graph& source = graph_of(graph);
    auto made = std::make_unique<Executable>();
    made->graph = std::make_shared<Graph>(source.clone());
    for (const auto& node : source.nodes) made->originals.push_back(handle_of(node));
    *executable = reinterpret_cast<cudaGraphExec_t>(made.get());
    all_graphs().executables.push_back(std::move(made));
  });
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long flags) {
  return cudaGraphInstantiate(executable, graph, flags);
}

cudaError_t cudaGraphUpload(cudaGraphExec_t executable, cudaStream_t stream) {
  return entry([&] {
    executable_of(executable);
    stream_table().stream(stream);
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  return entry([&] {
    stream_table().issue(stream_table().stream(stream), cudaGraphNodeTypeGraph,
                         [graph = executable_of(executable).graph] { graph->run(); });
  });
}

cudaError_t cudaGraphExecUpdate(cudaGraphExec_t handle, cudaGraph_t graph, cudaGraphExecUpdateResultInfo* info) {
  return entry([&] {
    require(info != nullptr, cudaErrorInvalidValue);
    Executable& executable = executable_of(handle);
    const Graph& fresh = graph_of(graph);
    const Graph& old = *executable.graph;
    *info = {cudaGraphExecUpdateSuccess, nullptr, nullptr};
    if (fresh.nodes.size() != old.nodes.size()) info->result = cudaGraphExecUpdateErrorTopologyChanged;
    for (size_t i = 0; i < fresh.nodes.size() && info->result == cudaGraphExecUpdateSuccess; ++i) {
      info->errorNode = handle_of(fresh.nodes[i]);
      if (fresh.nodes[i]->dependencies != old.nodes[i]->dependencies) {
        info->result = cudaGraphExecUpdateErrorTopologyChanged;
      } else if (fresh.nodes[i]->kind != old.nodes[i]->kind) {
        info->result = cudaGraphExecUpdateErrorNodeTypeChanged;
      }
    }
    require(info->result == cudaGraphExecUpdateSuccess, cudaErrorGraphExecUpdateFailure);
    info->errorNode = nullptr;
    executable.graph = std::make_shared<Graph>(fresh.clone());
  });
}

cudaError_t cudaGraphExecKernelNodeSetParams(cudaGraphExec_t handle, cudaGraphNode_t node,
                                             const cudaKernelNodeParams* params) {
  return entry([&] {
    Executable& executable = executable_of(handle);
    const auto found = std::find(executable.originals.begin(), executable.originals.end(), node);
    require(found != executable.originals.end(), cudaErrorInvalidValue);
    auto changed = std::make_shared<Graph>(executable.graph->clone());
    GraphNode& target = *changed->nodes[static_cast<size_t>(found - executable.originals.begin())];
    require(target.kind == cudaGraphNodeTypeKernel, cudaErrorInvalidValue);
    target.work = kernel_work(*params);
    executable.graph = std::move(changed);
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t handle) {
  return entry([&] {
    const Executable& doomed = executable_of(handle);
    std::erase_if(all_graphs().executables, [&](const auto& e) { return e.get() == &doomed; });
  });
}

}  // extern "C"
