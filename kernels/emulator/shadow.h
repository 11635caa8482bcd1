#pragma once
// Shadow memory: what a checker remembers of each byte.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

namespace vigor::emulator {

// Memory that is zero until it is written to, and takes no room until then.
template <class T>
class ZeroArray {
 public:
  ZeroArray() = default;
  explicit ZeroArray(uint64_t count) : data_(static_cast<T*>(std::calloc(count > 0 ? count : 1, sizeof(T)))) {
    if (!data_) throw std::bad_alloc();
  }
  explicit operator bool() const { return data_ != nullptr; }
  T& operator[](uint64_t i) const { return data_.get()[i]; }

 private:
  struct Free {
    void operator()(T* data) const { std::free(data); }
  };
  std::unique_ptr<T, Free> data_;
};

// One bit for each byte of an allocation.
class ByteFlags {
 public:
  static constexpr uint64_t kNone = ~uint64_t{0};

  ByteFlags() = default;  // of no bytes
  explicit ByteFlags(uint64_t bytes) : words_(bytes / 64 + 1), bytes_(bytes) {}

  uint64_t bytes() const { return bytes_; }
  void set(uint64_t begin, uint64_t count) {
    for_words(begin, count, [](uint64_t& word, uint64_t bits) { return word |= bits, true; });
  }
  void clear(uint64_t begin, uint64_t count) {
    for_words(begin, count, [](uint64_t& word, uint64_t bits) { return word &= ~bits, true; });
  }
  bool all(uint64_t begin, uint64_t count) const {
    return for_words(begin, count, [](uint64_t word, uint64_t bits) { return (word & bits) == bits; });
  }
  bool none(uint64_t begin, uint64_t count) const {
    return for_words(begin, count, [](uint64_t word, uint64_t bits) { return (word & bits) == 0; });
  }
  // The first byte of the range whose flag is `value`; kNone if there is none.
  uint64_t find(bool value, uint64_t begin, uint64_t count) const {
    for (uint64_t i = begin; i < begin + count; ++i) {
      if ((words_[i / 64] >> i % 64 & 1) == uint64_t{value}) return i;
    }
    return kNone;
  }

 private:
  // f(word, the range's bits in it) for each word of the range until one gives false.
  template <class F>
  bool for_words(uint64_t begin, uint64_t count, F&& f) const {
    while (count > 0) {
      const uint64_t first = begin % 64, bits = count < 64 - first ? count : 64 - first;
      if (!f(words_[begin / 64], (bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1) << first)) return false;
      begin += bits;
      count -= bits;
    }
    return true;
  }

  ZeroArray<uint64_t> words_;
  uint64_t bytes_ = 0;
};

// Who accessed a byte, when, and how: time << 32 | thread << 22 | instruction << 1 | strong. Zero: nobody. The time is
// BlockClocks', of the thread's warp; a strong access is atomic or volatile.
using Stamp = uint64_t;
constexpr int kThreadShift = 22;
constexpr Stamp kStampLane = Stamp{1} << kThreadShift;  // from a lane to the next
constexpr uint32_t kMaxStampInstruction = (1u << 21) - 1;

constexpr Stamp make_stamp(uint32_t time, uint32_t thread, uint32_t instruction, bool strong) {
  return Stamp{time} << 32 | Stamp{thread} << kThreadShift | Stamp{instruction & kMaxStampInstruction} << 1 |
         Stamp{strong};
}
constexpr uint32_t time_of(Stamp stamp) { return static_cast<uint32_t>(stamp >> 32); }
constexpr uint32_t thread_of(Stamp stamp) { return static_cast<uint32_t>(stamp >> kThreadShift) & 1023; }
constexpr uint32_t warp_of(Stamp stamp) { return thread_of(stamp) / 32; }
constexpr uint32_t instruction_of(Stamp stamp) { return static_cast<uint32_t>(stamp >> 1) & kMaxStampInstruction; }
constexpr bool is_strong(Stamp stamp) { return stamp & 1; }

// Hands out zeroed words until reset() takes all of them back.
class ShadowArena {
 public:
  uint64_t* take(uint64_t words);
  void reset();

 private:
  static constexpr uint64_t kChunkWords = 1 << 16;
  std::vector<std::unique_ptr<uint64_t[]>> chunks_;
  uint64_t chunk_ = 0, used_ = 0;  // the chunk in use, and its words taken
};

// The last accesses of cells of 1, 2 or 4 bytes: the last write, and two reads since. Two are enough: whoever writes
// next without order conflicts with at least one of them. They are chosen from different warps where there are some.
struct ShadowCells {
  Stamp* write = nullptr;
  Stamp* read = nullptr;
  Stamp* other_read = nullptr;
  uint32_t shift = 0;  // of log2(bytes a cell)
};

// The cells of an allocation, or of a block's shared memory, in pages of 256 bytes. A page exists when it is first
// asked for; its cells are of 4 bytes until narrower accesses come.
class ShadowMemory {
 public:
  static constexpr uint64_t kPageBytes = 256;

  ShadowMemory() = default;
  explicit ShadowMemory(uint64_t bytes) : pages_((bytes + kPageBytes - 1) / kPageBytes) {}

  // The cells from `offset` to the end of its page, of at most 1 << shift bytes. What was remembered under another
  // generation is forgotten; all pages of a generation come from one arena.
  ShadowCells cells(uint64_t offset, uint32_t shift, uint32_t generation, ShadowArena& arena) {
    Page& page = pages_[offset / kPageBytes];
    if (page.generation != generation) {
      page = {arena.take(3 * (kPageBytes >> kWidestShift)), generation, kWidestShift};
    }
    if (page.shift > shift) split(page, shift, arena);
    const uint64_t count = kPageBytes >> page.shift;
    Stamp* first = page.cells + (offset % kPageBytes >> page.shift);
    return {first, first + count, first + 2 * count, page.shift};
  }

 private:
  static constexpr uint32_t kWidestShift = 2;
  struct Page {
    Stamp* cells;  // all write[], then all read[], then all other_read[]
    uint32_t generation;
    uint32_t shift;
  };
  static void split(Page& page, uint32_t shift, ShadowArena& arena);

  ZeroArray<Page> pages_;
};

}  // namespace vigor::emulator
