// What is neither arithmetic nor memory: traps, fences, clocks, and the functions that the device's library brings.
#include <fmt/format.h>

#include <bit>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <optional>

#include "kernels/emulator/instruction_table.h"
#include "kernels/emulator/warp.h"

namespace vigor::emulator {
namespace {

void trap(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  fail(warp, instruction, std::countr_zero(lanes), FaultKind::launch_failure, "trap");
}

void fence(Warp& warp, const Instruction&, uint32_t lanes) {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  if (warp.block->checker) warp.block->checker->fence(warp.index, lanes);
}

// A pause lets other warps run.
void pause(Warp& warp, const Instruction&, uint32_t) { warp.suspended = true; }

void nothing(Warp&, const Instruction&, uint32_t) {}

// %clock counts instructions of the warp, %globaltimer nanoseconds.
uint64_t clock_value(const Warp& warp, SpecialRegister which) {
  switch (which) {
    case SpecialRegister::globaltimer:
    case SpecialRegister::globaltimer_lo:
    case SpecialRegister::globaltimer_hi: {
      const auto now = std::chrono::steady_clock::now().time_since_epoch();
      const auto ns = static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
      return which == SpecialRegister::globaltimer_hi ? ns >> 32 : ns;
    }
    case SpecialRegister::clock_hi:
      return warp.warp_instructions >> 32;
    default:
      return warp.warp_instructions;
  }
}

template <class T>
void read_clock(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  T* d = warp.plane<T>(instruction.operands[0]);
  const uint64_t value = clock_value(warp, static_cast<SpecialRegister>(instruction.immediate));
  for (uint32_t rest = lanes; rest != 0; rest &= rest - 1) d[std::countr_zero(rest)] = static_cast<T>(value);
}

// --- Library functions: operands are offsets in local memory of the result, if any, and the arguments ---

template <class T>
T argument(const Warp& warp, const Instruction& instruction, uint32_t number, int lane) {
  T value;
  std::memcpy(&value,
              warp.local + static_cast<size_t>(lane) * warp.block->local_bytes + instruction.operands[number].offset,
              sizeof(T));
  return value;
}

// Host memory behind a generic address of this lane; null where there is none. `limit`: how many bytes are there.
const std::byte* generic_memory(const Warp& warp, int lane, uint64_t address, uint64_t& limit) {
  const Block& block = *warp.block;
  const uint64_t offset = address & ~kWindowMask;
  if ((address & kWindowMask) == kLocalWindow) {
    limit = offset < block.local_bytes ? block.local_bytes - offset : 0;
    return warp.local + static_cast<size_t>(lane) * block.local_bytes + offset;
  }
  if ((address & kWindowMask) == kSharedWindow) {
    limit = offset < block.shared_bytes ? block.shared_bytes - offset : 0;
    return block.shared + offset;
  }
  const auto range = block.memory->find(address);
  limit = range ? range->end - address : 0;
  return range ? range->host(address) : nullptr;
}

std::string text_at(const Warp& warp, const Instruction& instruction, int lane, uint64_t address) {
  uint64_t limit = 0;
  const auto* text = reinterpret_cast<const char*>(generic_memory(warp, lane, address, limit));
  const size_t length = text ? strnlen(text, limit) : 0;
  if (!text || length == limit) {
    fail(warp, instruction, lane, FaultKind::illegal_address,
         fmt::format("out of bounds: no text that ends at {:#x}, {}", address, warp.block->memory->describe(address))
             .c_str());
  }
  return {text, length};
}

// The printf of one lane: arguments lie in a buffer, each aligned to its size.
class Printer {
 public:
  Printer(const Warp& warp, const Instruction& instruction, int lane)
      : warp_(warp),
        instruction_(instruction),
        lane_(lane),
        format_(text_at(warp, instruction, lane, argument<uint64_t>(warp, instruction, 1, lane))),
        arguments_(argument<uint64_t>(warp, instruction, 2, lane)) {}

