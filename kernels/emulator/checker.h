#pragma once
// The checker of the emulated device: what the executor does not see for itself.
//
// It keeps a shadow of device and shared memory: for each byte, was it written, and who touched it last (thread,
// instruction, and when: see BlockClocks). From this it finds
//   uninitialised reads   of device memory that no copy, fill or kernel wrote, of shared and of local memory
//   races in a block      two accesses of a byte, one of them a write, by two threads that nothing orders: no
//                         __syncthreads between warps, no __syncwarp between lanes of a warp
//   races between blocks  the same for two blocks of a launch; a chain of __threadfence and atomics orders them
//   early reads           of bytes that a cp.async is still to deliver
//   pool errors           accesses of memory that the program's own allocator has taken back (poison)
// Atomic and volatile accesses do not race with each other, and writing the value that is there already is no race.
//
// The blocks of a checked launch run on one CPU thread.
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernels/emulator/access.h"
#include "kernels/emulator/counters.h"
#include "kernels/emulator/launch.h"
#include "kernels/emulator/shadow.h"

namespace vigor::emulator {

// What the shadow knows of one allocation.
struct RangeShadow {
  explicit RangeShadow(const MemoryRange& allocation);

  MemoryRange range;
  uint64_t base;  // range.begin, rounded down to a shadow page
  ByteFlags written;
  ByteFlags poisoned;  // no bits unless the program's allocator poisons
  ShadowMemory accesses;
};

class MemoryChecker : public Checker {
 public:
  void allocated(const MemoryRange& range) override;
  void freed(const MemoryRange& range) override;
  void host_wrote(uint64_t address, uint64_t bytes) override;
  // Fault illegal_address if some of the bytes were never written or are poisoned.
  void host_read(uint64_t address, uint64_t bytes) override;
  void copied(uint64_t to, uint64_t from, uint64_t bytes) override;

  bool wants_instructions() const override { return counters_.enabled(); }
  void launch_begin(const LaunchInfo& launch, const InstructionSources& sources) override;
  std::unique_ptr<BlockChecker> make_block_checker(const LaunchInfo& launch,
                                                   const InstructionSources& sources) override;
  void launch_end() override;

  // For allocators that hold memory on purpose: poisoned memory may not be touched; memory that is not poisoned any
  // more is uninitialised. Addresses outside every allocation are ignored.
  void poison(uint64_t address, uint64_t bytes);
  void unpoison(uint64_t address, uint64_t bytes);

  // With false only counters are kept, and nothing is reported.
  void set_checking(bool checking) { checking_ = checking; }
  Counters& counters() { return counters_; }

  // The allocation that holds the address; null if there is none.
  RangeShadow* find(uint64_t address);
  ShadowArena& arena() { return arena_; }
  uint32_t generation() const { return generation_; }

 private:
  std::map<uint64_t, std::unique_ptr<RangeShadow>> ranges_;  // by begin
  ShadowArena arena_;                                        // the accesses of the running launch
  uint32_t generation_ = 0;                                  // counts launches
  bool checking_ = true;
  Counters counters_;
};

// The process's checker.
MemoryChecker& process_checker();
// Lets it watch a launch if options.check is full or somebody counts; call it right before launch().
void attach_process_checker(LaunchOptions& options);

// One line for each allocation of cudaMalloc that is still there, and a last one with their sum; empty: none.
std::string leak_report(const DeviceMemory& memory);

}  // namespace vigor::emulator
