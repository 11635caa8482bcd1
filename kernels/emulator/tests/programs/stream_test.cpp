// Streams, events and graphs.
#include <algorithm>
#include <cstdlib>

#include "device_test.h"
#include "kernels.h"

namespace {

using Streams = DeviceTest;
using Graphs = DeviceTest;

cudaStream_t make_stream(unsigned flags = cudaStreamDefault) {
  cudaStream_t stream = nullptr;
  EXPECT_CUDA(cudaSuccess, cudaStreamCreateWithFlags(&stream, flags));
  return stream;
}

cudaEvent_t make_event() {
  cudaEvent_t event = nullptr;
  EXPECT_CUDA(cudaSuccess, cudaEventCreate(&event));
  return event;
}

float* pinned(size_t count, float value) {
  void* memory = nullptr;
  EXPECT_CUDA(cudaSuccess, cudaMallocHost(&memory, count * sizeof(float)));
  std::fill_n(static_cast<float*>(memory), count, value);
  return static_cast<float*>(memory);
}

TEST_F(Streams, WorkRunsWhenItIsWaitedFor) {
  float* x = to_device(std::vector<float>{1});
  float* result = pinned(1, -1);
  const cudaStream_t stream = make_stream();
  launch_scale(x, 5, 1, stream);
  EXPECT_CUDA(cudaSuccess, cudaMemcpyAsync(result, x, 4, cudaMemcpyDeviceToHost, stream));
  EXPECT_EQ(-1, *result);  // a program that reads now is wrong, and sees it
  EXPECT_CUDA(cudaErrorNotReady, cudaStreamQuery(stream));
  EXPECT_CUDA(cudaSuccess, cudaStreamSynchronize(stream));
  EXPECT_EQ(5, *result);
  EXPECT_CUDA(cudaSuccess, cudaStreamQuery(stream));
  cudaGetLastError();
}

TEST_F(Streams, LaunchBlockingRunsAtOnce) {
  setenv("CUDA_LAUNCH_BLOCKING", "1", 1);
  float* x = pinned(1, 2);
  launch_scale(x, 5, 1, make_stream());
  EXPECT_EQ(10, *x);
  unsetenv("CUDA_LAUNCH_BLOCKING");
}

TEST_F(Streams, EventsOrderStreams) {
  for (const char* seed : {"", "1", "2", "3"}) {
    if (*seed) setenv("VIGOR_EMULATOR_WARP_ORDER", seed, 1);
    float* x = to_device(std::vector<float>{1});
    const cudaStream_t first = make_stream(cudaStreamNonBlocking), second = make_stream(cudaStreamNonBlocking);
    const cudaEvent_t event = make_event();
    launch_scale(x, 3, 1, first);
    EXPECT_CUDA(cudaSuccess, cudaEventRecord(event, first));
    EXPECT_CUDA(cudaSuccess, cudaStreamWaitEvent(second, event, 0));
    launch_negate(x, 1, second);
    launch_add(x, x, x, 1, second);
    EXPECT_CUDA(cudaSuccess, cudaStreamSynchronize(second));
    EXPECT_CUDA(cudaSuccess, cudaStreamQuery(first));
    EXPECT_EQ(-6, to_host(x, 1)[0]);
  }
  unsetenv("VIGOR_EMULATOR_WARP_ORDER");
}

TEST_F(Streams, WithoutAnEventTheStreamThatIsWaitedForRunsFirst) {
  float* x = to_device(std::vector<float>{1});
  const cudaStream_t first = make_stream(cudaStreamNonBlocking), second = make_stream(cudaStreamNonBlocking);
  launch_scale(x, 3, 1, first);
  launch_add_from_constant(x, 1, second);
  EXPECT_CUDA(cudaSuccess, cudaStreamSynchronize(second));
  EXPECT_CUDA(cudaSuccess, cudaStreamSynchronize(first));
  EXPECT_EQ(6, to_host(x, 1)[0]);
}

TEST_F(Streams, TheLegacyStreamWaitsForBlockingStreamsOnly) {
  float* x = pinned(2, 1);
  launch_scale(x, 3, 1, make_stream());
  launch_scale(x + 1, 3, 1, make_stream(cudaStreamNonBlocking));
  launch_add(x, x, x, 2);
  EXPECT_CUDA(cudaSuccess, cudaStreamSynchronize(nullptr));
  EXPECT_EQ(6, x[0]);
  EXPECT_EQ(2, x[1]);
  EXPECT_CUDA(cudaSuccess, cudaDeviceSynchronize());
  EXPECT_EQ(6, x[1]);
}

TEST_F(Streams, BlockingStreamsWaitForTheLegacyStream) {
  float* x = pinned(1, 1);
  const cudaStream_t blocking = make_stream(), other = make_stream(cudaStreamNonBlocking);
  launch_scale(x, 3, 1);
  launch_add_from_constant(x, 1, other);  // does not wait
  EXPECT_CUDA(cudaSuccess, cudaStreamSynchronize(other));
  EXPECT_EQ(2, *x);
  launch_negate(x, 1, blocking);
  EXPECT_CUDA(cudaSuccess, cudaStreamSynchronize(blocking));
  EXPECT_EQ(-6, *x);
}

TEST_F(Streams, OrdinaryHostMemoryIsReadAndWrittenBeforeAnAsynchronousCopyReturns) {
  std::vector<float> source{1, 2}, target(2);
  float* x = to_device(std::vector<float>(2));
  const cudaStream_t stream = make_stream();
  EXPECT_CUDA(cudaSuccess, cudaMemcpyAsync(x, source.data(), 8, cudaMemcpyHostToDevice, stream));
  source = {7, 7};
  launch_scale(x, 2, 2, stream);
  EXPECT_CUDA(cudaSuccess, cudaMemcpyAsync(target.data(), x, 8, cudaMemcpyDeviceToHost, stream));
  EXPECT_EQ((std::vector<float>{2, 4}), target);
  // Pinned memory is read when the copy's turn comes.
  float* slow = pinned(2, 5);
  EXPECT_CUDA(cudaSuccess, cudaMemcpyAsync(x, slow, 8, cudaMemcpyHostToDevice, stream));
  slow[0] = 6;
  EXPECT_CUDA(cudaSuccess, cudaStreamSynchronize(stream));
  EXPECT_EQ((std::vector<float>{6, 5}), to_host(x, 2));
}

TEST_F(Streams, EventsHaveTimes) {
  float* x = to_device(std::vector<float>(1000));
  const cudaEvent_t begin = make_event(), end = make_event();
  const cudaStream_t stream = make_stream();
  float milliseconds = -1;
  EXPECT_CUDA(cudaErrorInvalidResourceHandle, cudaEventElapsedTime(&milliseconds, begin, end));
  EXPECT_CUDA(cudaSuccess, cudaEventRecord(begin, stream));
  launch_scale(x, 3, 1000, stream);
  EXPECT_CUDA(cudaSuccess, cudaEventRecord(end, stream));
  EXPECT_CUDA(cudaErrorNotReady, cudaEventElapsedTime(&milliseconds, begin, end));
  EXPECT_CUDA(cudaSuccess, cudaEventSynchronize(end));
  EXPECT_CUDA(cudaSuccess, cudaEventElapsedTime(&milliseconds, begin, end));
  EXPECT_GE(milliseconds, 0);
  while (cudaEventQuery(end) == cudaErrorNotReady) {
  }
  cudaGetLastError();
}

TEST_F(Streams, HostFunctionsRunInTheirPlaceAndMayNotCallBack) {
  struct Seen {
    const float* x;
    float value;
    cudaError_t code;
  } seen{pinned(1, 1), 0, cudaSuccess};
  const cudaStream_t stream = make_stream();
  launch_scale(const_cast<float*>(seen.x), 4, 1, stream);
  const auto look = [](void* data) {
    auto* s = static_cast<Seen*>(data);
    s->value = *s->x;
    void* memory = nullptr;
    s->code = cudaMalloc(&memory, 4);
  };
  EXPECT_CUDA(cudaSuccess, cudaLaunchHostFunc(stream, look, &seen));
  launch_scale(const_cast<float*>(seen.x), 4, 1, stream);
  EXPECT_CUDA(cudaSuccess, cudaStreamSynchronize(stream));
  EXPECT_EQ(4, seen.value);
  EXPECT_EQ(cudaErrorNotPermitted, seen.code);
}

TEST_F(Streams, HandlesAreChecked) {
  const cudaStream_t stream = make_stream();
  EXPECT_CUDA(cudaSuccess, cudaStreamDestroy(stream));
  EXPECT_CUDA(cudaErrorInvalidResourceHandle, cudaStreamSynchronize(stream));
  EXPECT_CUDA(cudaErrorInvalidResourceHandle, cudaEventRecord(reinterpret_cast<cudaEvent_t>(stream), nullptr));
  cudaGetLastError();
}

// Captures work(stream) and gives the executable graph.
template <typename Issue>
cudaGraphExec_t capture(cudaStream_t stream, Issue&& issue, size_t nodes_wanted) {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  EXPECT_CUDA(cudaSuccess, cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  issue(stream);
  EXPECT_CUDA(cudaSuccess, cudaStreamEndCapture(stream, &graph));
  size_t nodes = 0;
  EXPECT_CUDA(cudaSuccess, cudaGraphGetNodes(graph, nullptr, &nodes));
  EXPECT_EQ(nodes_wanted, nodes);
  EXPECT_CUDA(cudaSuccess, cudaGraphInstantiate(&executable, graph, 0));
  EXPECT_CUDA(cudaSuccess, cudaGraphDestroy(graph));
  return executable;
}

TEST_F(Graphs, ArgumentsAreFrozenAndMemoryIsNot) {
  float* x = to_device(std::vector<float>{1, 2});
  const cudaStream_t stream = make_stream();
  float factor = 10;
  const cudaGraphExec_t step = capture(
      stream,
      [&](cudaStream_t s) {
        launch_scale(x, factor, 2, s);
        EXPECT_CUDA(cudaSuccess, cudaMemsetAsync(x, 0, 4, s));
      },
      2);
  factor = 1000;
  EXPECT_EQ((std::vector<float>{1, 2}), to_host(x, 2));  // nothing ran while it was captured
  EXPECT_CUDA(cudaSuccess, cudaGraphLaunch(step, stream));
  EXPECT_CUDA(cudaSuccess, cudaGraphLaunch(step, stream));
  EXPECT_CUDA(cudaSuccess, cudaStreamSynchronize(stream));
  EXPECT_EQ((std::vector<float>{0, 200}), to_host(x, 2));
  EXPECT_CUDA(cudaSuccess, cudaGraphExecDestroy(step));
}

TEST_F(Graphs, ForkedStreamsRunInEveryOrderThatTheirEventsAllow) {
  const cudaStream_t stream = make_stream(), side = make_stream();
  const cudaEvent_t fork = make_event(), join = make_event();
  float* x = to_device(std::vector<float>{1, 1});
  const cudaGraphExec_t step = capture(
      stream,
      [&](cudaStream_t s) {
        launch_scale(x, 2, 2, s);
        EXPECT_CUDA(cudaSuccess, cudaEventRecord(fork, s));
        EXPECT_CUDA(cudaSuccess, cudaStreamWaitEvent(side, fork, 0));
        launch_negate(x + 1, 1, side);
        EXPECT_CUDA(cudaSuccess, cudaEventRecord(join, side));
        launch_scale(x, 5, 1, s);
        EXPECT_CUDA(cudaSuccess, cudaStreamWaitEvent(s, join, 0));
        launch_add(x, x + 1, x, 1, s);
      },
      4);
  for (const char* seed : {"1", "2", "3", "4"}) {
    setenv("VIGOR_EMULATOR_WARP_ORDER", seed, 1);
    const std::vector<float> start{1, 1};
    EXPECT_CUDA(cudaSuccess, cudaMemcpy(x, start.data(), 8, cudaMemcpyHostToDevice));
    EXPECT_CUDA(cudaSuccess, cudaGraphLaunch(step, stream));
    EXPECT_CUDA(cudaSuccess, cudaStreamSynchronize(stream));
    EXPECT_EQ((std::vector<float>{8, -2}), to_host(x, 2));
  }
  unsetenv("VIGOR_EMULATOR_WARP_ORDER");
}

TEST_F(Graphs, ForbiddenCallsSpoilTheCapture) {
  const cudaStream_t stream = make_stream();
  float* x = to_device(std::vector<float>{1});
  void* memory = nullptr;
  const auto code_of_capture = [&](cudaStreamCaptureMode mode, cudaError_t wanted, auto&& call) {
    cudaGraph_t graph = nullptr;
    EXPECT_CUDA(cudaSuccess, cudaStreamBeginCapture(stream, mode));
    EXPECT_EQ(wanted, call());
    cudaGetLastError();
    const cudaError_t code = cudaStreamEndCapture(stream, &graph);
    EXPECT_EQ(code == cudaSuccess, graph != nullptr);
    if (graph != nullptr) cudaGraphDestroy(graph);
    cudaGetLastError();
    return code;
  };
  const auto allocate = [&] { return cudaMalloc(&memory, 16); };
  EXPECT_EQ(cudaErrorStreamCaptureInvalidated,
            code_of_capture(cudaStreamCaptureModeGlobal, cudaErrorStreamCaptureUnsupported, allocate));
  EXPECT_EQ(cudaErrorStreamCaptureInvalidated,
            code_of_capture(cudaStreamCaptureModeThreadLocal, cudaErrorStreamCaptureUnsupported, allocate));
  EXPECT_EQ(cudaSuccess, code_of_capture(cudaStreamCaptureModeRelaxed, cudaSuccess, allocate));
  EXPECT_EQ(cudaErrorStreamCaptureInvalidated,
            code_of_capture(cudaStreamCaptureModeRelaxed, cudaErrorStreamCaptureUnsupported,
                            [&] { return cudaStreamSynchronize(stream); }));
  EXPECT_EQ(cudaErrorStreamCaptureInvalidated,
            code_of_capture(cudaStreamCaptureModeRelaxed, cudaErrorStreamCaptureUnsupported,
                            [] { return cudaDeviceSynchronize(); }));
  EXPECT_EQ(cudaErrorStreamCaptureInvalidated,
            code_of_capture(cudaStreamCaptureModeRelaxed, cudaErrorStreamCaptureImplicit, [&] {
              launch_scale(x, 2, 1);  // the legacy stream
              return cudaPeekAtLastError();
            }));
  const cudaStream_t side = make_stream();
  const cudaEvent_t fork = make_event();
  EXPECT_EQ(cudaErrorStreamCaptureUnjoined, code_of_capture(cudaStreamCaptureModeRelaxed, cudaSuccess, [&] {
              launch_scale(x, 2, 1, stream);
              EXPECT_CUDA(cudaSuccess, cudaEventRecord(fork, stream));
              EXPECT_CUDA(cudaSuccess, cudaStreamWaitEvent(side, fork, 0));
              launch_scale(x, 2, 1, side);
              return cudaSuccess;
            }));
  // All is as before.
  launch_scale(x, 2, 1, stream);
  EXPECT_CUDA(cudaSuccess, cudaStreamSynchronize(stream));
  EXPECT_EQ(2, to_host(x, 1)[0]);
}

TEST_F(Graphs, AnExecutableGraphTakesNewArgumentsFromAnEqualGraph) {
  float* x = to_device(std::vector<float>{1});
  const cudaStream_t stream = make_stream();
  const auto captured = [&](float factor, bool twice) {
    cudaGraph_t graph = nullptr;
    EXPECT_CUDA(cudaSuccess, cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
    launch_scale(x, factor, 1, stream);
    if (twice) launch_scale(x, factor, 1, stream);
    EXPECT_CUDA(cudaSuccess, cudaStreamEndCapture(stream, &graph));
    return graph;
  };
  cudaGraphExec_t step = nullptr;
  EXPECT_CUDA(cudaSuccess, cudaGraphInstantiate(&step, captured(3, false), 0));
  EXPECT_CUDA(cudaSuccess, cudaGraphLaunch(step, stream));  // waits with the old argument
  cudaGraphExecUpdateResultInfo info;
  EXPECT_CUDA(cudaSuccess, cudaGraphExecUpdate(step, captured(7, false), &info));
  EXPECT_CUDA(cudaSuccess, cudaGraphLaunch(step, stream));
  EXPECT_CUDA(cudaErrorGraphExecUpdateFailure, cudaGraphExecUpdate(step, captured(7, true), &info));
  EXPECT_EQ(cudaGraphExecUpdateErrorTopologyChanged, info.result);
  cudaGetLastError();
  EXPECT_CUDA(cudaSuccess, cudaStreamSynchronize(stream));
  EXPECT_EQ(21, to_host(x, 1)[0]);
}

}  // namespace
