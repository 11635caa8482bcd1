#pragma once
// Can this program run on the emulated device, and if not, what must be built differently?
#include <filesystem>
#include <string>
#include <vector>

namespace vigor::emulator {

struct ProgramCheck {
  // One line each, in the order to mend them, naming the nvcc flags or the call at fault. Empty: it will start.
  std::vector<std::string> problems;
  // What does not stop it but is worth knowing, for example that only some of its device code is PTX.
  std::vector<std::string> notes;
  std::vector<std::string> cuda_libraries;  // the CUDA libraries it asks for, as in "libcudart.so.13"
  std::vector<int> ptx_architectures;       // of the PTX it holds, sorted, each once
};

// `standins` is the folder of the stand-in libraries; what they define is read from the files there. The device code
// may also lie in shared libraries that `program` links: give each of these to its own call.
// Throws std::runtime_error if `program` is not a readable 64-bit ELF file or the stand-ins are missing.
ProgramCheck check_program(const std::filesystem::path& program, const std::filesystem::path& standins);

}  // namespace vigor::emulator
