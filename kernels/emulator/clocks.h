#pragma once
// What happened before what in a launch.
//
// Each warp has a time, which grows when it synchronises. For each pair of warps the clocks hold how much of the
// other's past a warp has seen: everything the other did at times below known(warp, other) happened before what the
// warp does now. Barriers exchange this knowledge between warps, __syncwarp among lanes.
//
// Between blocks, and between warps that use flags instead of barriers, knowledge travels through memory: a fence
// makes what its thread knows visible, a strong (atomic or volatile) write after it leaves that at the address
// (release), and whoever reads the address with a strong access picks it up (acquire).
#include <array>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "kernels/emulator/access.h"
#include "kernels/emulator/shadow.h"

namespace vigor::emulator {

constexpr uint32_t kMaxWarps = 32;
using WarpTimes = std::array<uint32_t, kMaxWarps>;

class BlockClocks {
 public:
  BlockClocks() = default;

  // A new block of `warps` warps; blocks come one after the other.
  void begin(const BlockInfo& block, uint32_t warps);

  uint32_t now(uint32_t warp) const { return now_[warp]; }
  uint32_t start() const { return start_; }                     // of the running block
  uint32_t floor(uint32_t warp) const { return floor_[warp]; }  // least known(warp, other) of all others
  // Did this access happen before what the thread does now?
  bool ordered(Stamp earlier, uint32_t thread);
  bool in_this_block(Stamp stamp) const { return time_of(stamp) >= start_; }
  const Dim3& block_of(Stamp stamp) const;

  void barrier(bool whole_block, uint32_t warps);
  void warp_sync(uint32_t warp, uint32_t lanes, uint32_t existing_lanes);
  void fence(uint32_t warp);
  // A strong write or atomic, and a strong read or atomic, of this device address; with kSharedVariable added, of this
  // offset in the block's shared memory.
  static constexpr uint64_t kSharedVariable = uint64_t{1} << 63;
  void release(uint32_t warp, uint64_t variable);
  void acquire(uint32_t warp, uint64_t variable);
  bool anything_released() const { return !releases_.empty(); }
  bool anything_fenced(uint32_t warp) const { return fenced_warps_ >> warp & 1; }

 private:
  static constexpr uint32_t kNothing = ~0u;
  struct BlockRecord {
    uint32_t start;
    Dim3 index;
  };
  // What a release leaves at its variable.
  struct Release {
    uint32_t block;          // number of the block
    WarpTimes visible;       // what its warps had done, as far as fences had made it visible
    uint32_t same_variable;  // the variable's release before this one
    uint32_t picked_up;      // the block's newest pickup
  };
  struct Pickup {
    uint32_t release;
    uint32_t before;  // the block's pickup before this one
  };
  using LaneTimes = std::array<std::array<uint32_t, 32>, 32>;
  using Variables = std::unordered_map<uint64_t, uint32_t>;

  Variables& variables(uint64_t variable) { return variable & kSharedVariable ? shared_variables_ : variables_; }
  uint32_t this_block() const { return static_cast<uint32_t>(blocks_.size() - 1); }
  uint32_t block_number(Stamp stamp) const;
  void update_floor(uint32_t warp);
  void collect_seen();

  uint32_t clock_ = 0, start_ = 0, warps_ = 0;
  std::vector<BlockRecord> blocks_;
  WarpTimes now_{}, floor_{};
  std::array<WarpTimes, kMaxWarps> known_{};    // [warp][other]; [warp][warp]: what all its lanes know of each other
  std::array<WarpTimes, kMaxWarps> visible_{};  // the part of the past that fences have made visible
  uint32_t fenced_warps_ = 0;                   // warps for which visible_ holds anything
  uint32_t partly_synced_ = 0;                  // warps some of whose lanes know more of each other than known_ says:
  std::vector<LaneTimes> lane_known_;           //   [warp][lane][other lane]

  std::vector<Release> releases_;
  std::vector<Pickup> pickups_;
  Variables variables_, shared_variables_;        // -> the newest release
  uint32_t picked_up_ = kNothing;                 // the running block's newest pickup
  bool seen_is_current_ = true;                   // does `seen_` hold all that was picked up?
  std::unordered_map<uint32_t, WarpTimes> seen_;  // other block -> what the running one has seen of it
};

}  // namespace vigor::emulator
