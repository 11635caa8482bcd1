#pragma once
// Sequence b of a batch, for launchers of kernels that walk time.
#include "kernels/sequence_steps.h"
#include "tensor/view.h"

namespace vigor {

// From lengths [B] i32 and resets [B,T] u8 in memory of the host; undefined: all T steps, no resets.
inline SequenceSteps steps_of(const TensorView& lengths, const TensorView& resets, int64_t b, int64_t T) {
  return {T, lengths.defined() ? lengths.as<int32_t>()[b] : T,
          resets.defined() ? resets.as<uint8_t>() + b * T : nullptr};
}

// Element [b,column] of a view [B,width]; null when the view is undefined.
template <class T>
T* row_or_null(const TensorView& view, int64_t b, int64_t column = 0) {
  return view.defined() ? view.as<T>() + b * view.strides[0] + column : nullptr;
}

}  // namespace vigor
