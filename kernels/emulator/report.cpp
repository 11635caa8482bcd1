// The text of faults.
#include <cxxabi.h>
#include <fmt/format.h>

#include <array>
#include <bit>
#include <cstdlib>
#include <memory>

#include "kernels/emulator/access_faults.h"
#include "kernels/emulator/warp.h"

namespace vigor::emulator {
namespace {

const char* space_name(Space space) {
  switch (space) {
    case Space::global:
      return "global";
    case Space::shared:
      return "shared";
    case Space::local:
      return "local";
    case Space::parameter:
      return "parameter";
    case Space::constant:
      return "constant";
  }
  return "";
}

const char* action_name(const Instruction& instruction, const Block& block) {
  const std::string& text = block.code->text(block.instruction_index(instruction));
  if (text.starts_with("st")) return "write";
  return text.starts_with("atom") || text.starts_with("red") ? "atomic access" : "read";
}

}  // namespace

std::string readable_name(std::string_view mangled) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> text(
      abi::__cxa_demangle(std::string(mangled).c_str(), nullptr, nullptr, &status), std::free);
  return status == 0 && text ? text.get() : std::string(mangled);
}

std::string thread_index(const Dim3& block, uint32_t warp, uint32_t lane) {
  const uint32_t thread = warp * kWarpSize + lane;
  return fmt::format("({},{},{})", thread % block.x, thread / block.x % block.y, thread / block.x / block.y);
}

std::string describe_source(const SourceLocation& source) {
  if (source.file.empty()) {
    return fmt::format("PTX line {} (compile with -lineinfo for the source line), {}", source.ptx_line,
                       source.instruction);
  }
  std::string text = fmt::format("{}:{}, {}", source.file, source.line, source.instruction);
  for (const SourceLocation::Caller& caller : source.callers) {
    text += fmt::format("\n          called from {}:{}", caller.file, caller.line);
  }
  return text;
}

std::string describe_place(const LaunchInfo& launch, const BlockInfo& block, uint32_t warp, int lane,
                           const SourceLocation& source) {
  const std::string thread =
      lane < 0 ? fmt::format("warp {}", warp)
               : fmt::format("thread {}", thread_index(launch.block, warp, static_cast<uint32_t>(lane)));
  return fmt::format("\n  kernel  {}\n  source  {}\n  block   ({},{},{}) of ({},{},{})   {} of ({},{},{})",
                     readable_name(launch.kernel), describe_source(source), block.index.x, block.index.y, block.index.z,
                     launch.grid.x, launch.grid.y, launch.grid.z, thread, launch.block.x, launch.block.y,
                     launch.block.z);
}

void fail(const Warp& warp, const Instruction& instruction, int lane, FaultKind kind, const char* text) {
  const Block& block = *warp.block;
  throw Fault(kind, text + describe_place(*block.launch, block.info, warp.index, lane,
                                          block.code->source(block.instruction_index(instruction))));
}

void find_ranges(Warp& warp, const Instruction& instruction, uint32_t lanes, const uint64_t* addresses, uint32_t bytes,
                 bool writes, uint64_t* host) {
  Block& block = *warp.block;
  CachedRange& cached = block.ranges[block.instruction_index(instruction) % kCachedRanges];
  std::optional<MemoryRange> range;
  bool same = true;
  for (uint32_t rest = lanes; rest != 0; rest &= rest - 1) {
    const auto lane = static_cast<uint32_t>(std::countr_zero(rest));
    const uint64_t address = addresses[lane];
    if (!range || !range->contains(address, bytes)) {
      same &= !range;
      range = block.memory->find(address, bytes);
    }
    if (!range) {
      fail(warp, instruction, static_cast<int>(lane), FaultKind::illegal_address,
           fmt::format("out of bounds: {} of {} bytes at {:#x}, {}", action_name(instruction, block), bytes, address,
                       block.memory->describe(address))
               .c_str());
    }
    if (writes && range->kind == RangeKind::constant) {
      fail(warp, instruction, static_cast<int>(lane), FaultKind::illegal_address,
           fmt::format("write to constant memory at {:#x}, {}", address, block.memory->describe(address)).c_str());
    }
    host[lane] = address + static_cast<uint64_t>(range->to_host);
  }
  if (same) cached = {range->begin, range->end, range->to_host, range->kind != RangeKind::constant};
}

void fail_alignment(Warp& warp, const Instruction& instruction, uint32_t lanes, const uint64_t* addresses,
                    uint32_t bytes, Space space) {
  uint32_t rest = lanes;
  while ((addresses[std::countr_zero(rest)] & (bytes - 1)) == 0) rest &= rest - 1;
  const int lane = std::countr_zero(rest);
  const Block& block = *warp.block;
  const uint64_t address = addresses[lane];
  const std::string where = space == Space::global ? ", " + block.memory->describe(address) : "";
  fail(warp, instruction, lane, FaultKind::misaligned_address,
       fmt::format("misaligned: {} of {} bytes at {} address {:#x}{}", action_name(instruction, block), bytes,
                   space_name(space), address, where)
           .c_str());
}

void fail_bounds(Warp& warp, const Instruction& instruction, uint32_t lanes, const uint64_t* addresses, uint32_t bytes,
                 Space space, uint64_t limit) {
  uint32_t rest = lanes;
  while (addresses[std::countr_zero(rest)] <= limit && bytes <= limit - addresses[std::countr_zero(rest)]) {
    rest &= rest - 1;
  }
  const int lane = std::countr_zero(rest);
  const char* owner =
      space == Space::shared ? "the block has" : (space == Space::local ? "the thread has" : "there are");
  fail(warp, instruction, lane, FaultKind::illegal_address,
       fmt::format("out of bounds: {} of {} bytes at {} address {}; {} {} bytes", action_name(instruction, *warp.block),
                   bytes, space_name(space), static_cast<int64_t>(addresses[lane]), owner, limit)
           .c_str());
}

void tell_checker(Warp& warp, const Instruction& instruction, uint32_t lanes, const uint64_t* addresses, uint32_t bytes,
                  Space space, AccessKind kind) {
  Block& block = *warp.block;
  Access access{
      space, kind, bytes, lanes, addresses, warp.index, block.instruction_index(instruction), instruction.is_volatile};
  // st: the address, then the elements.
  std::array<const std::byte*, 4> elements;
  const uint32_t count = instruction.operand_count - 1u;
  if (kind == AccessKind::write && count <= elements.size() &&
      block.code->text(access.instruction).starts_with("st.")) {
    for (uint32_t e = 0; e < count; ++e) {
      const Operand& operand = instruction.operands[1 + e];
      elements[e] = warp.bank[operand.bank] + operand.offset;
      access.element_stride = operand.bytes;
    }
    access.elements = elements.data();
    access.element_bytes = bytes / count;
  }
  block.checker->access(access);
}

}  // namespace vigor::emulator
