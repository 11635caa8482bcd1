#pragma once
// For the tests of the emulator's core: loads a PTX file that the build made, moves arrays, launches.
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/emulator/launch.h"

namespace vigor::emulator {

class TestDevice {
 public:
  // `name`: of a .cu file in this folder.
  explicit TestDevice(const std::string& name) : memory_(uint64_t{1} << 30), module_(text(name), name, memory_) {}

  template <class T>
  uint64_t upload(const std::vector<T>& values) {
    const uint64_t address = memory_.allocate(values.size() * sizeof(T));
    if (!values.empty()) {
      std::memcpy(memory_.translate(address, values.size() * sizeof(T), "test"), values.data(),
                  values.size() * sizeof(T));
    }
    return address;
  }
  template <class T>
  std::vector<T> download(uint64_t address, size_t count) {
    std::vector<T> values(count);
    std::memcpy(values.data(), memory_.translate(address, count * sizeof(T), "test"), count * sizeof(T));
    return values;
  }
  template <class T>
  uint64_t zeros(size_t count) {
    return upload(std::vector<T>(count));
  }

  // Kernels are declared extern "C", so that their names are plain.
  template <class... Arguments>
  LaunchCounts launch(const std::string& kernel, LaunchConfig config, Arguments... arguments) {
    const KernelInfo* info = module_.find_kernel(kernel);
    if (!info) throw Fault(FaultKind::unknown_symbol, kernel);
    std::vector<std::byte> parameters(info->parameter_bytes);
    size_t i = 0;
    [[maybe_unused]] const auto put = [&](const auto& value) {
      ASSERT_LT(i, info->parameters.size());
      ASSERT_EQ(sizeof(value), info->parameters[i].bytes) << kernel << " parameter " << i;
      std::memcpy(parameters.data() + info->parameters[i++].offset, &value, sizeof(value));
    };
    (put(arguments), ...);
    EXPECT_EQ(i, info->parameters.size());
    return emulator::launch(module_, kernel, config, parameters, options);
  }

  // The report of the fault that a launch ends with; a failure if there is none.
  template <class... Arguments>
  std::string fault(FaultKind kind, const std::string& kernel, LaunchConfig config, Arguments... arguments) {
    try {
      launch(kernel, config, arguments...);
    } catch (const Fault& fault) {
      EXPECT_EQ(kind, fault.kind()) << fault.what();
      return fault.what();
    }
    ADD_FAILURE() << kernel << " ended without a fault";
    return {};
  }

  DeviceMemory& memory() { return memory_; }
  Module& module() { return module_; }

  LaunchOptions options;

 private:
  static std::string text(const std::string& name) {
    std::ifstream file(std::string(VIGOR_EMULATOR_PTX) + "/" + name + ".ptx");
    EXPECT_TRUE(file.good()) << name;
    return {std::istreambuf_iterator<char>(file), {}};
  }

  DeviceMemory memory_;
  Module module_;
};

}  // namespace vigor::emulator
