#include "tensor/step_state.h"

#include <cstddef>
#include <cstring>

#include "tensor/primitives.h"

namespace vigor {
namespace {

constexpr auto kInputBytes = static_cast<int64_t>(offsetof(StepState, grad_norm));  // they come first
constexpr auto kStateBytes = static_cast<int64_t>(sizeof(StepState));

}  // namespace

StepStateMemory::StepStateMemory(Device device)
    : inputs_({kInputBytes}, Dtype::u8, device), state_(empty({kStateBytes}, Dtype::u8, device)) {
  const StepState fresh;
  const Tensor bytes = empty({kStateBytes}, Dtype::u8);
  std::memcpy(bytes.raw(), static_cast<const void*>(&fresh), sizeof fresh);
  copy(state_, bytes);
}

void StepStateMemory::set_inputs(const StepState& state) {
  std::memcpy(inputs_.host().raw(), &state, static_cast<size_t>(kInputBytes));
  inputs_.send();
  copy(sliced(state_, 0, 0, kInputBytes, 1, "step state"), inputs_.on_device());
}

StepState StepStateMemory::read() const {
  const Tensor bytes = to_device(state_, kCpu);
  StepState state;
  std::memcpy(static_cast<void*>(&state), bytes.raw(), sizeof state);
  return state;
}

}  // namespace vigor
