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
std::unique_ptr<Allocator::System> cuda_system();  // cudaMalloc

}  // namespace vigor