  std::string text() {
    std::string out;
    for (size_t at = 0; at < format_.size();) {
      const size_t percent = format_.find('%', at);
      out += format_.substr(at, percent - at);
      if (percent == std::string::npos) break;
      const size_t type = format_.find_first_of("%csdiouxXfFeEgGaAp", percent + 1);
      if (type == std::string::npos) {
        out += format_.substr(percent);
        break;
      }
      out += conversion(format_.substr(percent, type - percent + 1));
      at = type + 1;
    }
    return out;
  }

 private:
  std::string conversion(std::string spec) {
    if (spec == "%%") return "%";
    for (size_t star; (star = spec.find('*')) != std::string::npos;) {
      spec.replace(star, 1, std::to_string(next<int32_t>()));
    }
    const char type = spec.back();
    if (type == 's') {
      const uint64_t address = next<uint64_t>();
      return formatted(spec, address == 0 ? "(null)" : text_at(warp_, instruction_, lane_, address).c_str());
    }
    if (type == 'p') return formatted(spec, reinterpret_cast<void*>(next<uint64_t>()));
    if (type == 'c') return formatted(spec, next<int32_t>());
    if (std::strchr("diouxX", type)) {
      const bool wide = spec.find_first_of("lzjt") != std::string::npos;
      return wide ? formatted(spec, next<int64_t>()) : formatted(spec, next<int32_t>());
    }
    return formatted(spec, next<double>());
  }

  template <class T>
  static std::string formatted(const std::string& spec, T value) {
    const int length = std::snprintf(nullptr, 0, spec.c_str(), value);
    std::string text(static_cast<size_t>(std::max(length, 0)) + 1, '\0');
    std::snprintf(text.data(), text.size(), spec.c_str(), value);
    text.pop_back();
    return text;
  }

  template <class T>
  T next() {
    arguments_ = (arguments_ + sizeof(T) - 1) / sizeof(T) * sizeof(T);
    uint64_t limit = 0;
    const std::byte* at = generic_memory(warp_, lane_, arguments_, limit);
    if (!at || limit < sizeof(T)) {
      fail(warp_, instruction_, lane_, FaultKind::illegal_address,
           "out of bounds: fewer printf arguments than its format");
    }
    T value;
    std::memcpy(&value, at, sizeof(T));
    arguments_ += sizeof(T);
    return value;
  }

  const Warp& warp_;
  const Instruction& instruction_;
  int lane_;
  std::string format_;
  uint64_t arguments_;
};

void print(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  for (uint32_t rest = lanes; rest != 0; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    const std::string text = Printer(warp, instruction, lane).text();
    std::fwrite(text.data(), 1, text.size(), stdout);
    const auto length = static_cast<int32_t>(text.size());
    std::memcpy(warp.local + static_cast<size_t>(lane) * warp.block->local_bytes + instruction.operands[0].offset,
                &length, sizeof(length));
  }
  std::fflush(stdout);
}

void assert_fail(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  const int lane = std::countr_zero(lanes);
  const auto text = [&](uint32_t number) {
    return text_at(warp, instruction, lane, argument<uint64_t>(warp, instruction, number, lane));
  };
  fail(warp, instruction, lane, FaultKind::device_assert,
       fmt::format("assertion failed: {} ({}:{}, {})", text(0), text(1), argument<uint32_t>(warp, instruction, 2, lane),
                   text(3))
           .c_str());
}

constexpr OpRow kRows[] = {
    {"trap", trap, ""},
    {"brkpt", trap, ""},
    {"fence", fence, ""},
    {"nanosleep.u32", pause, "a", kControl},
    {"prefetch", nothing, "m"},
    {"mov.clock.u32", read_clock<uint32_t>, "", kControl},
    {"mov.clock.u64", read_clock<uint64_t>, "", kControl},
    {"call.vprintf", print, ""},
    {"call.__assertfail", assert_fail, ""},
};

}  // namespace

RowTable special_rows() { return table_of(kRows); }

}  // namespace vigor::emulator
