#pragma once
// The container that nvcc puts device code in: section .nv_fatbin of an ELF file, and what a program hands to the
// runtime when it starts. It holds one entry for each architecture, PTX text or machine code.
//
// A container starts with { u32 magic, u16 version, u16 header_bytes, u64 bytes_after_header }; each entry with
// { u16 kind, u16 version, u32 header_bytes, u64 payload_bytes, u32 compressed_bytes, ... u32 architecture at 28,
// u32 source_name_offset, u32 source_name_bytes }.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vigor::emulator {

struct PtxImage {
  int architecture = 0;  // 80 for compute_80
  std::string_view text;
  std::string_view source;  // the source file's name, or empty
};

struct FatBinary {
  std::vector<PtxImage> ptx;        // uncompressed PTX, in the container's order; views of the input
  std::vector<int> compressed_ptx;  // architectures of PTX that is compressed
  std::vector<int> machine_code;    // architectures of machine code

  // What the emulated device (compute capability 8.0) executes: the newest PTX up to compute_80, else the oldest; null
  // without PTX.
  const PtxImage* best_ptx() const;
};

// Bytes of the container that starts here, from its header; 0 if no container starts here.
uint64_t fat_binary_bytes(std::span<const std::byte> bytes);

// Reads one container, never beyond `bytes`: what is cut off or contradicts itself ends the list.
FatBinary read_fat_binary(std::span<const std::byte> bytes);

// One line that says what to change so that there is PTX to execute; empty if there is.
std::string missing_ptx_problem(const FatBinary& binary);

}  // namespace vigor::emulator
