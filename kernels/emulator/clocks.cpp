#include "kernels/emulator/clocks.h"

#include <algorithm>

namespace vigor::emulator {
namespace {

void take_later(WarpTimes& times, const WarpTimes& others) {
  for (size_t i = 0; i < kMaxWarps; ++i) times[i] = std::max(times[i], others[i]);
}

template <class F>
void for_bits(uint32_t bits, F&& f) {
  for (; bits != 0; bits &= bits - 1) f(static_cast<uint32_t>(__builtin_ctz(bits)));
}

}  // namespace

void BlockClocks::begin(const BlockInfo& block, uint32_t warps) {
  start_ = ++clock_;
  warps_ = warps;
  blocks_.push_back({start_, block.index});
  now_.fill(start_);
  floor_.fill(start_);
  for (uint32_t warp = 0; warp < warps; ++warp) {
    known_[warp].fill(start_);
    visible_[warp].fill(start_);
  }
  fenced_warps_ = partly_synced_ = 0;
  shared_variables_.clear();
  picked_up_ = kNothing;
  seen_.clear();
  seen_is_current_ = true;
}

uint32_t BlockClocks::block_number(Stamp stamp) const {
  const auto after = std::upper_bound(blocks_.begin(), blocks_.end(), time_of(stamp),
                                      [](uint32_t time, const BlockRecord& block) { return time < block.start; });
  return static_cast<uint32_t>(after - blocks_.begin() - 1);
}

const Dim3& BlockClocks::block_of(Stamp stamp) const { return blocks_[block_number(stamp)].index; }

void BlockClocks::update_floor(uint32_t warp) {
  floor_[warp] = *std::min_element(known_[warp].begin(), known_[warp].begin() + warps_);
}

bool BlockClocks::ordered(Stamp earlier, uint32_t thread) {
  const uint32_t warp = thread / 32, other = warp_of(earlier);
  if (!in_this_block(earlier)) {
    if (picked_up_ == kNothing) return false;
    if (!seen_is_current_) collect_seen();
    const auto seen = seen_.find(block_number(earlier));
    return seen != seen_.end() && time_of(earlier) < seen->second[other];
  }
  if (thread == thread_of(earlier) || time_of(earlier) < known_[warp][other]) return true;
  return warp == other && (partly_synced_ >> warp & 1) != 0 &&
         time_of(earlier) < lane_known_[warp][thread % 32][thread_of(earlier) % 32];
}

void BlockClocks::barrier(bool whole_block, uint32_t warps) {
  const uint32_t time = ++clock_;
  const uint32_t all = warps_ == 32 ? ~0u : (1u << warps_) - 1;
  if (whole_block) warps = all;
  WarpTimes known{}, visible{};
  for_bits(warps, [&](uint32_t warp) {
    take_later(known, known_[warp]);
    take_later(visible, visible_[warp]);
  });
  for_bits(warps, [&](uint32_t warp) { known[warp] = time; });
  if (whole_block) known.fill(time);  // warps that have exited are done too
  for_bits(warps, [&](uint32_t warp) {
    now_[warp] = time;
    known_[warp] = known;
    visible_[warp] = visible;
    update_floor(warp);
  });
  if (fenced_warps_ & warps) fenced_warps_ |= warps;
  partly_synced_ &= ~warps;
}

void BlockClocks::warp_sync(uint32_t warp, uint32_t lanes, uint32_t existing_lanes) {
  const uint32_t time = ++clock_;
  now_[warp] = time;
  if ((lanes & existing_lanes) == existing_lanes) {
    known_[warp][warp] = time;
    update_floor(warp);
    partly_synced_ &= ~(1u << warp);
    return;
  }
  if (lane_known_.size() < warps_) lane_known_.resize(warps_);
  LaneTimes& lane_known = lane_known_[warp];
  if ((partly_synced_ >> warp & 1) == 0) {
    for (auto& row : lane_known) row.fill(known_[warp][warp]);
    partly_synced_ |= 1u << warp;
  }
  std::array<uint32_t, 32> known{};
  for_bits(lanes, [&](uint32_t lane) {
    for (size_t i = 0; i < 32; ++i) known[i] = std::max(known[i], lane_known[lane][i]);
  });
  for_bits(lanes, [&](uint32_t lane) { known[lane] = time; });
  for_bits(lanes, [&](uint32_t lane) { lane_known[lane] = known; });
}

void BlockClocks::fence(uint32_t warp) {
  const uint32_t time = ++clock_;
  now_[warp] = time;
  take_later(visible_[warp], known_[warp]);
  visible_[warp][warp] = time;
  fenced_warps_ |= 1u << warp;
}

void BlockClocks::release(uint32_t warp, uint64_t variable) {
  if ((fenced_warps_ >> warp & 1) == 0) return;
  const auto [at, is_new] = variables(variable).try_emplace(variable, kNothing);
  uint32_t& newest = at->second;
  if (!is_new) {
    const Release& last = releases_[newest];
    if (last.block == this_block() && last.visible == visible_[warp] && last.picked_up == picked_up_) return;
  }
  releases_.push_back({this_block(), visible_[warp], newest, picked_up_});
  newest = static_cast<uint32_t>(releases_.size() - 1);
}

void BlockClocks::acquire(uint32_t warp, uint64_t variable) {
  const auto found = variables(variable).find(variable);
  if (found == variables(variable).end()) return;
  uint32_t release = found->second;
  const uint32_t lanes_known = known_[warp][warp];  // what lanes know of each other is __syncwarp's business alone
  for (; release != kNothing && releases_[release].block == this_block(); release = releases_[release].same_variable) {
    take_later(known_[warp], releases_[release].visible);
  }
  known_[warp][warp] = lanes_known;
  update_floor(warp);
  if (release == kNothing || (picked_up_ != kNothing && pickups_[picked_up_].release == release)) return;
  pickups_.push_back({release, picked_up_});
  picked_up_ = static_cast<uint32_t>(pickups_.size() - 1);
  seen_is_current_ = false;
}

// Follows every pickup to its releases, and these to what their blocks had picked up.
void BlockClocks::collect_seen() {
  std::vector<uint32_t> open{picked_up_};
  std::vector<bool> pickup_done(pickups_.size()), release_done(releases_.size());
  while (!open.empty()) {
    uint32_t pickup = open.back();
    open.pop_back();
    for (; pickup != kNothing && !pickup_done[pickup]; pickup = pickups_[pickup].before) {
      pickup_done[pickup] = true;
      for (uint32_t r = pickups_[pickup].release; r != kNothing && !release_done[r]; r = releases_[r].same_variable) {
        release_done[r] = true;
        const Release& release = releases_[r];
        take_later(seen_.try_emplace(release.block, WarpTimes{}).first->second, release.visible);
        if (release.picked_up != kNothing) open.push_back(release.picked_up);
      }
    }
  }
  seen_is_current_ = true;
}

}  // namespace vigor::emulator
