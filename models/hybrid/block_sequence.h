#pragma once
// The order of a hybrid model's blocks as text: words of block letters, each word with an optional repeat count.
//
//   "H*10 A*6"   ten H, then six A          "MMA*3"   MMA MMA MMA
//
// Letters are those of models/hybrid/block_kinds.h; this file does not know them.
#include <cstdint>
#include <string>
#include <string_view>

namespace vigor {

inline constexpr int64_t kMaxBlocks = 1024;

// "MMA*2" -> "MMAMMA". Throws std::invalid_argument, beginning with "blocks:", for anything but words of `letters` with
// counts from 1, and for no block or more than kMaxBlocks.
std::string expand_blocks(std::string_view text, std::string_view letters);
// The other way: "HHHA" -> "H*3 A".
std::string compact_blocks(std::string_view blocks);

}  // namespace vigor
