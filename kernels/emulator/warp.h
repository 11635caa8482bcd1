#pragma once
// The state of a running block and its warps, as the instructions see it.
//
// Lanes of a warp that take different branches form groups, each with its own program counter. The group with the
// lowest program counter runs; groups meet again when they are at the same instruction.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/emulator/access.h"
#include "kernels/emulator/instruction.h"
#include "kernels/emulator/launch.h"

namespace vigor::emulator {

struct Block;

// Lanes at a common instruction.
struct LaneGroup {
  uint32_t pc = 0;
  uint32_t lanes = 0;
  uint32_t members = 0;  // of a group that waits: the lanes that must arrive
};

// A cp.async of some lanes, read but not yet landed in shared memory.
struct AsyncCopy {
  uint32_t lanes = 0;  // still to land
  uint32_t bytes = 0;  // 4, 8 or 16
  uint32_t instruction = 0;
  std::array<uint64_t, kWarpSize> destination;  // shared memory offsets
  std::array<uint32_t, kWarpSize> group;        // the lane's commit group
  alignas(16) std::array<std::array<std::byte, 16>, kWarpSize> data;
};

struct BarrierWait {
  uint32_t id = 0;
  const Instruction* instruction = nullptr;
};

struct Warp {
  std::byte* bank[2] = {};           // see Operand
  uint32_t pc = 0;                   // of the next instruction of the running group
  uint32_t active = 0;               // lanes of the running group
  uint32_t meeting_pc = UINT32_MAX;  // lowest pc of the other runnable groups
  uint32_t live = 0;                 // lanes that have not exited
  bool suspended = false;            // leave the instruction loop
  bool at_barrier = false;
  int32_t patience = 0;  // backward branches until another warp or group gets its turn
  uint32_t index = 0;    // in the block
  uint64_t warp_instructions = 0, lane_instructions = 0;
  Block* block = nullptr;
  std::byte* local = nullptr;      // local memory, lane after lane
  std::vector<LaneGroup> ready;    // runnable groups other than the running one
  std::vector<LaneGroup> waiting;  // groups that wait for lanes at a .sync instruction
  BarrierWait barrier;
  std::vector<AsyncCopy> copies;
  std::array<uint32_t, kWarpSize> commit_group{};  // number of cp.async groups a lane has committed

  template <class T>
  T* plane(const Operand& operand) {
    return reinterpret_cast<T*>(bank[operand.bank] + operand.offset);
  }
  uint32_t& predicate(const Operand& operand) { return *plane<uint32_t>(operand); }
  uint32_t predicate_value(const Operand& operand) {
    return *plane<uint32_t>(operand) ^ (operand.negated ? kAllLanes : 0u);
  }
};

// One of the sixteen barriers of a block.
struct Barrier {
  uint32_t arrived = 0;                // threads
  uint32_t expected = 0;               // threads; 0: all that live
  uint32_t reduction = 0;              // of bar.red: threads whose predicate was true
  uint32_t participants = 0;           // threads that brought a predicate
  uint32_t warps = 0;                  // bit i: warp i has arrived
  const Instruction* first = nullptr;  // that the first arrival executed
};

// The allocation that a memory instruction found last. Instructions share entries by the low bits of their index; what
// an entry says is checked at each use.
struct CachedRange {
  uint64_t begin = 1, end = 0;
  std::ptrdiff_t to_host = 0;
  bool writable = true;
};
constexpr uint32_t kCachedRanges = 256;

constexpr uint32_t kBarriers = 16;

struct Block {
  const KernelCode* code = nullptr;
  const LaunchInfo* launch = nullptr;
  const DeviceMemory* memory = nullptr;
  BlockChecker* checker = nullptr;  // null: nobody watches
  BlockInfo info;
  std::byte* shared = nullptr;
  uint32_t shared_bytes = 0;
  uint32_t local_bytes = 0;  // per thread
  const std::byte* parameters = nullptr;
  uint32_t worker = 0;  // which CPU thread
  std::array<Barrier, kBarriers> barriers;
  std::vector<Warp> warps;
  CachedRange ranges[kCachedRanges];

  uint32_t instruction_index(const Instruction& instruction) const {
    return static_cast<uint32_t>(&instruction - code->instructions.data());
  }
};

// Generic addresses: device addresses are themselves; the other spaces have windows where no host address lies.
constexpr uint64_t kSharedWindow = uint64_t{1} << 48;
constexpr uint64_t kLocalWindow = uint64_t{2} << 48;
constexpr uint64_t kParameterWindow = uint64_t{3} << 48;
constexpr uint64_t kWindowMask = ~uint64_t{0} << 48;

// Throws Fault: "kind: text", then where it happened. `lane` < 0: the whole warp.
[[noreturn]] void fail(const Warp& warp, const Instruction& instruction, int lane, FaultKind kind, const char* text);

// --- control.cpp: groups of lanes ---

// Puts lanes that leave the running group on the ready list; meets groups that are there already.
void add_group(Warp& warp, uint32_t pc, uint32_t lanes);
// Called when the running group is empty, or at or past meeting_pc: chooses the group to run, or suspends the warp.
void choose_group(Warp& warp);
// These lanes are done.
void exit_lanes(Warp& warp, uint32_t lanes);

// For .sync instructions: the lanes of `members` that live must execute it together. Returns all of them once they are
// here; else parks `lanes` (which leave the running group) and returns 0.
uint32_t meet(Warp& warp, const Instruction& instruction, uint32_t lanes, uint32_t members);

// --- async_copies.cpp ---

// Takes note of a cp.async of these lanes: `data` goes to shared memory offsets `destination` later.
void add_copy(Warp& warp, const Instruction& instruction, uint32_t lanes, uint32_t bytes, const uint64_t* destination,
              const std::byte (*data)[16]);
// Lets the copies of these lanes land whose group is older than the lane's newest `keep` groups; with `all`, every one.
void land_copies(Warp& warp, uint32_t lanes, uint32_t keep, bool all);

}  // namespace vigor::emulator
