#pragma once
// The kinds of blocks that a hybrid model can be made of. A new kind is a module (nn/mixer.h, docs/add-a-block.md) and
// one line of the table in block_kinds.cpp.
//
//   letter                                           channels of the mixer        feed-forward of d_ff channels
//   H  i3 hybrid mixer                               d_model                      gated
//   A  attention with RoPE                           d_attention                  gated
//   M  Mamba-2                                       d_ssm                        gated
//   m  Mamba-1                                       d_ssm                        gated
//   W  RWKV-4 time mixing (WKV)                      d_ssm                        channel mixing
//   P  Mamba-2 and attention in parallel             d_ssm and d_attention        gated
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
  BlockParts (*make)(const HybridConfig& config, const ChannelWidths& widths, int64_t index);  // of the block
};
std::span<const BlockKind> block_kinds();
const BlockKind& block_kind_of(char letter);
std::string block_letters();  // "HAMmWP"

}  // namespace vigor
