// Launches, device variables, limits and faults, as a program sees them.
#include <cstdlib>
#include <cstring>

#include "device_test.h"
#include "kernels.h"

namespace {

using Launch = DeviceTest;
using Faults = DeviceTest;

TEST_F(Launch, VectorsAreAdded) {
  constexpr int kCount = 1000;  // the last block has idle threads
  std::vector<float> a(kCount), b(kCount);
  for (int i = 0; i < kCount; ++i) a[i] = static_cast<float>(i), b[i] = 0.5f * static_cast<float>(i);
  float *da = to_device(a), *db = to_device(b), *sum = to_device(std::vector<float>(kCount));
  launch_add(da, db, sum, kCount);
  EXPECT_CUDA(cudaSuccess, cudaGetLastError());
  const std::vector<float> result = to_host(sum, kCount);
  for (int i = 0; i < kCount; ++i) EXPECT_EQ(1.5f * static_cast<float>(i), result[i]);
}

TEST_F(Launch, SeveralSourceFilesHaveTheirOwnVariables) {
  float* x = to_device(std::vector<float>{1, 2, 3});
  launch_negate(x, 3);
  launch_scale(x, 2, 3);
  EXPECT_EQ((std::vector<float>{-2, -4, -6}), to_host(x, 3));
  float other = 0, values[4];
  EXPECT_CUDA(cudaSuccess, get_other_table(other));
  EXPECT_EQ(9, other);
  EXPECT_CUDA(cudaSuccess, set_other_table(7));
  EXPECT_CUDA(cudaSuccess, get_table(values));
  EXPECT_EQ(4, values[3]);
}

TEST_F(Launch, DeviceVariablesHoldInitialAndCopiedValues) {
  float* x = to_device(std::vector<float>(6, 10));
  launch_add_from_constant(x, 6);
  EXPECT_EQ((std::vector<float>{11, 12, 13, 14, 11, 12}), to_host(x, 6));
  EXPECT_CUDA(cudaSuccess, set_table({0, 0, 0, 100}));
  launch_add_from_constant(x, 4);
  EXPECT_EQ(114, to_host(x, 4)[3]);

  int count = 0;
  EXPECT_CUDA(cudaSuccess, set_counter(3));
  launch_count(600);
  EXPECT_CUDA(cudaSuccess, get_counter(count));
  EXPECT_EQ(603, count);

  void* address = nullptr;
  size_t bytes = 0;
  EXPECT_CUDA(cudaSuccess, table_address(&address, &bytes));
  EXPECT_EQ(16u, bytes);
  EXPECT_EQ(100, to_host(static_cast<float*>(address), 4)[3]);
  EXPECT_CUDA(cudaErrorInvalidSymbol, cudaGetSymbolSize(&bytes, &count));
}

TEST_F(Launch, ConfigurationsWithoutClusters) {
  float* x = to_device(std::vector<float>{1, 2});
  cudaLaunchConfig_t config{};
  config.gridDim = 1;
  config.blockDim = 32;
  EXPECT_CUDA(cudaSuccess, launch_with_config(x, 3, 2, config));
  EXPECT_EQ(6, to_host(x, 2)[1]);
  cudaLaunchAttribute cluster{};
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim = {2, 1, 1};
  config.attrs = &cluster;
  config.numAttrs = 1;
  EXPECT_CUDA(cudaErrorNotSupported, launch_with_config(x, 3, 2, config));
}

TEST_F(Launch, PrintsLikePrintf) {
  testing::internal::CaptureStdout();
  launch_print(3);
  EXPECT_CUDA(cudaSuccess, cudaDeviceSynchronize());
  EXPECT_EQ("block 0 of 3: 0.00 text\nblock 1 of 3: 0.50 text\nblock 2 of 3: 1.00 text\n",
            testing::internal::GetCapturedStdout());
}

TEST_F(Launch, ShapesBeyondTheDeviceAreRefused) {
  const auto code = [](dim3 grid, dim3 block) {
    launch_shape(grid, block);
    return cudaGetLastError();
  };
  EXPECT_CUDA(cudaSuccess, code({1, 65535, 1}, {1, 1, 64}));
  EXPECT_CUDA(cudaErrorInvalidConfiguration, code(0, 32));
  EXPECT_CUDA(cudaErrorInvalidConfiguration, code(1, 0));
  EXPECT_CUDA(cudaErrorInvalidConfiguration, code(1, 1025));
  EXPECT_CUDA(cudaErrorInvalidConfiguration, code(1, {1, 1, 65}));
  EXPECT_CUDA(cudaErrorInvalidConfiguration, code(1, {32, 33, 1}));
  EXPECT_CUDA(cudaErrorInvalidConfiguration, code({1, 65536, 1}, 1));
  launch_bounded(128);
  EXPECT_CUDA(cudaSuccess, cudaGetLastError());
  launch_bounded(129);
  EXPECT_NE(cudaSuccess, cudaGetLastError());
}

TEST_F(Launch, SharedMemoryAbove48KbMustBeAskedFor) {
  float* x = to_device(std::vector<float>(32, 1));
  const auto code = [&](size_t bytes) {
    launch_shared(x, bytes);
    return cudaGetLastError();
  };
  const size_t kFixed = 32 * sizeof(float), k48 = 48 << 10, k64 = 64 << 10;
  EXPECT_CUDA(cudaSuccess, code(k48 - kFixed));
  EXPECT_CUDA(cudaErrorInvalidValue, code(k48));
  cudaFuncAttributes attributes;
  EXPECT_CUDA(cudaSuccess, cudaFuncGetAttributes(&attributes, shared_kernel()));
  EXPECT_EQ(kFixed, attributes.sharedSizeBytes);
  EXPECT_EQ(static_cast<int>(k48 - kFixed), attributes.maxDynamicSharedSizeBytes);

  const auto allow = [](size_t bytes) {
    return cudaFuncSetAttribute(shared_kernel(), cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
  };
  EXPECT_CUDA(cudaSuccess, allow(k64));
  EXPECT_CUDA(cudaSuccess, code(k64));
  EXPECT_CUDA(cudaErrorInvalidValue, code(k64 + 16));
  EXPECT_CUDA(cudaSuccess, cudaDeviceSynchronize());
  // Beyond the device, whatever is asked for: 99 KB in the default profile.
  int most = 0;
  EXPECT_CUDA(cudaSuccess, cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
  EXPECT_EQ(99 << 10, most);
  EXPECT_CUDA(cudaErrorInvalidValue, allow(static_cast<size_t>(most)));
  cudaGetLastError();
  setenv("VIGOR_EMULATOR_SHARED_KB", "163", 1);
  EXPECT_CUDA(cudaSuccess, allow(static_cast<size_t>(most)));
  EXPECT_CUDA(cudaSuccess, code(static_cast<size_t>(most)));
  EXPECT_CUDA(cudaSuccess, cudaDeviceSynchronize());
  unsetenv("VIGOR_EMULATOR_SHARED_KB");
}

TEST_F(Launch, OccupancyCountsThreadsAndSharedMemory) {
  EXPECT_EQ(6, occupancy_of_scale(256, 0));
  EXPECT_EQ(1, occupancy_of_scale(1024, 0));
  EXPECT_EQ(2, occupancy_of_scale(64, 48 << 10));
  EXPECT_EQ(0, occupancy_of_scale(64, 100 << 10));
}

TEST_F(Launch, TheDeviceSaysWhatItIs) {
  int count = 0;
  EXPECT_CUDA(cudaSuccess, cudaGetDeviceCount(&count));
  EXPECT_EQ(1, count);
  cudaDeviceProp properties;
  EXPECT_CUDA(cudaSuccess, cudaGetDeviceProperties(&properties, 0));
  EXPECT_NE(nullptr, std::strstr(properties.name, "emulated"));
  EXPECT_EQ(8, properties.major);
  EXPECT_CUDA(cudaErrorInvalidDevice, cudaSetDevice(1));
  EXPECT_STREQ("cudaErrorInvalidDevice", cudaGetErrorName(cudaErrorInvalidDevice));
  EXPECT_STREQ("invalid device ordinal", cudaGetErrorString(cudaErrorInvalidDevice));
}

TEST_F(Faults, ErrorsOfACallAreTakenOnce) {
  EXPECT_CUDA(cudaErrorInvalidDevice, cudaSetDevice(7));
  EXPECT_CUDA(cudaErrorInvalidDevice, cudaPeekAtLastError());
  EXPECT_CUDA(cudaSuccess, cudaSetDevice(0));  // does not forget it
  EXPECT_CUDA(cudaErrorInvalidDevice, cudaGetLastError());
  EXPECT_CUDA(cudaSuccess, cudaGetLastError());
}

TEST_F(Faults, AFaultOfAKernelStaysAndNamesTheLine) {
  float* x = to_device(std::vector<float>(8));
  testing::internal::CaptureStderr();
  launch_write_beyond(x, 8);
  EXPECT_CUDA(cudaSuccess, cudaGetLastError());  // found when it runs
  EXPECT_CUDA(cudaErrorIllegalAddress, cudaDeviceSynchronize());
  const std::string report = testing::internal::GetCapturedStderr();
  EXPECT_NE(std::string::npos, report.find("write_beyond_kernel")) << report;
  EXPECT_NE(std::string::npos, report.find("kernels.cu:")) << report;
  EXPECT_CUDA(cudaErrorIllegalAddress, cudaGetLastError());
  EXPECT_CUDA(cudaErrorIllegalAddress, cudaGetLastError());
  void* more = nullptr;
  EXPECT_CUDA(cudaErrorIllegalAddress, cudaMalloc(&more, 4));
  EXPECT_CUDA(cudaSuccess, cudaDeviceReset());
  EXPECT_CUDA(cudaSuccess, cudaMalloc(&more, 4));
}

TEST_F(Faults, AFailedAssertionIsItsOwnError) {
  launch_assert(0);
  EXPECT_CUDA(cudaSuccess, cudaDeviceSynchronize());
  testing::internal::CaptureStderr();
  launch_assert(1);
  EXPECT_CUDA(cudaErrorAssert, cudaDeviceSynchronize());
  const std::string report = testing::internal::GetCapturedStderr();
  EXPECT_NE(std::string::npos, report.find("value == 0")) << report;
}

TEST_F(Faults, AFaultCanEndTheProgram) {
  float* x = to_device(std::vector<float>(8));
  EXPECT_DEATH(
      {
        setenv("VIGOR_EMULATOR_ON_ERROR", "abort", 1);
        launch_write_beyond(x, 100);
        cudaDeviceSynchronize();
      },
      "write_beyond_kernel");
}

TEST_F(Faults, TheHostCannotTouchDeviceMemory) {
  volatile float* x = to_device(std::vector<float>(8));
  EXPECT_DEATH(x[0] = 1, "");
}

}  // namespace
