#pragma once
// From the word a user gives to --device to a Device. `auto` takes a GPU where there is one; `cuda` is always a real
// GPU; `emulated`, or `auto` with VIGOR_GPU=emulated, is the CPU in the role of one (docs/emulator.md), for which the
// program must be started again with the stand-in libraries in front.
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "tensor/device.h"

namespace vigor {

inline const std::vector<std::string> kDeviceNames = {"auto", "cpu", "cuda", "emulated"};

// Thrown where `emulated` is asked for in a process that has the real CUDA runtime; main() restarts the program.
struct RestartEmulated : std::runtime_error {
  RestartEmulated() : std::runtime_error("the emulated device needs a restart of the program") {}
};

// Throws RestartEmulated; std::runtime_error in one line when the device cannot be used. `command` begins it.
Device choose_device(const std::string& name, const char* command);

// "cpu", or the description of the GPU; for the first lines of a run.
std::string describe_device(Device device);

// ---- starting programs on the emulated device ----
// The folder of the stand-in libraries: VIGOR_EMULATED_LIBRARIES, or beside this program as built or installed.
// std::runtime_error when it is not there.
std::filesystem::path emulated_libraries();
// Replaces this process by `program` with those libraries in front; returns only by throwing std::runtime_error.
[[noreturn]] void exec_emulated(const std::filesystem::path& program, char* const* arguments);

}  // namespace vigor
