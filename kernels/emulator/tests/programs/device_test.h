#pragma once
// What the tests on the stand-ins share.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <vector>

#define EXPECT_CUDA(code, call) EXPECT_EQ(code, call) << #call
#define ASSERT_CUDA(call) ASSERT_EQ(cudaSuccess, call) << #call

// Starts every test on a fresh device: faults of the one before are gone.
class DeviceTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_CUDA(cudaDeviceReset()); }
};

// Device memory with a copy of `values`.
template <typename T>
T* to_device(const std::vector<T>& values) {
  void* address = nullptr;
  EXPECT_CUDA(cudaSuccess, cudaMalloc(&address, values.size() * sizeof(T)));
  EXPECT_CUDA(cudaSuccess, cudaMemcpy(address, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice));
  return static_cast<T*>(address);
}

template <typename T>
std::vector<T> to_host(const T* address, size_t count) {
  std::vector<T> values(count);
  EXPECT_CUDA(cudaSuccess, cudaMemcpy(values.data(), address, count * sizeof(T), cudaMemcpyDeviceToHost));
  return values;
}
