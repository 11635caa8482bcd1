#include "kernels/emulator/checker_block.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace vigor::emulator {
namespace {

constexpr uint32_t kFirstAndLast = 0x80000001;  // when all lanes read the same, two stand for all: see ShadowPage

bool writes(AccessKind kind) { return kind != AccessKind::read && kind != AccessKind::async_read; }
bool reads(AccessKind kind) {
  return kind == AccessKind::read || kind == AccessKind::async_read || kind == AccessKind::atomic;
}
bool is_strong(const Access& access) { return access.kind == AccessKind::atomic || access.is_volatile; }

template <class F>
void for_lanes(uint32_t lanes, F&& f) {
  for (; lanes != 0; lanes &= lanes - 1) f(static_cast<uint32_t>(std::countr_zero(lanes)));
}

}  // namespace

MemoryBlockChecker::MemoryBlockChecker(MemoryChecker& checker, const LaunchInfo& launch,
                                       const InstructionSources& sources, bool checking)
    : checker_(checker),
      launch_(launch),
      sources_(sources),
      checking_(checking),
      counting_(checker.wants_instructions()),
      threads_(static_cast<uint32_t>(launch.block.count())) {
  if (counting_) counts_.resize(launch.instruction_count);
  if (!checking_) return;
  shared_accesses_ = ShadowMemory(launch.shared_bytes);
  shared_written_ = ByteFlags(launch.shared_bytes);
  shared_in_flight_ = ByteFlags(launch.shared_bytes);
  local_written_ = ByteFlags(uint64_t{threads_} * launch.local_bytes);
  last_range_.resize(launch.instruction_count);
  releases_.resize(launch.instruction_count);
}

MemoryBlockChecker::~MemoryBlockChecker() {
  if (counting_) checker_.counters().add(launch_.kernel, counts_);
}

void MemoryBlockChecker::begin(const BlockInfo& block) {
  block_ = block;
  if (!checking_) return;
  ++block_count_;
  clocks_.begin(block, (threads_ + 31) / 32);
  shared_arena_.reset();
  shared_written_.clear(0, shared_written_.bytes());
  if (copies_in_flight_ > 0) shared_in_flight_.clear(0, shared_in_flight_.bytes());
  copies_in_flight_ = 0;
  if (local_touched_) local_written_.clear(0, local_written_.bytes());
  local_touched_ = false;
}

void MemoryBlockChecker::end() {
  if (!uninitialised_.empty()) throw Fault(FaultKind::launch_failure, uninitialised_);
}

void MemoryBlockChecker::barrier(bool whole_block, uint32_t warps) {
  if (checking_) clocks_.barrier(whole_block, warps);
}

void MemoryBlockChecker::warp_sync(uint32_t warp, uint32_t lanes) {
  if (!checking_) return;
  const uint32_t rest = threads_ - 32 * warp;
  clocks_.warp_sync(warp, lanes, rest >= 32 ? ~0u : (1u << rest) - 1);
}

void MemoryBlockChecker::fence(uint32_t warp, uint32_t) {
  if (checking_) clocks_.fence(warp);
}

void MemoryBlockChecker::instruction(uint32_t instruction, uint32_t lanes) {
  Counts& counts = counts_[instruction];
  ++counts.warp_instructions;
  counts.lane_instructions += static_cast<uint64_t>(std::popcount(lanes));
}

void MemoryBlockChecker::divergent_branch(uint32_t instruction, uint32_t) { ++counts_[instruction].divergent_branches; }

void MemoryBlockChecker::access(const Access& access) {
  if (counting_) count_access(access, counts_[access.instruction]);
  if (!checking_ || access.lanes == 0) return;
  if (access.space == Space::local) check_local(access);
  if (access.space == Space::global || access.space == Space::shared) check_shared_or_global(access);
}

void MemoryBlockChecker::check_local(const Access& access) {
  local_touched_ = true;
  for_lanes(access.lanes, [&](uint32_t lane) {
    const uint64_t thread = uint64_t{32} * access.warp + lane;
    const uint64_t at = thread * launch_.local_bytes + access.addresses[lane];
    if (writes(access.kind)) {
      local_written_.set(at, access.bytes);
    } else if (!local_written_.all(at, access.bytes)) {
      const uint64_t byte = local_written_.find(false, at, access.bytes) - at;
      report(FaultKind::launch_failure, "uninitialised: read of local memory that was never written", access, lane,
             access.addresses[lane] + byte);
    }
  });
}

