#include "kernels/emulator/runtime/copies.h"

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "kernels/emulator/runtime/capture.h"
#include "kernels/emulator/runtime/device.h"
#include "kernels/emulator/runtime/errors.h"

namespace vigor::emulator {
namespace {

size_t extent(const CopyShape& shape, size_t pitch) {
  return shape.width == 0 || shape.rows == 0 ? 0 : (shape.rows - 1) * pitch + shape.width;
}

[[noreturn]] void refuse(const std::string& why) {
  throw CudaFailure{cudaErrorInvalidValue, "cudaMemcpy refused: " + why};
}

void require_side(const void* address, bool device_wanted, const char* end) {
  const Place place = place_of(address);
  if (device_wanted && !place.on_device) refuse(std::string("the ") + end + " is not device memory");
  if (!device_wanted && !place.on_host) refuse(std::string("the ") + end + " is device memory");
}

void require_direction(const void* to, const void* from, cudaMemcpyKind kind) {
  require(kind >= cudaMemcpyHostToHost && kind <= cudaMemcpyDefault, cudaErrorInvalidMemcpyDirection);
  if (kind == cudaMemcpyDefault) return;
  require_side(to, kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice, "destination");
  require_side(from, kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice, "source");
}

void copy_rows(void* to, const void* from, const CopyShape& shape) {
  for (size_t row = 0; row < shape.rows; ++row) {
    copy_bytes(static_cast<std::byte*>(to) + row * shape.to_pitch,
               static_cast<const std::byte*>(from) + row * shape.from_pitch, shape.width);
  }
}

void require_copy(const void* to, const void* from, const CopyShape& shape, cudaMemcpyKind kind) {
  if (shape.width == 0 || shape.rows == 0) return;
  require(to != nullptr && from != nullptr, cudaErrorInvalidValue);
  require(shape.rows == 1 || (shape.to_pitch >= shape.width && shape.from_pitch >= shape.width),
          cudaErrorInvalidPitchValue);
  require_direction(to, from, kind);
  require_range(to, extent(shape, shape.to_pitch), "cudaMemcpy refused: destination");
  require_range(from, extent(shape, shape.from_pitch), "cudaMemcpy refused: source");
}

}  // namespace

Work copy_work(void* to, const void* from, const CopyShape& shape, cudaMemcpyKind kind) {
  require_copy(to, from, shape, kind);
  return [=] { copy_rows(to, from, shape); };
}

Work fill_work(void* to, int value, const CopyShape& shape) {
  require(shape.rows <= 1 || shape.to_pitch >= shape.width, cudaErrorInvalidPitchValue);
  const size_t bytes = extent(shape, shape.to_pitch);
  if (bytes > 0 && !place_of(to).on_device) {
    throw CudaFailure{cudaErrorInvalidValue, "cudaMemset refused: the destination is not device memory"};
  }
  require_range(to, bytes, "cudaMemset refused: destination");
  return [=] {
    for (size_t row = 0; row < shape.rows; ++row) {
      auto* begin = static_cast<std::byte*>(to) + row * shape.to_pitch;
      std::memset(writable(begin, shape.width, "cudaMemset"), value, shape.width);
    }
  };
}

void issue_copy(Stream& stream, void* to, const void* from, const CopyShape& shape, cudaMemcpyKind kind) {
  Work work = copy_work(to, from, shape, kind);
  const size_t bytes = extent(shape, shape.from_pitch);
  if (bytes > 0 && !place_of(from).on_device && stream.capture == nullptr) {
    const auto* begin = static_cast<const std::byte*>(from);
    auto staged = std::make_shared<std::vector<std::byte>>(begin, begin + bytes);
    work = [=] { copy_rows(to, staged->data(), shape); };
  }
  stream_table().issue(stream, cudaGraphNodeTypeMemcpy, std::move(work));
  if (!place_of(to).on_device && stream.capture == nullptr) stream_table().synchronize(stream);
}

void copy_now(Stream& stream, void* to, const void* from, const CopyShape& shape, cudaMemcpyKind kind) {
  refuse_while_capturing(stream);
  stream_table().issue(stream, cudaGraphNodeTypeMemcpy, copy_work(to, from, shape, kind));
  stream_table().synchronize(stream);
}

void issue_fill(Stream& stream, void* to, int value, const CopyShape& shape) {
  stream_table().issue(stream, cudaGraphNodeTypeMemset, fill_work(to, value, shape));
}

}  // namespace vigor::emulator
