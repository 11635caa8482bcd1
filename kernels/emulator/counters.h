#pragma once
// What kernels did, counted: instructions, bytes, memory transactions, bank conflicts, per kernel and instruction.
//
// Caches are not modelled: a warp that reads the same bytes twice is counted twice.
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/emulator/access.h"

namespace vigor::emulator {

constexpr uint32_t kSectorBytes = 32;  // the unit in which a GPU reads and writes device memory

struct Counts {
  uint64_t warp_instructions = 0;
  uint64_t lane_instructions = 0;     // a warp instruction counts once for each lane that takes part
  uint64_t global_requests = 0;       // warp instructions that access device memory
  uint64_t global_bytes_read = 0;     // different bytes of each request, summed
  uint64_t global_bytes_written = 0;  // the same; atomics count as read and as written
  uint64_t global_sectors = 0;        // different 32-byte sectors of each request: read, and again when written
  uint64_t shared_requests = 0;
  uint64_t shared_bytes = 0;
  uint64_t shared_wavefronts = 0;  // passes through the 32 banks
  uint64_t bank_conflicts = 0;     // passes beyond those that the request's size needs
  uint64_t local_bytes = 0;
  uint64_t atomics = 0;  // lanes
  uint64_t divergent_branches = 0;
  uint64_t barriers = 0;  // warps that waited at one

  Counts& operator+=(const Counts& other);
  // Rough time, in issue slots of a large GPU: it issues about eight warp instructions while a sector comes from
  // memory, and four while shared memory makes a pass.
  uint64_t cost() const { return warp_instructions + 8 * global_sectors + 4 * shared_wavefronts; }
};

class Counters {
 public:
  bool enabled() const { return enabled_; }
  void enable() { enabled_ = true; }
  void reset();  // forgets all counts, and enables
  void launched(const LaunchInfo& launch, const InstructionSources& sources);
  // What one worker counted; thread safe.
  void add(std::string_view kernel, const std::vector<Counts>& instructions);

  // All kernels whose readable name has this part, together. `launches` receives their number.
  Counts of_kernels(std::string_view name_part, uint64_t* launches) const;
  // A table of kernels and their costliest source lines.
  std::string table() const;

 private:
  struct Line {
    std::string file;
    uint32_t line = 0;
    auto operator<=>(const Line&) const = default;
  };
  struct Kernel {
    uint64_t launches = 0;
    std::vector<Counts> instructions;
    std::vector<Line> lines;       // of each instruction
    std::vector<bool> is_barrier;  // the same
  };
  std::string kernel_table(const std::string& name, const Kernel& kernel) const;

  mutable std::mutex mutex_;
  std::atomic<bool> enabled_ = false;
  std::map<std::string, Kernel, std::less<>> kernels_;  // by mangled name
};

// Counts what one access costs.
void count_access(const Access& access, Counts& counts);

}  // namespace vigor::emulator
