#include "kernels/emulator/checker.h"

#include <fmt/format.h>

#include <cstdlib>

#include "kernels/emulator/checker_block.h"

namespace vigor::emulator {
namespace {

constexpr uint64_t kPage = ShadowPage::kBytes;

// Memory that the host can write without our knowing, and variables, which are initialised, count as written.
bool starts_written(RangeKind kind) { return kind != RangeKind::device; }

}  // namespace

RangeShadow::RangeShadow(const MemoryRange& allocation)
    : range(allocation),
      base(allocation.begin / kPage * kPage),
      written(allocation.end - base),
      accesses(allocation.end - base) {
  if (starts_written(allocation.kind)) written.set(0, written.bytes());
}

void MemoryChecker::allocated(const MemoryRange& range) {
  ranges_.insert_or_assign(range.begin, std::make_unique<RangeShadow>(range));
}

void MemoryChecker::freed(const MemoryRange& range) { ranges_.erase(range.begin); }

RangeShadow* MemoryChecker::find(uint64_t address) {
  auto after = ranges_.upper_bound(address);
  if (after == ranges_.begin()) return nullptr;
  RangeShadow* range = std::prev(after)->second.get();
  return range->range.contains(address, 1) ? range : nullptr;
}

void MemoryChecker::host_wrote(uint64_t address, uint64_t bytes) {
  if (RangeShadow* range = find(address)) range->written.set(address - range->base, bytes);
}

void MemoryChecker::host_read(uint64_t address, uint64_t bytes) {
  const RangeShadow* range = find(address);
  if (!range || !checking_) return;
  const uint64_t offset = address - range->base;
  if (range->written.all(offset, bytes)) return;
  const uint64_t byte = range->written.find(false, offset, bytes) - offset;
  throw Fault(FaultKind::illegal_address,
              fmt::format("uninitialised: copy of global memory to the host, byte {} of {} was never written\n"
                          "  address {:#x}, {} bytes into the allocation {:#x} ({} bytes)",
                          byte, bytes, address + byte, address + byte - range->range.begin, range->range.begin,
                          range->range.bytes()));
}

// A copy of memory that is partly uninitialised is no error; its copy is as uninitialised.
void MemoryChecker::copied(uint64_t to, uint64_t from, uint64_t bytes) {
  RangeShadow* target = find(to);
  const RangeShadow* source = find(from);
  if (!target) return;
  target->written.set(to - target->base, bytes);
  if (!source) return;
  const uint64_t begin = from - source->base;
  for (uint64_t i = source->written.find(false, begin, bytes); i != ByteFlags::kNone;) {
    target->written.clear(to - target->base + (i - begin), 1);
    i = source->written.find(false, i + 1, begin + bytes - i - 1);
  }
}

void MemoryChecker::poison(uint64_t address, uint64_t bytes) {
  RangeShadow* range = find(address);
  if (!range) return;
  if (range->poisoned.bytes() == 0) range->poisoned = ByteFlags(range->written.bytes());
  range->poisoned.set(address - range->base, bytes);
}

void MemoryChecker::unpoison(uint64_t address, uint64_t bytes) {
  RangeShadow* range = find(address);
  if (!range || range->poisoned.bytes() == 0) return;
  range->poisoned.clear(address - range->base, bytes);
  range->written.clear(address - range->base, bytes);
}

void MemoryChecker::launch_begin(const LaunchInfo& launch, const InstructionSources& sources) {
  ++generation_;
  arena_.reset();
  if (counters_.enabled()) counters_.launched(launch, sources);
}

std::unique_ptr<BlockChecker> MemoryChecker::make_block_checker(const LaunchInfo& launch,
                                                                const InstructionSources& sources) {
  return std::make_unique<MemoryBlockChecker>(*this, launch, sources, checking_);
}

void MemoryChecker::launch_end() {}

std::string leak_report(const DeviceMemory& memory) {
  std::string report;
  uint64_t count = 0, bytes = 0;
  for (const MemoryRange& range : memory.ranges()) {
    if (range.kind != RangeKind::device) continue;
    report += fmt::format("vigor emulator: leak: {} bytes at {:#x} were not freed (allocation number {})\n",
                          range.bytes(), range.begin, range.serial);
    ++count;
    bytes += range.bytes();
  }
  if (count > 0) report += fmt::format("vigor emulator: leak: {} bytes in {} allocations in all\n", bytes, count);
  return report;
}

MemoryChecker& process_checker() {
  // Never destroyed: libraries free device memory while the process ends.
  static MemoryChecker* checker = [] {
    auto* made = new MemoryChecker;
    if (const char* stats = std::getenv("VIGOR_EMULATOR_STATS"); stats && *stats) made->counters().enable();
    return made;
  }();
  return *checker;
}

void attach_process_checker(LaunchOptions& options) {
  MemoryChecker& checker = process_checker();
  const bool full = options.check == CheckLevel::full;
  options.checker = nullptr;
  if (!full && !checker.counters().enabled()) return;
  checker.set_checking(full);
  options.checker = &checker;
  options.check = CheckLevel::full;  // launch() asks a checker only then
  if (full) options.threads = 1;
}

}  // namespace vigor::emulator
