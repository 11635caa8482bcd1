#include "kernels/emulator/counters.h"

#include <algorithm>
#include <array>
#include <bit>

namespace vigor::emulator {
namespace {

constexpr uint32_t kBanks = 32, kBankBytes = 4;

bool writes(AccessKind kind) {
  return kind == AccessKind::write || kind == AccessKind::atomic || kind == AccessKind::async_write;
}
bool reads(AccessKind kind) {
  return kind == AccessKind::read || kind == AccessKind::atomic || kind == AccessKind::async_read;
}

// The lanes' addresses without repetitions, sorted.
struct Addresses {
  std::array<uint64_t, 32> address;
  uint32_t count = 0;

  explicit Addresses(const Access& access, uint32_t lanes) {
    bool sorted = true;
    for (; lanes != 0; lanes &= lanes - 1) {
      const uint64_t next = access.addresses[std::countr_zero(lanes)];
      if (count > 0 && next == address[count - 1]) continue;
      sorted = sorted && (count == 0 || next > address[count - 1]);
      address[count++] = next;
    }
    if (sorted) return;
    std::sort(address.begin(), address.begin() + count);
    count = static_cast<uint32_t>(std::unique(address.begin(), address.begin() + count) - address.begin());
  }
};

void count_global(const Access& access, Counts& counts) {
  const Addresses addresses(access, access.lanes);
  uint64_t sectors = 0, next_sector = 0;
  for (uint32_t i = 0; i < addresses.count; ++i) {
    const uint64_t first = std::max(addresses.address[i] / kSectorBytes, next_sector);
    const uint64_t end = (addresses.address[i] + access.bytes - 1) / kSectorBytes + 1;
    if (end > first) sectors += end - first;
    next_sector = std::max(next_sector, end);
  }
  const uint64_t bytes = uint64_t{addresses.count} * access.bytes;
  ++counts.global_requests;
  if (reads(access.kind)) {
    counts.global_bytes_read += bytes;
    counts.global_sectors += sectors;
  }
  if (writes(access.kind)) {
    counts.global_bytes_written += bytes;
    counts.global_sectors += sectors;
  }
}

// Passes that a group of lanes needs: each bank gives one 4-byte word a pass, to all lanes that want it. Atomics of
// several lanes on one word take turns.
uint64_t wavefronts(const Access& access, uint32_t lanes) {
  std::array<uint8_t, kBanks> in_bank{};
  const auto add_words = [&](uint64_t address, uint64_t& after) {
    for (uint64_t word = std::max(address / kBankBytes, after); word * kBankBytes < address + access.bytes; ++word) {
      ++in_bank[word % kBanks];
      after = word + 1;
    }
  };
  if (access.kind == AccessKind::atomic) {
    for (; lanes != 0; lanes &= lanes - 1) {
      uint64_t none = 0;
      add_words(access.addresses[std::countr_zero(lanes)], none);
    }
  } else {
    const Addresses addresses(access, lanes);
    uint64_t after = 0;
    for (uint32_t i = 0; i < addresses.count; ++i) add_words(addresses.address[i], after);
  }
  return *std::max_element(in_bank.begin(), in_bank.end());
}

// 8-byte accesses are carried out for half a warp at a time, 16-byte ones for a quarter.
void count_shared(const Access& access, Counts& counts) {
  const uint32_t group_lanes = access.bytes <= 4 ? 32 : access.bytes <= 8 ? 16 : 8;
  ++counts.shared_requests;
  counts.shared_bytes += uint64_t{access.bytes} * static_cast<uint64_t>(std::popcount(access.lanes));
  for (uint32_t first = 0; first < 32; first += group_lanes) {
    const uint32_t group = group_lanes == 32 ? ~0u : ((1u << group_lanes) - 1) << first;
    const uint32_t lanes = access.lanes & group;
    if (lanes == 0) continue;
    const uint64_t passes = wavefronts(access, lanes);
    counts.shared_wavefronts += passes;
    counts.bank_conflicts += passes - 1;
  }
}

}  // namespace

Counts& Counts::operator+=(const Counts& other) {
  warp_instructions += other.warp_instructions;
  lane_instructions += other.lane_instructions;
  global_requests += other.global_requests;
  global_bytes_read += other.global_bytes_read;
  global_bytes_written += other.global_bytes_written;
  global_sectors += other.global_sectors;
  shared_requests += other.shared_requests;
  shared_bytes += other.shared_bytes;
  shared_wavefronts += other.shared_wavefronts;
  bank_conflicts += other.bank_conflicts;
  local_bytes += other.local_bytes;
  atomics += other.atomics;
  divergent_branches += other.divergent_branches;
  barriers += other.barriers;
  return *this;
}

void count_access(const Access& access, Counts& counts) {
  if (access.lanes == 0 || access.kind == AccessKind::async_issue) return;
  if (access.kind == AccessKind::atomic) counts.atomics += static_cast<uint64_t>(std::popcount(access.lanes));
  switch (access.space) {
    case Space::global:
      count_global(access, counts);
      break;
    case Space::shared:
      count_shared(access, counts);
      break;
    case Space::local:
      counts.local_bytes += uint64_t{access.bytes} * static_cast<uint64_t>(std::popcount(access.lanes));
      break;
    case Space::parameter:
    case Space::constant:
      break;
  }
}

void Counters::reset() {
  const std::lock_guard lock(mutex_);
  kernels_.clear();
  enabled_ = true;
}

void Counters::launched(const LaunchInfo& launch, const InstructionSources& sources) {
  const std::lock_guard lock(mutex_);
  Kernel& kernel = kernels_.try_emplace(std::string(launch.kernel)).first->second;
  ++kernel.launches;
  if (kernel.instructions.size() == launch.instruction_count) return;
  kernel.instructions.resize(launch.instruction_count);
  kernel.lines.clear();
  kernel.is_barrier.clear();
  for (uint32_t i = 0; i < launch.instruction_count; ++i) {
    const SourceLocation source = sources.source(i);
    kernel.is_barrier.push_back(source.instruction.starts_with("bar.") || source.instruction.starts_with("barrier."));
    // Inlined code counts where the kernel calls it.
    const SourceLocation::Caller line =
        source.callers.empty() ? SourceLocation::Caller{source.file, source.line} : source.callers.back();
    const std::string_view file = line.file.substr(line.file.find_last_of('/') + 1);
    kernel.lines.push_back(file.empty() ? Line{"PTX", source.ptx_line} : Line{std::string(file), line.line});
  }
}

void Counters::add(std::string_view name, const std::vector<Counts>& instructions) {
  const std::lock_guard lock(mutex_);
  const auto kernel = kernels_.find(name);
  if (kernel == kernels_.end()) return;  // reset meanwhile
  for (size_t i = 0; i < instructions.size(); ++i) {
    Counts& counts = kernel->second.instructions[i];
    counts += instructions[i];
    if (kernel->second.is_barrier[i]) counts.barriers = counts.warp_instructions;
  }
}

Counts Counters::of_kernels(std::string_view name_part, uint64_t* launches) const {
  const std::lock_guard lock(mutex_);
  Counts total;
  *launches = 0;
  for (const auto& [name, kernel] : kernels_) {
    if (readable_name(name).find(name_part) == std::string::npos) continue;
    *launches += kernel.launches;
    for (const Counts& counts : kernel.instructions) total += counts;
  }
  return total;
}

}  // namespace vigor::emulator
