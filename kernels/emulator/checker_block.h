#pragma once
// The checker's view of the blocks of one launch, one after another.
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/emulator/checker.h"
#include "kernels/emulator/clocks.h"

namespace vigor::emulator {

class MemoryBlockChecker : public BlockChecker {
 public:
  // `checking`: look for errors, not only count.
  MemoryBlockChecker(MemoryChecker& checker, const LaunchInfo& launch, const InstructionSources& sources,
                     bool checking);
  ~MemoryBlockChecker() override;

  void begin(const BlockInfo& block) override;
  void access(const Access& access) override;
  void barrier(bool whole_block, uint32_t warps) override;
  void warp_sync(uint32_t warp, uint32_t lanes) override;
  void fence(uint32_t warp, uint32_t lanes) override;
  void instruction(uint32_t instruction, uint32_t lanes) override;
  void divergent_branch(uint32_t instruction, uint32_t lanes) override;
  void end() override;

 private:
  // Consecutive lanes that access consecutive bytes of one allocation, or of shared memory.
  struct Run {
    uint32_t lane, lanes;     // the first, and how many
    uint64_t address, bytes;  // as in Access; of all lanes together
    RangeShadow* range;       // null: shared memory
    uint64_t offset;          // in the shadow
  };

  void check_local(const Access& access);
  void check_shared_or_global(const Access& access);
  void check_run(const Access& access, const Run& run);
  void check_initialised(const Access& access, const Run& run, ByteFlags& written);
  void check_races(const Access& access, const Run& run);
  void touch_page(const Access& access, const Run& run, ShadowPage& page, ShadowArena& arena, uint64_t done,
                  uint64_t bytes);
  void require_no_conflict(const Access& access, const Run& run, Stamp earlier, bool earlier_writes, Stamp mine);
  bool changes_memory(const Access& access, const Run& run, uint32_t lane) const;
  uint32_t distinct_lanes(const Access& access) const;
  void synchronise_by_memory(const Access& access);
  bool releases_by_itself(uint32_t instruction);
  RangeShadow* range_of(const Access& access, uint32_t lane);

  std::string text_of(const std::string& problem, const Access& access, uint32_t lane, uint64_t address,
                      const std::string& other = {}) const;
  [[noreturn]] void report(FaultKind kind, const std::string& problem, const Access& access, uint32_t lane,
                           uint64_t address, const std::string& other = {}) const;
  std::string place_of(const Access& access, uint64_t address) const;
  std::string other_party(Stamp stamp, bool writes) const;

  MemoryChecker& checker_;
  const LaunchInfo& launch_;
  const InstructionSources& sources_;
  const bool checking_, counting_;
  const uint32_t threads_;
  BlockInfo block_{};
  BlockClocks clocks_;
  Past past_{};  // of the access that is being checked

  uint32_t block_count_ = 0;  // the shared shadow's generation
  ShadowArena shared_arena_;
  ShadowMemory shared_accesses_;
  ByteFlags shared_written_, shared_in_flight_;  // in flight: a cp.async will write it
  uint64_t copies_in_flight_ = 0;                // lanes
  std::string uninitialised_;                    // report of the block's first such read of shared memory
  ByteFlags local_written_;                      // thread after thread
  bool local_touched_ = false;

  std::vector<RangeShadow*> last_range_;  // of each instruction
  std::vector<uint8_t> releases_;         // of each instruction: 0 unknown, 1 no, 2 .release or .acq_rel
  std::vector<Counts> counts_;            // of each instruction
};

}  // namespace vigor::emulator