// The allocation of a lane's address. An instruction mostly stays in one.
RangeShadow* MemoryBlockChecker::range_of(const Access& access, uint32_t lane) {
  RangeShadow*& last = last_range_[access.instruction];
  if (last && last->range.contains(access.addresses[lane], access.bytes)) return last;
  return last = checker_.find(access.addresses[lane]);
}

void MemoryBlockChecker::check_shared_or_global(const Access& access) {
  if (is_strong(access)) synchronise_by_memory(access);
  past_ = {clocks_.start(), clocks_.floor(access.warp) - clocks_.start()};
  const bool in_global = access.space == Space::global;
  uint32_t lanes = access.lanes;
  if (access.lanes == ~0u && is_arithmetic(access.addresses, access.bytes)) {
    Run run{0, 32, access.addresses[0], uint64_t{32} * access.bytes, in_global ? range_of(access, 0) : nullptr, 0};
    if (!in_global || (run.range && run.range->range.contains(run.address, run.bytes))) {
      run.offset = in_global ? run.address - run.range->base : run.address;
      check_run(access, run);
      return;
    }
  } else if (access.lanes == ~0u && !writes(access.kind) && is_arithmetic(access.addresses, 0)) {
    lanes = kFirstAndLast;
  }
  if (writes(access.kind)) lanes = distinct_lanes(access);
  while (lanes != 0) {
    Run run{};
    run.lane = static_cast<uint32_t>(std::countr_zero(lanes));
    run.address = access.addresses[run.lane];
    run.range = in_global ? range_of(access, run.lane) : nullptr;
    if (in_global && !run.range) {  // memory that came to be behind the checker's back
      lanes &= lanes - 1;
      continue;
    }
    const uint64_t end = in_global ? run.range->range.end : launch_.shared_bytes;
    const auto follows = [&](uint32_t lane, uint64_t address) {
      return lane < 32 && (lanes >> lane & 1) != 0 && access.addresses[lane] == address &&
             address + access.bytes <= end;
    };
    uint32_t next = run.lane + 1;
    if (follows(next, run.address)) {
      while (follows(next, run.address)) ++next;
      run.lanes = 1;
      run.bytes = access.bytes;
      run.offset = in_global ? run.address - run.range->base : run.address;
      check_run(access, run);
      run.lane = next - 1;
    } else {
      while (follows(next, run.address + uint64_t{next - run.lane} * access.bytes)) ++next;
      run.lanes = next - run.lane;
      run.bytes = uint64_t{run.lanes} * access.bytes;
      run.offset = in_global ? run.address - run.range->base : run.address;
    }
    check_run(access, run);
    lanes &= next == 32 ? 0u : ~0u << next;
  }
}

void MemoryBlockChecker::check_run(const Access& access, const Run& run) {
  ByteFlags& written = run.range ? run.range->written : shared_written_;
  if (run.range && run.range->poisoned.bytes() > 0 && !run.range->poisoned.none(run.offset, run.bytes)) {
    const uint64_t byte = run.range->poisoned.find(true, run.offset, run.bytes) - run.offset;
    report(FaultKind::illegal_address,
           fmt::format("out of bounds: {} global memory that the program's allocator has not handed out",
                       reads(access.kind) ? "read of" : "write to"),
           access, run.lane + static_cast<uint32_t>(byte) / access.bytes, run.address + byte);
  }
  if (!run.range && copies_in_flight_ > 0 && access.kind != AccessKind::async_write &&
      !shared_in_flight_.none(run.offset, run.bytes)) {
    const uint64_t byte = shared_in_flight_.find(true, run.offset, run.bytes) - run.offset;
    const uint32_t lane = run.lane + static_cast<uint32_t>(byte) / access.bytes;
    const ShadowPage& page =
        shared_accesses_.page(run.offset + byte, ShadowMemory::kWidestShift, block_count_, shared_arena_);
    const uint64_t cell = (run.offset + byte) % ShadowPage::kBytes >> page.shift;
    report(FaultKind::launch_failure,
           reads(access.kind) ? "early read: cp.async data read before its wait"
                              : "race: write to bytes that a cp.async is yet to write",
           access, lane, run.address + byte, other_party(page.write[cell], true));
  }
  if (reads(access.kind)) check_initialised(access, run, written);
  if (access.kind == AccessKind::async_issue) {
    shared_in_flight_.set(run.offset, run.bytes);
    copies_in_flight_ += run.lanes;
  } else if (writes(access.kind)) {
    written.set(run.offset, run.bytes);
  }
  if (access.kind == AccessKind::async_write) {
    shared_in_flight_.clear(run.offset, run.bytes);
    copies_in_flight_ -= std::min<uint64_t>(copies_in_flight_, run.lanes);
  }
  check_races(access, run);
}

