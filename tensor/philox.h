#pragma once
// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): random numbers as a pure
// function of a key and a counter. Vigor numbers every random value by (seed, stream, step, element), so the order in
// which threads, devices or a recomputation ask does not matter.
#include <array>
#include <cmath>
#include <cstdint>
#include <string_view>

#ifdef __CUDACC__
#define VIGOR_HOST_DEVICE __host__ __device__
#else
#define VIGOR_HOST_DEVICE
#endif

namespace vigor {

enum class RandomStream : uint32_t { init = 0, data = 1, dropout = 2, sampling = 3, rounding = 4 };

// `salt` tells users of one stream apart (a parameter, a dropout layer); 29 bits of it are used.
struct RandomKey {
  uint64_t seed = 0;
  RandomStream stream = RandomStream::init;
  uint32_t salt = 0;
  uint32_t step = 0;
};

struct PhiloxWords {
  uint32_t word[4];
};

VIGOR_HOST_DEVICE inline PhiloxWords philox(uint64_t key, PhiloxWords counter) {
  uint32_t k0 = static_cast<uint32_t>(key);
  uint32_t k1 = static_cast<uint32_t>(key >> 32);
  uint32_t* c = counter.word;
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57u} * c[2];
    const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0;
    const uint32_t n2 = static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1;
    c[1] = static_cast<uint32_t>(p1);
    c[3] = static_cast<uint32_t>(p0);
    c[0] = n0;
    c[2] = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return counter;
}

// The four words of block `block` = elements 4*block .. 4*block+3.
VIGOR_HOST_DEVICE inline PhiloxWords random_block(const RandomKey& key, uint64_t block) {
  return philox(key.seed, {{static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), key.step,
                            (key.salt << 3) | static_cast<uint32_t>(key.stream)}});
}

VIGOR_HOST_DEVICE inline uint32_t random_bits(const RandomKey& key, uint64_t element) {
  return random_block(key, element >> 2).word[element & 3];
}

VIGOR_HOST_DEVICE inline float to_uniform(uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1p-24f; }  // [0, 1)

VIGOR_HOST_DEVICE inline float random_uniform(const RandomKey& key, uint64_t element) {
  return to_uniform(random_bits(key, element));
}

// Standard normals by Box-Muller: words (0,1) give elements 0 and 1 of a block, words (2,3) elements 2 and 3.
// In double, so that devices agree to the last float bit nearly always.
VIGOR_HOST_DEVICE inline float random_normal(const RandomKey& key, uint64_t element) {
  const PhiloxWords words = random_block(key, element >> 2);
  const uint32_t pair = static_cast<uint32_t>(element & 2);
  const double u = (words.word[pair] + 1.0) * 0x1p-32;  // (0, 1]: its logarithm is finite
  const double angle = words.word[pair + 1] * (0x1p-32 * 6.283185307179586);
  const double radius = std::sqrt(-2.0 * std::log(u));
  return static_cast<float>(radius * ((element & 1) != 0 ? std::sin(angle) : std::cos(angle)));
}

// A stable salt from a name (FNV-1a).
constexpr uint32_t salt_of(std::string_view name) {
  uint32_t h = 2166136261u;
  for (char c : name) h = (h ^ static_cast<uint8_t>(c)) * 16777619u;
  return (h ^ (h >> 29)) & 0x1fffffffu;
}

}  // namespace vigor
