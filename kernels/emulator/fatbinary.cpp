#include "kernels/emulator/fatbinary.h"

#include <algorithm>
#include <cstring>

namespace vigor::emulator {
namespace {

constexpr uint32_t kMagic = 0xBA55ED50;
constexpr uint64_t kContainerHeader = 16, kEntryHeader = 64;
constexpr int kDeviceArchitecture = 80;

enum EntryKind : uint16_t { kPtx = 1, kMachineCode = 2 };

template <typename T>
T read_at(std::span<const std::byte> bytes, uint64_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

std::string architecture_list(const std::vector<int>& architectures, const char* prefix) {
  std::string list;
  for (const int architecture : architectures)
    list += (list.empty() ? "" : ", ") + (prefix + std::to_string(architecture));
  return list;
}

}  // namespace

const PtxImage* FatBinary::best_ptx() const {
  const PtxImage* best = nullptr;
  for (const PtxImage& image : ptx) {
    const bool fits = image.architecture <= kDeviceArchitecture;
    const bool best_fits = best != nullptr && best->architecture <= kDeviceArchitecture;
    if (best == nullptr || (fits && (!best_fits || image.architecture > best->architecture)) ||
        (!fits && !best_fits && image.architecture < best->architecture)) {
      best = &image;
    }
  }
  return best;
}

uint64_t fat_binary_bytes(std::span<const std::byte> bytes) {
  if (bytes.size() < kContainerHeader || read_at<uint32_t>(bytes, 0) != kMagic) return 0;
  const auto header = read_at<uint16_t>(bytes, 6);
  const auto payload = read_at<uint64_t>(bytes, 8);
  if (header < kContainerHeader || payload > UINT64_MAX - header) return 0;
  return header + payload;
}

FatBinary read_fat_binary(std::span<const std::byte> bytes) {
  FatBinary result;
  const uint64_t size = std::min<uint64_t>(fat_binary_bytes(bytes), bytes.size());
  if (size == 0) return result;
  uint64_t at = read_at<uint16_t>(bytes, 6);
  while (at <= size && size - at >= kEntryHeader) {
    const auto kind = read_at<uint16_t>(bytes, at);
    const auto header = read_at<uint32_t>(bytes, at + 4);
    const auto payload = read_at<uint64_t>(bytes, at + 8);
    const auto compressed = read_at<uint32_t>(bytes, at + 16);
    const auto architecture = static_cast<int>(read_at<uint32_t>(bytes, at + 28));
    if (header < kEntryHeader || header > size - at || payload > size - at - header) break;
    if (kind == kPtx && compressed != 0) {
      result.compressed_ptx.push_back(architecture);
    } else if (kind == kPtx) {
      std::string_view text(reinterpret_cast<const char*>(bytes.data()) + at + header, payload);
      const auto name_at = read_at<uint32_t>(bytes, at + 32), name_bytes = read_at<uint32_t>(bytes, at + 36);
      std::string_view name;
      if (name_at <= header && name_bytes <= header - name_at) {
        name = {reinterpret_cast<const char*>(bytes.data()) + at + name_at, name_bytes};
      }
      result.ptx.push_back({architecture, text.substr(0, text.find('\0')), name});  // padded with zeros
    } else if (kind == kMachineCode) {
      result.machine_code.push_back(architecture);
    }
    at += header + payload;
  }
  return result;
}

std::string missing_ptx_problem(const FatBinary& binary) {
  constexpr const char* kFlags = "nvcc -gencode arch=compute_80,code=compute_80 -no-compress";
  if (!binary.ptx.empty()) return {};
  if (!binary.compressed_ptx.empty()) {
    return "its PTX (" + architecture_list(binary.compressed_ptx, "compute_") +
           ") is compressed; build with nvcc -no-compress";
  }
  if (!binary.machine_code.empty()) {
    return "its device code is machine code only (" + architecture_list(binary.machine_code, "sm_") + "); build with " +
           kFlags;
  }
  return std::string("it holds no PTX (relocatable device code, -rdc=true, is not emulated); build with ") + kFlags;
}

}  // namespace vigor::emulator
