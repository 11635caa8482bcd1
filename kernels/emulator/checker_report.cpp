// The texts of the checker's reports.
#include <fmt/format.h>

#include "kernels/emulator/checker_block.h"

namespace vigor::emulator {
namespace {

std::string dim_text(const Dim3& dim) { return fmt::format("({},{},{})", dim.x, dim.y, dim.z); }

}  // namespace

std::string MemoryBlockChecker::place_of(const Access& access, uint64_t address) const {
  switch (access.space) {
    case Space::shared:
      return fmt::format("shared memory + {} of {} bytes", address, launch_.shared_bytes);
    case Space::local:
      return fmt::format("local memory + {} of {} bytes", address, launch_.local_bytes);
    default:
      return fmt::format("{:#x}, {}", address, launch_.memory->describe(address));
  }
}

std::string MemoryBlockChecker::other_party(Stamp stamp, bool writes) const {
  const uint32_t thread = thread_of(stamp);
  return fmt::format("\n  other   {} at {}\n  block   {}   thread {}", writes ? "write" : "read",
                     describe_source(sources_.source(instruction_of(stamp))), dim_text(clocks_.block_of(stamp)),
                     thread_index(launch_.block, thread / 32, thread % 32));
}

std::string MemoryBlockChecker::text_of(const std::string& problem, const Access& access, uint32_t lane,
                                        uint64_t address, const std::string& other) const {
  return problem +
         describe_place(launch_, block_, access.warp, static_cast<int>(lane), sources_.source(access.instruction)) +
         fmt::format("\n  address {}; {} bytes accessed", place_of(access, address), access.bytes) + other;
}

void MemoryBlockChecker::report(FaultKind kind, const std::string& problem, const Access& access, uint32_t lane,
                                uint64_t address, const std::string& other) const {
  throw Fault(kind, text_of(problem, access, lane, address, other));
}

}  // namespace vigor::emulator
