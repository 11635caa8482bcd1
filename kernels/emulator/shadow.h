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
    const uint64_t skip = value ? 0 : ~uint64_t{0};  // a word without it
    for (uint64_t i = begin; i < begin + count;) {
      const uint64_t word = words_[i / 64];
      if (word == skip) {
        i = (i / 64 + 1) * 64;
      } else if ((word >> i % 64 & 1) == uint64_t{value}) {
        return i;
      } else {
        ++i;
      }
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

// The last accesses of 256 bytes, in cells of 1 to 16 bytes: the last write, and two reads since. Two are enough:
// whoever writes next without order conflicts with at least one of them. They are chosen from different warps where
// there are some. A null array is all zeros.
struct ShadowPage {
  static constexpr uint64_t kBytes = 256;

  Stamp* write;
  Stamp* read;
  Stamp* other_read;
  uint32_t generation;
  uint32_t shift;  // log2(bytes a cell)

  uint64_t cells() const { return kBytes >> shift; }
  void need(Stamp*& array, ShadowArena& arena) const {
    if (!array) array = arena.take(cells());
  }
};

// The pages of an allocation, or of a block's shared memory. The first access gives a page's cells their size; narrower
// ones split them.
class ShadowMemory {
 public:
  static constexpr uint32_t kWidestShift = 4;

  ShadowMemory() = default;
  explicit ShadowMemory(uint64_t bytes) : pages_((bytes + ShadowPage::kBytes - 1) / ShadowPage::kBytes) {}

  // The page of `offset`, with cells of at most 1 << shift bytes. What was remembered under another generation is
  // forgotten; all pages of a generation come from one arena.
  ShadowPage& page(uint64_t offset, uint32_t shift, uint32_t generation, ShadowArena& arena) {
    ShadowPage& page = pages_[offset / ShadowPage::kBytes];
    if (page.generation != generation) page = {nullptr, nullptr, nullptr, generation, shift};
    if (page.shift > shift) split(page, shift, arena);
    return page;
  }

 private:
  static void split(ShadowPage& page, uint32_t shift, ShadowArena& arena);

  ZeroArray<ShadowPage> pages_;
};

// --- operations on rows of cells; `mine` holds the stamps that the access would leave (shadow_rows.cpp) ---

// The block's view of the past: when it began, and up to which age accesses of the block are known to have happened
// before what the warp does now.
struct Past {
  uint32_t start, ordered_age;
};

// False for most accesses that cannot be part of a race with `mine`, without asking the clocks: nobody's, those that
// a barrier of the block has ordered, and the thread's own.
inline bool suspicious(Stamp earlier, Stamp mine, Past past) {
  const auto time = static_cast<uint32_t>(earlier >> 32);
  const uint32_t age = time - past.start;  // of another block: enormous
  const bool own = ((earlier ^ mine) >> kThreadShift & 1023) == 0 && time >= past.start;
  return (earlier != 0) & (age >= past.ordered_age) & !own;
}
bool any_suspicious(const Stamp* earlier, const Stamp* mine, uint64_t count, Past past);

// mine[i] = first + one lane for every 1 << cells_shift cells, of which `skipped` came before.
void fill_stamps(Stamp* mine, Stamp first, uint64_t skipped, uint32_t cells_shift, uint64_t count);

// A row of reads; mine[i] as above. Remembers them in `read` and `other_read`. `write` and `other_read` may be null.
struct ReadOutcome {
  bool any_suspicious_write;
  bool needs_other_read;  // nothing was remembered: call again with the array
};
ReadOutcome remember_reads(const Stamp* write, Stamp* read, Stamp* other_read, Stamp first, uint64_t skipped,
                           uint32_t cells_shift, uint64_t count, Past past);

// Is address i address 0 plus i * step, for all 32?
bool is_arithmetic(const uint64_t* addresses, uint64_t step);

}  // namespace vigor::emulator
