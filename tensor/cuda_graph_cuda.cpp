#include <stdexcept>

#include "tensor/allocator.h"
#include "tensor/cuda.h"
#include "tensor/cuda_graph.h"
#include "tensor/device_cuda.h"

namespace vigor {

struct CudaGraph::State {
  Allocator memory{cuda_system(/*of_graph=*/true), /*gives_back=*/false};
  cudaGraphExec_t executable = nullptr;
  ~State() {
    if (executable != nullptr && cudaGraphExecDestroy(executable) != cudaSuccess) (void)cudaGetLastError();
  }
};

CudaGraph::CudaGraph() : state_(std::make_unique<State>()) {}
CudaGraph::~CudaGraph() = default;
bool CudaGraph::captured() const { return state_->executable != nullptr; }

void CudaGraph::capture(const std::function<void()>& work) {
  if (captured()) throw std::logic_error("cuda graph: capture() was called before");
  const cudaStream_t stream = cuda_stream();
  cudaGraph_t graph = nullptr;
  // Relaxed: the graph's own allocator may call cudaMalloc while the stream records.
  VIGOR_CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
  try {
    const CudaAllocatorScope own_memory(state_->memory);
    work();
  } catch (...) {
    if (cudaStreamEndCapture(stream, &graph) == cudaSuccess && graph != nullptr) (void)cudaGraphDestroy(graph);
    (void)cudaGetLastError();  // the error that matters is on its way
    throw;
  }
  VIGOR_CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
  const cudaError_t status = cudaGraphInstantiate(&state_->executable, graph, 0);
  VIGOR_CUDA_CHECK(cudaGraphDestroy(graph));
  check_cuda(status, "cudaGraphInstantiate", __FILE__, __LINE__);
}

void CudaGraph::replay() {
  if (!captured()) throw std::logic_error("cuda graph: replay() before capture()");
  VIGOR_CUDA_CHECK(cudaGraphLaunch(state_->executable, cuda_stream()));
}

}  // namespace vigor
