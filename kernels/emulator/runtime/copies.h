#pragma once
// Copies and fills between host and device, as work of a stream.
#include <driver_types.h>

#include <cstddef>

#include "kernels/emulator/runtime/streams.h"

namespace vigor::emulator {

// `rows` pieces of `width` bytes; their begins lie `pitch` bytes apart. A plain copy is one row.
struct CopyShape {
  size_t width = 0, rows = 1;
  size_t to_pitch = 0, from_pitch = 0;
};

// Issues a copy. Throws cudaErrorInvalidMemcpyDirection for an unknown kind, cudaErrorInvalidPitchValue for a pitch
// below the width, and cudaErrorInvalidValue, with a line that says why, where an end is not on the side that `kind`
// says or is smaller than the copy. Ordinary host memory is read before the call returns and written before it returns;
// pinned memory is read and written when the copy's turn comes, as on a GPU.
void issue_copy(Stream& stream, void* to, const void* from, const CopyShape& shape, cudaMemcpyKind kind);

// The same copy or fill, checked now, as work for a graph's node; memory is read at each replay.
Work copy_work(void* to, const void* from, const CopyShape& shape, cudaMemcpyKind kind);
Work fill_work(void* to, int value, const CopyShape& shape);

// issue_copy on the stream and wait for it.
void copy_now(Stream& stream, void* to, const void* from, const CopyShape& shape, cudaMemcpyKind kind);

// Fills `rows` pieces with the low byte of `value`.
void issue_fill(Stream& stream, void* to, int value, const CopyShape& shape);

}  // namespace vigor::emulator
