#pragma once
#include <cstddef>
#include <cstdint>

namespace vigor {

// For kernels that move elements and do not compute with them: calls f.template operator()<T>() with the unsigned
// integer of `nbytes` (1, 2, 4 or 8), which stands for every dtype of that size.
template <class F>
void visit_size(size_t nbytes, F&& f) {
  switch (nbytes) {
    case 1:
      return f.template operator()<uint8_t>();
    case 2:
      return f.template operator()<uint16_t>();
    case 4:
      return f.template operator()<uint32_t>();
    default:
      return f.template operator()<uint64_t>();
  }
}

}  // namespace vigor
