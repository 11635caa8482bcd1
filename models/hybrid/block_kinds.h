#pragma once
// The kinds of blocks that a hybrid model can be made of. A new kind is a module (nn/mixer.h, docs/add-a-block.md) and
// one line of the table in block_kinds.cpp.
//
//   H  i3 hybrid mixer      A  attention with RoPE     M  Mamba-2              m  Mamba-1
//   W  RWKV-4: WKV, with channel mixing as feed-forward     P  Mamba-2 and attention in parallel
//
// A block without feed-forward of its own gets a gated one of d_ff channels.
#include <memory>
#include <span>

#include "models/hybrid/channel_widths.h"
#include "nn/mixer.h"

namespace vigor {

// A part of a block that adds to the residual stream: [B,T,d] -> [B,T,d].
struct BlockPart {
  std::string name;  // of its parameters: "attn"
  std::unique_ptr<Mixer> module;
};

struct BlockParts {
  std::vector<BlockPart> mixers;  // first the state-space part, then attention
  BlockPart feed_forward;         // no module: none
};

struct BlockKind {
  char letter;
  const char* name;
  BlockParts (*make)(const HybridConfig& config, const ChannelWidths& widths);
};
std::span<const BlockKind> block_kinds();
const BlockKind& block_kind_of(char letter);
std::string block_letters();  // "HAMmWP"

}  // namespace vigor
