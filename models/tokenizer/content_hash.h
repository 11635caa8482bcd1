#pragma once
// A fast 64-bit hash of bytes, the same on every machine and for every way of cutting the bytes into updates. It keys
// caches, detects corruption and decides the hold-out; it is no defence against an attacker.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace vigor {

// Finalizer of splitmix64 (Steele, Lea and Flood, OOPSLA 2014): every input bit reaches every output bit.
constexpr uint64_t mix_bits(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

class ContentHash {
 public:
  void update(std::span<const std::byte> bytes) {
    nbytes_ += bytes.size();
    if (npending_ > 0) {
      const size_t taken = bytes.size() < kBlock - npending_ ? bytes.size() : kBlock - npending_;
      std::memcpy(pending_.data() + npending_, bytes.data(), taken);
      npending_ += taken;
      bytes = bytes.subspan(taken);
      if (npending_ < kBlock) return;
      add_block(pending_.data());
      npending_ = 0;
    }
    for (; bytes.size() >= kBlock; bytes = bytes.subspan(kBlock)) add_block(bytes.data());
    if (!bytes.empty()) std::memcpy(pending_.data(), bytes.data(), bytes.size());
    npending_ = bytes.size();
  }
  void update(std::string_view text) { update(std::as_bytes(std::span(text.data(), text.size()))); }
  void update(uint64_t value) { update(std::as_bytes(std::span(&value, 1))); }

  uint64_t value() const {
    ContentHash last = *this;
    std::memset(last.pending_.data() + npending_, 0, kBlock - npending_);  // the length tells padding from zero bytes
    last.add_block(last.pending_.data());
    uint64_t hash = mix_bits(nbytes_ + 1);
    for (const uint64_t lane : last.lanes_) hash = mix_bits(hash ^ lane) * kMultiplier;
    return hash;
  }

 private:
  static constexpr size_t kBlock = 32;
  static constexpr uint64_t kMultiplier = 0x9E3779B97F4A7C15u;  // 2^64 / golden ratio, odd

  // Four independent lanes, so that the multiplications overlap; each step is a bijection of lane and word.
  void add_block(const std::byte* block) {
    for (size_t i = 0; i < lanes_.size(); ++i) {
      uint64_t word;
      std::memcpy(&word, block + 8 * i, 8);  // little-endian machines only, as all of Vigor's files
      lanes_[i] = (lanes_[i] ^ word) * kMultiplier;
      lanes_[i] ^= lanes_[i] >> 32;
    }
  }

  std::array<uint64_t, 4> lanes_{1, 2, 3, 4};
  std::array<std::byte, kBlock> pending_{};
  size_t npending_ = 0;
  uint64_t nbytes_ = 0;
};

inline uint64_t content_hash(std::string_view text) {
  ContentHash hash;
  hash.update(text);
  return hash.value();
}

}  // namespace vigor
