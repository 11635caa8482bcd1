#include "train/device_choice.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace vigor {
namespace {

namespace fs = std::filesystem;

fs::path own_folder() { return fs::read_symlink("/proc/self/exe").parent_path(); }

Device choose_cuda(const char* command) {
  if (const std::string problem = cuda_problem(); !problem.empty())
    throw std::runtime_error(
        fmt::format("{}: --device cuda: {}; --device emulated runs the same kernels on the CPU, slowly, and "
                    "--device cpu computes there",
                    command, problem));
  if (cuda_is_emulated())
    throw std::runtime_error(fmt::format(
        "{}: --device cuda is a real GPU, and this process has the emulated one; use --device emulated", command));
  return kCuda;
}

Device choose_emulated(const char* command) {
  if (!kCudaBuild) throw std::runtime_error(fmt::format("{}: --device emulated: {}", command, cuda_problem()));
  if (std::getenv("VIGOR_EMULATED_PROCESS") == nullptr) throw RestartEmulated();
  const std::string problem = cuda_problem();
  if (!problem.empty() || !cuda_is_emulated())
    throw std::runtime_error(fmt::format("{}: --device emulated: the stand-in libraries were not loaded ({})", command,
                                         problem.empty() ? "a real GPU answered" : problem));
  return kCuda;
}

}  // namespace

Device choose_device(const std::string& name, const char* command) {
  const char* gpu = std::getenv("VIGOR_GPU");
  const bool prefers_emulated = gpu != nullptr && std::string_view(gpu) == "emulated";
  if (name == "cpu") return kCpu;
  if (name == "cuda") return choose_cuda(command);
  if (name == "emulated" || prefers_emulated) return choose_emulated(command);
  return cuda_problem().empty() ? kCuda : kCpu;
}

std::string describe_device(Device device) {
  if (device.is_cpu()) return "cpu";
  std::string text = cuda_description();
  if (cuda_is_emulated())
    text += "; every GPU thread is interpreted on the CPU, so this is thousands of times slower than a GPU";
  return text;
}

fs::path emulated_libraries() {
  std::vector<fs::path> candidates;
  if (const char* given = std::getenv("VIGOR_EMULATED_LIBRARIES")) candidates.emplace_back(given);
  else candidates = {own_folder() / "../emulated", own_folder() / "../lib/vigor/emulated"};
  for (const fs::path& folder : candidates)
    if (fs::exists(folder / "libcudart.so.13")) return fs::canonical(folder);
  throw std::runtime_error(fmt::format(
      "the libraries of the emulated device are not in {}; builds with the CUDA toolkit make them (VIGOR_CUDA=on)",
      candidates.front().lexically_normal().string()));
}

void exec_emulated(const fs::path& program, char* const* arguments) {
  std::string path = emulated_libraries().string();
  if (const char* before = std::getenv("LD_LIBRARY_PATH"); before != nullptr && *before != '\0')
    path += std::string(":") + before;
  setenv("LD_LIBRARY_PATH", path.c_str(), 1);
  setenv("VIGOR_EMULATED_PROCESS", "1", 1);
  execv(program.c_str(), arguments);
  throw std::runtime_error(fmt::format("cannot start {}: {}", program.string(), std::strerror(errno)));
}

}  // namespace vigor
