#include "train/metrics/tensorboard.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <stdexcept>
#include <system_error>

namespace vigor {
namespace {

constexpr std::array<uint32_t, 256> kCrcTable = [] {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0u);
    table[byte] = crc;
  }
  return table;
}();

template <class T>
std::string little_endian(T value) {
  static_assert(std::endian::native == std::endian::little);
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

// The format masks its checksums, because a checksum of bytes that contain their own checksum is a weak one.
std::string masked_crc(std::string_view bytes) {
  const uint32_t crc = crc32c(bytes);
  return little_endian(((crc >> 15) | (crc << 17)) + 0xa282ead8u);
}

// ---- protocol buffer fields: a key (number and wire type), then the value ----

enum WireType : uint64_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}
std::string key(uint64_t number, WireType type) { return varint(number << 3 | type); }
std::string integer_field(uint64_t number, int64_t value) {
  return key(number, kVarint) + varint(static_cast<uint64_t>(value));
}
std::string double_field(uint64_t number, double value) { return key(number, kFixed64) + little_endian(value); }
std::string float_field(uint64_t number, float value) { return key(number, kFixed32) + little_endian(value); }
std::string bytes_field(uint64_t number, std::string_view value) {
  return key(number, kBytes) + varint(value.size()) + std::string(value);
}

double seconds_since_epoch() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "localhost";
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  uint32_t crc = ~0u;
  for (char c : bytes) crc = (crc >> 8) ^ kCrcTable[(crc ^ static_cast<unsigned char>(c)) & 0xff];
  return ~crc;
}

TensorBoardLog::TensorBoardLog(const std::filesystem::path& folder, int64_t from_step) {
  std::filesystem::create_directories(folder);
  const auto seconds = static_cast<int64_t>(seconds_since_epoch());
  for (int attempt = 0; descriptor_ < 0; ++attempt) {
    path_ = folder / fmt::format("events.out.tfevents.{}.{}.{}.{}", seconds, host_name(), ::getpid(), attempt);
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
    if (descriptor_ < 0 && errno != EEXIST)
      throw std::runtime_error(
          fmt::format("cannot create {}: {}", path_.string(), std::generic_category().message(errno)));
  }
  write_event(0, bytes_field(3, "brain.Event:2"));  // file_version
  constexpr int64_t kStart = 1;
  if (from_step > 0) write_event(from_step + 1, bytes_field(7, integer_field(1, kStart)));  // session_log.status
}

TensorBoardLog::~TensorBoardLog() { ::close(descriptor_); }

void TensorBoardLog::scalars(int64_t step, std::initializer_list<std::pair<std::string_view, double>> values) {
  std::string summary;
  for (const auto& value : values)  // Summary.value: tag, simple_value
    summary += bytes_field(1, bytes_field(1, value.first) + float_field(2, static_cast<float>(value.second)));
  write_event(step, bytes_field(5, summary));
}

void TensorBoardLog::text(int64_t step, std::string_view tag, std::string_view markdown) {
  constexpr int64_t kStringType = 7;
  const std::string shape = bytes_field(2, integer_field(1, 1));  // dim.size
  const std::string tensor = integer_field(1, kStringType) + bytes_field(2, shape) + bytes_field(8, markdown);
  const std::string metadata = bytes_field(1, bytes_field(1, "text"));  // plugin_data.plugin_name
  const std::string value = bytes_field(1, tag) + bytes_field(8, tensor) + bytes_field(9, metadata);
  write_event(step, bytes_field(5, bytes_field(1, value)));
}

void TensorBoardLog::write_event(int64_t step, std::string_view what) {
  const std::string event = double_field(1, seconds_since_epoch()) + integer_field(2, step) + std::string(what);
  const std::string length = little_endian(static_cast<uint64_t>(event.size()));
  const std::string record = length + masked_crc(length) + event + masked_crc(event);
  for (size_t done = 0; done < record.size();) {
    const ssize_t count = ::write(descriptor_, record.data() + done, record.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0)
      throw std::runtime_error(
          fmt::format("cannot write {}: {}", path_.string(), std::generic_category().message(errno)));
    done += static_cast<size_t>(count);
  }
}

}  // namespace vigor
