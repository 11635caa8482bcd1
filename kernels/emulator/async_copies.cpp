// cp.async: read when it is issued, landed in shared memory when its thread waits for it, not before.
#include <bit>
#include <cstring>

#include "kernels/emulator/instruction_table.h"
#include "kernels/emulator/warp.h"

namespace vigor::emulator {
namespace {

void tell(Warp& warp, const AsyncCopy& copy, uint32_t lanes) {
  if (!warp.block->checker) return;
  warp.block->checker->access({Space::shared, AccessKind::async_write, copy.bytes, lanes, copy.destination.data(),
                               warp.index, copy.instruction, false});
}

void commit(Warp& warp, const Instruction&, uint32_t lanes) {
  for (uint32_t rest = lanes; rest != 0; rest &= rest - 1) ++warp.commit_group[std::countr_zero(rest)];
}

void wait_group(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  land_copies(warp, lanes, static_cast<uint32_t>(instruction.immediate), false);
}

void wait_all(Warp& warp, const Instruction&, uint32_t lanes) { land_copies(warp, lanes, 0, true); }

constexpr OpRow kRows[] = {
    {"cp.async.commit_group", commit, ""},
    {"cp.async.wait_group", wait_group, "n"},
    {"cp.async.wait_all", wait_all, ""},
};

}  // namespace

void add_copy(Warp& warp, const Instruction& instruction, uint32_t lanes, uint32_t bytes, const uint64_t* destination,
              const std::byte (*data)[16]) {
  AsyncCopy& copy = warp.copies.emplace_back();
  copy.lanes = lanes;
  copy.bytes = bytes;
  copy.instruction = warp.block->instruction_index(instruction);
  copy.group = warp.commit_group;
  std::memcpy(copy.destination.data(), destination, sizeof(copy.destination));
  std::memcpy(copy.data.data(), data, sizeof(copy.data));
}

void land_copies(Warp& warp, uint32_t lanes, uint32_t keep, bool all) {
  for (AsyncCopy& copy : warp.copies) {
    uint32_t landing = 0;
    for (uint32_t rest = copy.lanes & lanes; rest != 0; rest &= rest - 1) {
      const int lane = std::countr_zero(rest);
      const size_t i = static_cast<size_t>(lane);
      if (all || copy.group[i] + keep < warp.commit_group[i]) landing |= 1u << lane;
    }
    if (landing == 0) continue;
    tell(warp, copy, landing);
    for (uint32_t rest = landing; rest != 0; rest &= rest - 1) {
      const auto i = static_cast<size_t>(std::countr_zero(rest));
      std::memcpy(warp.block->shared + copy.destination[i], copy.data[i].data(), copy.bytes);
    }
    copy.lanes &= ~landing;
  }
  std::erase_if(warp.copies, [](const AsyncCopy& copy) { return copy.lanes == 0; });
}

RowTable async_rows() { return table_of(kRows); }

}  // namespace vigor::emulator
