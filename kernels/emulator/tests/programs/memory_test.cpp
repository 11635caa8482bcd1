// Allocations and copies.
#include "device_test.h"
#include "kernels.h"

namespace {

using Memory = DeviceTest;

TEST_F(Memory, AllocationsAreAlignedAndCounted) {
  size_t before = 0, after = 0, total = 0;
  EXPECT_CUDA(cudaSuccess, cudaMemGetInfo(&before, &total));
  void *a = nullptr, *b = nullptr;
  ASSERT_CUDA(cudaMalloc(&a, 100));
  ASSERT_CUDA(cudaMalloc(&b, 1 << 20));
  EXPECT_EQ(0u, reinterpret_cast<uintptr_t>(a) % 256);
  EXPECT_EQ(0u, reinterpret_cast<uintptr_t>(b) % 256);
  EXPECT_CUDA(cudaSuccess, cudaMemGetInfo(&after, &total));
  EXPECT_EQ(before - after, (1u << 20) + 100);
  EXPECT_CUDA(cudaSuccess, cudaFree(a));
  EXPECT_CUDA(cudaSuccess, cudaFree(nullptr));
  EXPECT_CUDA(cudaErrorInvalidValue, cudaFree(a));
  EXPECT_CUDA(cudaErrorInvalidValue, cudaFree(static_cast<char*>(b) + 256));
  EXPECT_CUDA(cudaErrorMemoryAllocation, cudaMalloc(&a, size_t{1} << 50));
}

TEST_F(Memory, CopiesGoEveryWay) {
  const std::vector<float> values{1, 2, 3, 4};
  float *a = to_device(values), *b = to_device(std::vector<float>(4));
  EXPECT_CUDA(cudaSuccess, cudaMemcpy(b, a, 16, cudaMemcpyDeviceToDevice));
  EXPECT_EQ(values, to_host(b, 4));
  EXPECT_CUDA(cudaSuccess, cudaMemcpy(b + 2, values.data(), 8, cudaMemcpyDefault));
  EXPECT_EQ((std::vector<float>{1, 2, 1, 2}), to_host(b, 4));
  EXPECT_CUDA(cudaSuccess, cudaMemset(b, 0, 8));
  EXPECT_EQ((std::vector<float>{0, 0, 1, 2}), to_host(b, 4));
}

TEST_F(Memory, WrongCopiesAreRefused) {
  std::vector<float> host(64);
  float* device = to_device(std::vector<float>(4));
  EXPECT_CUDA(cudaErrorInvalidValue, cudaMemcpy(device, host.data(), 20, cudaMemcpyHostToDevice));
  EXPECT_CUDA(cudaErrorInvalidValue, cudaMemcpy(host.data(), device + 2, 16, cudaMemcpyDeviceToHost));
  EXPECT_CUDA(cudaErrorInvalidValue, cudaMemcpy(device, host.data(), 16, cudaMemcpyDeviceToHost));
  EXPECT_CUDA(cudaErrorInvalidValue, cudaMemcpy(host.data(), host.data() + 32, 16, cudaMemcpyDeviceToHost));
  EXPECT_CUDA(cudaErrorInvalidValue, cudaMemset(host.data(), 0, 16));
  EXPECT_CUDA(cudaErrorInvalidValue, cudaMemset(device, 0, 17));
  EXPECT_CUDA(cudaErrorInvalidMemcpyDirection, cudaMemcpy(device, host.data(), 16, static_cast<cudaMemcpyKind>(9)));
  EXPECT_CUDA(cudaErrorInvalidValue, cudaMemcpy(nullptr, host.data(), 16, cudaMemcpyDefault));
  cudaFree(device);
  EXPECT_CUDA(cudaErrorInvalidValue, cudaMemcpy(device, host.data(), 16, cudaMemcpyHostToDevice));
  cudaGetLastError();
}

TEST_F(Memory, RectanglesKeepTheirPitch) {
  const std::vector<float> host{1, 2, 9, 3, 4, 9};  // two rows of two, three apart
  float* device = to_device(std::vector<float>(8, 5));
  EXPECT_CUDA(cudaSuccess, cudaMemcpy2D(device, 16, host.data(), 12, 8, 2, cudaMemcpyHostToDevice));
  EXPECT_EQ((std::vector<float>{1, 2, 5, 5, 3, 4, 5, 5}), to_host(device, 8));
  EXPECT_CUDA(cudaErrorInvalidPitchValue, cudaMemcpy2D(device, 4, host.data(), 12, 8, 2, cudaMemcpyHostToDevice));
  EXPECT_CUDA(cudaErrorInvalidValue, cudaMemcpy2D(device, 16, host.data(), 12, 8, 3, cudaMemcpyHostToDevice));
  cudaGetLastError();
  EXPECT_CUDA(cudaSuccess, cudaMemset2D(device, 16, 0, 4, 2));
  EXPECT_EQ((std::vector<float>{0, 2, 5, 5, 0, 4, 5, 5}), to_host(device, 8));
}

TEST_F(Memory, PinnedAndManagedMemoryIsOnBothSides) {
  for (const bool managed : {false, true}) {
    void* memory = nullptr;
    ASSERT_CUDA(managed ? cudaMallocManaged(&memory, 16, cudaMemAttachGlobal) : cudaMallocHost(&memory, 16));
    auto* x = static_cast<float*>(memory);
    for (int i = 0; i < 4; ++i) x[i] = static_cast<float>(i);
    launch_scale(x, 10, 4);
    EXPECT_CUDA(cudaSuccess, cudaDeviceSynchronize());
    EXPECT_EQ(30, x[3]);
    cudaPointerAttributes attributes;
    EXPECT_CUDA(cudaSuccess, cudaPointerGetAttributes(&attributes, x));
    EXPECT_EQ(managed ? cudaMemoryTypeManaged : cudaMemoryTypeHost, attributes.type);
    EXPECT_CUDA(cudaSuccess, managed ? cudaFree(memory) : cudaFreeHost(memory));
    EXPECT_CUDA(cudaErrorInvalidValue, managed ? cudaFree(memory) : cudaFreeHost(memory));
  }
  std::vector<float> own(64, 2);
  EXPECT_CUDA(cudaSuccess, cudaHostRegister(own.data(), 256, cudaHostRegisterDefault));
  EXPECT_CUDA(cudaErrorHostMemoryAlreadyRegistered, cudaHostRegister(own.data(), 256, cudaHostRegisterDefault));
  launch_scale(own.data(), 3, 64);
  EXPECT_CUDA(cudaSuccess, cudaDeviceSynchronize());
  EXPECT_EQ(6, own[63]);
  EXPECT_CUDA(cudaSuccess, cudaHostUnregister(own.data()));
  EXPECT_CUDA(cudaErrorHostMemoryNotRegistered, cudaHostUnregister(own.data()));
  cudaGetLastError();
}

TEST_F(Memory, StreamOrderedAllocationsLiveUntilTheirFreeRuns) {
  cudaStream_t stream;
  ASSERT_CUDA(cudaStreamCreate(&stream));
  void* memory = nullptr;
  ASSERT_CUDA(cudaMallocAsync(&memory, 64, stream));
  ASSERT_CUDA(cudaMemsetAsync(memory, 0, 64, stream));
  launch_scale(static_cast<float*>(memory), 2, 16, stream);
  ASSERT_CUDA(cudaFreeAsync(memory, stream));
  EXPECT_CUDA(cudaSuccess, cudaStreamSynchronize(stream));
  EXPECT_CUDA(cudaErrorInvalidValue, cudaFree(memory));
  cudaGetLastError();
  cudaPointerAttributes attributes;
  EXPECT_CUDA(cudaSuccess, cudaPointerGetAttributes(&attributes, memory));
  EXPECT_EQ(cudaMemoryTypeUnregistered, attributes.type);
}

}  // namespace
