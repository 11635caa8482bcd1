#pragma once
// Words of a RandomKey as *_simd.cpp files take them; follows the rules of those.
#include <stdint.h>

namespace vigor {

// The words from number `first` on.
struct RandomSequence {
  uint64_t first;         // a multiple of 4: Philox makes four words at a time
  uint64_t seed;          // of the key
  uint32_t step, stream;  // third and fourth word of the counter, as in random_block of tensor/philox.h
};

// Key is RandomKey, which those files do not include.
template <class Key>
RandomSequence random_sequence(const Key& key, uint64_t first) {
  return {first, key.seed, key.step, (key.salt << 3) | static_cast<uint32_t>(key.stream)};
}

}  // namespace vigor
