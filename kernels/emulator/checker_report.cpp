// The texts of the checker's reports.
#include <fmt/format.h>

#include "kernels/emulator/checker_block.h"

namespace vigor::emulator {
namespace {

std::string dim_text(const Dim3& dim) { return fmt::format("({},{},{})", dim.x, dim.y, dim.z); }

std::string source_text(const SourceLocation& source) {
  if (source.file.empty()) {
    return fmt::format("PTX line {}: {} (compile with -lineinfo for source lines)", source.ptx_line,
                       source.instruction);
  }
  return fmt::format("{}:{} ({})", source.file, source.line, source.instruction);
}

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
  return fmt::format("  {} by thread {} of block {}\n      at {}", writes ? "written" : "read",
                     thread_index(launch_.block, thread / 32, thread % 32), dim_text(clocks_.block_of(stamp)),
                     source_text(sources_.source(instruction_of(stamp))));
}

void MemoryBlockChecker::report(FaultKind kind, const std::string& problem, const Access& access, uint32_t lane,
                                uint64_t address, const std::string& other) const {
  std::string text =
      problem + "\n" +
      describe_place(launch_, block_, access.warp, static_cast<int>(lane), sources_.source(access.instruction)) +
      fmt::format("\n  address: {}, {} bytes accessed", place_of(access, address), access.bytes);
  if (!other.empty()) text += "\n" + other;
  throw Fault(kind, text);
}

}  // namespace vigor::emulator
