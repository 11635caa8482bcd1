#pragma once
// What device.h, the allocator and the primitives ask of the CUDA half; declared without its headers.
#include <memory>
#include <string>

#include "tensor/allocator.h"

namespace vigor {

std::string problem_of_cuda();
std::string description_of_cuda();
bool is_cuda_emulated();
void synchronize_cuda();
// cudaMalloc. On the emulated device its checker learns what is handed out, so that it sees a kernel reach beyond a
// tensor; not of memory `of_graph`, which a replay writes to although the capture has given it back.
std::unique_ptr<Allocator::System> cuda_system(bool of_graph = false);

}  // namespace vigor