void MemoryBlockChecker::check_initialised(const Access& access, const Run& run, ByteFlags& written) {
  if (written.all(run.offset, run.bytes)) return;
  const uint64_t byte = written.find(false, run.offset, run.bytes) - run.offset;
  const uint32_t lane = run.lane + static_cast<uint32_t>(byte) / access.bytes;
  if (run.range) {
    report(FaultKind::launch_failure, "uninitialised: read of global memory that was never written", access, lane,
           run.address + byte);
  }
  // Without a barrier a thread may read what another is yet to write. That will be found as a race, which says more;
  // so this report waits for the end of the block.
  if (uninitialised_.empty()) {
    uninitialised_ =
        text_of("uninitialised: read of shared memory that was never written", access, lane, run.address + byte);
  }
}

// Page by page, through the cells of the run's bytes.
void MemoryBlockChecker::check_races(const Access& access, const Run& run) {
  const auto shift =
      static_cast<uint32_t>(std::countr_zero(run.offset | access.bytes | uint64_t{1} << ShadowMemory::kWidestShift));
  ShadowArena& arena = run.range ? checker_.arena() : shared_arena_;
  for (uint64_t done = 0; done < run.bytes;) {
    const uint64_t offset = run.offset + done;
    const uint64_t bytes = std::min(run.bytes - done, ShadowPage::kBytes - offset % ShadowPage::kBytes);
    ShadowPage& page = run.range ? run.range->accesses.page(offset, shift, checker_.generation(), arena)
                                 : shared_accesses_.page(offset, shift, block_count_, arena);
    touch_page(access, run, page, arena, done, bytes);
    done += bytes;
  }
}

void MemoryBlockChecker::touch_page(const Access& access, const Run& run, ShadowPage& page, ShadowArena& arena,
                                    uint64_t done, uint64_t bytes) {
  const uint64_t first = (run.offset + done) % ShadowPage::kBytes >> page.shift;
  const uint64_t count = bytes >> page.shift;
  const uint64_t skipped = done >> page.shift;
  const auto cells_of_lane = static_cast<uint32_t>(std::countr_zero(access.bytes)) - page.shift;
  const Stamp stamp =
      make_stamp(clocks_.now(access.warp), 32 * access.warp + run.lane, access.instruction, is_strong(access));
  std::array<Stamp, ShadowPage::kBytes> mine;
  const auto look_at = [&](const Stamp* array, bool earlier_writes) {
    if (!array || !any_suspicious(array + first, mine.data(), count, past_)) return;
    for (uint64_t i = 0; i < count; ++i) require_no_conflict(access, run, array[first + i], earlier_writes, mine[i]);
  };

  if (!writes(access.kind)) {
    page.need(page.read, arena);
    const auto remember = [&] {
      return remember_reads(page.write ? page.write + first : nullptr, page.read + first,
                            page.other_read ? page.other_read + first : nullptr, stamp, skipped, cells_of_lane, count,
                            past_);
    };
    const ReadOutcome outcome = remember();
    if (outcome.any_suspicious_write) {
      fill_stamps(mine.data(), stamp, skipped, cells_of_lane, count);
      look_at(page.write, true);
    }
    if (outcome.needs_other_read) {
      page.need(page.other_read, arena);
      remember();
    }
    return;
  }
  fill_stamps(mine.data(), stamp, skipped, cells_of_lane, count);
  if (access.kind != AccessKind::async_write) {  // what conflicts with that was found when the copy was issued
    look_at(page.write, true);
    look_at(page.read, false);
    look_at(page.other_read, false);
  }
  page.need(page.write, arena);
  std::copy_n(mine.data(), count, page.write + first);
  if (page.read) std::fill_n(page.read + first, count, 0);
  if (page.other_read) std::fill_n(page.other_read + first, count, 0);
}

