#pragma once
// A hash table from chunks of one to three code points to a number, for the inner loop of encoding: one multiplication
// and usually one cache line a look-up, where std::unordered_map follows two pointers.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vigor {

// One to three code points in 63 bits, first one highest, each plus one so that "absent" (0) sorts before all.
// The order of keys is therefore the code point order of chunks, and no key is 0.
using ChunkKey = uint64_t;

inline ChunkKey chunk_key(std::u32string_view chunk) {
  ChunkKey key = 0;
  for (size_t i = 0; i < 3; ++i) key = (key << 21) | (i < chunk.size() ? chunk[i] + 1 : 0);
  return key;
}

inline std::u32string chunk_points(ChunkKey key) {
  std::u32string points;
  for (int shift = 42; shift >= 0; shift -= 21) {
    const char32_t slot = static_cast<char32_t>((key >> shift) & 0x1FFFFF);
    if (slot != 0) points.push_back(slot - 1);
  }
  return points;
}

template <class Value>
class ChunkTable {
 public:
  ChunkTable() : slots_(size_t{1} << kFirstBits) {}

  size_t size() const { return size_; }

  const Value* find(ChunkKey key) const {
    const Slot& slot = slots_[index_of(key)];
    return slot.key == key ? &slot.value : nullptr;
  }

  // The value of `key`, made from Value{} if it was not there; invalid after the next call.
  Value& operator[](ChunkKey key) {
    size_t index = index_of(key);
    if (slots_[index].key != key) {
      if (2 * (size_ + 1) > slots_.size()) {
        grow();
        index = index_of(key);
      }
      slots_[index].key = key;
      ++size_;
    }
    return slots_[index].value;
  }

  template <class Visit>
  void for_each(Visit&& visit) const {
    for (const Slot& slot : slots_) {
      if (slot.key != 0) visit(slot.key, slot.value);
    }
  }

 private:
  struct Slot {
    ChunkKey key = 0;
    Value value{};
  };
  static constexpr int kFirstBits = 10;

  // Fibonacci hashing (the high bits of a product), then linear probing; the table is never more than half full.
  size_t index_of(ChunkKey key) const {
    size_t index = static_cast<size_t>((key * 0x9E3779B97F4A7C15u) >> shift_);
    while (slots_[index].key != 0 && slots_[index].key != key) index = (index + 1) & (slots_.size() - 1);
    return index;
  }

  void grow() {
    std::vector<Slot> old(2 * slots_.size());
    old.swap(slots_);
    --shift_;
    for (const Slot& slot : old) {
      if (slot.key != 0) slots_[index_of(slot.key)] = slot;
    }
  }

  std::vector<Slot> slots_;
  size_t size_ = 0;
  int shift_ = 64 - kFirstBits;
};

}  // namespace vigor