void MemoryBlockChecker::require_no_conflict(const Access& access, const Run& run, Stamp earlier, bool earlier_writes,
                                             Stamp mine) {
  const uint32_t thread = thread_of(mine), lane = thread % 32;
  if (!suspicious(earlier, mine, past_) || (is_strong(access) && emulator::is_strong(earlier))) return;
  if (clocks_.ordered(earlier, thread)) return;
  const bool now_writes = writes(access.kind);
  if (earlier_writes && now_writes && !reads(access.kind) && !changes_memory(access, run, lane)) return;

  const char* memory = run.range ? "global" : "shared";
  const bool same_block = clocks_.in_this_block(earlier);
  const bool same_warp = same_block && warp_of(earlier) == access.warp;
  const char* remedy = !same_block ? "nothing orders blocks of a launch: use atomics, or two launches"
                       : same_warp ? "no __syncwarp() or __syncthreads() between them"
                                   : "no __syncthreads() between them";
  const char* how = !now_writes      ? "read after another thread's write"
                    : earlier_writes ? "two writes"
                                     : "write after another thread's read";
  report(FaultKind::launch_failure,
         fmt::format("race {} in {} memory: {}, {}",
                     !same_block ? "between blocks"
                     : same_warp ? "within a warp"
                                 : "within a block",
                     memory, how, remedy),
         access, lane, access.addresses[lane], other_party(earlier, earlier_writes));
}

// Will this lane's write store anything else than what is there?
bool MemoryBlockChecker::changes_memory(const Access& access, const Run& run, uint32_t lane) const {
  if (!access.elements) return true;
  const uint64_t address = access.addresses[lane];
  const std::byte* memory = run.range ? run.range->range.host(address) : block_.shared + address;
  if (!run.range && !block_.shared) return true;
  for (uint32_t e = 0; e * access.element_bytes < access.bytes; ++e) {
    const std::byte* value = access.elements[e] + lane * access.element_stride;
    if (std::memcmp(value, memory + e * access.element_bytes, access.element_bytes) != 0) return true;
  }
  return false;
}

// Without lanes that write where a lower one does. They must write the same, since no order among them is defined.
uint32_t MemoryBlockChecker::distinct_lanes(const Access& access) const {
  bool ascending = true;
  uint64_t end = 0;
  for_lanes(access.lanes, [&](uint32_t lane) {
    ascending &= access.addresses[lane] >= end;
    end = access.addresses[lane] + access.bytes;
  });
  if (ascending) return access.lanes;

  uint32_t distinct = 0;
  for_lanes(access.lanes, [&](uint32_t lane) {
    uint32_t same = 0;
    for_lanes(distinct, [&](uint32_t lower) {
      if (access.addresses[lower] == access.addresses[lane]) same |= 1u << lower;
    });
    if (same == 0) distinct |= 1u << lane;
    if (same == 0 || access.kind != AccessKind::write || access.is_volatile || !access.elements) return;
    const auto first = static_cast<uint32_t>(std::countr_zero(same));
    for (uint32_t e = 0; e * access.element_bytes < access.bytes; ++e) {
      const std::byte* value = access.elements[e];
      if (std::memcmp(value + lane * access.element_stride, value + first * access.element_stride,
                      access.element_bytes) != 0) {
        report(FaultKind::launch_failure,
               fmt::format("race within a warp in {} memory: lanes {} and {} write different values in one "
                           "instruction",
                           access.space == Space::global ? "global" : "shared", first, lane),
               access, lane, access.addresses[lane],
               fmt::format("\n  other   thread {}, in the same instruction",
                           thread_index(launch_.block, access.warp, first)));
      }
    }
  });
  return distinct;
}

// Flags and counters in memory order what lies before and after them, see BlockClocks.
void MemoryBlockChecker::synchronise_by_memory(const Access& access) {
  const uint64_t space = access.space == Space::shared ? BlockClocks::kSharedVariable : 0;
  if (reads(access.kind) && clocks_.anything_released()) {
    for_lanes(access.lanes, [&](uint32_t lane) { clocks_.acquire(access.warp, space | access.addresses[lane]); });
  }
  if (!writes(access.kind)) return;
  if (releases_by_itself(access.instruction)) clocks_.fence(access.warp);
  if (!clocks_.anything_fenced(access.warp)) return;
  for_lanes(access.lanes, [&](uint32_t lane) { clocks_.release(access.warp, space | access.addresses[lane]); });
}

// st.release, atom.acq_rel: a fence and a write in one.
bool MemoryBlockChecker::releases_by_itself(uint32_t instruction) {
  uint8_t& known = releases_[instruction];
  if (known == 0) {
    const std::string_view text = sources_.source(instruction).instruction;
    const bool releases = text.find(".release") != text.npos || text.find(".acq_rel") != text.npos;
    known = releases ? 2 : 1;
  }
  return known == 2;
}

}  // namespace vigor::emulator
