#pragma once
// From the channel split s : a : m to whole numbers of channels.
//
//   d_ssm       = s * base, rounded to the nearest multiple of mamba_d_head * mamba_n_groups, at least one
//   d_attention = a * base, rounded to the nearest multiple of head_dim * queries_per_kv, at least one    (Hq*P)
//   d_ff        = m * base, rounded to the nearest multiple of 4, at least 4
//
// A share of 0 gives 0 channels. With block_parameters, base is the greatest number for which the blocks have no more
// parameters than that; then d_ff alone, in steps of 4, takes up what rounding to whole heads left over, so that models
// of one budget differ by little more than half a step. The parameters are counted on the blocks themselves.
#include "models/hybrid/hybrid_config.h"

namespace vigor {

struct ChannelWidths {
  int64_t ssm = 0, attention = 0, feed_forward = 0;
  double base = 0;  // that they were rounded from
};

// Throws std::invalid_argument naming the keys when a block is left without channels, or no width meets the budget.
ChannelWidths solve_channel_widths(const HybridConfig& config);
// Parameters of all blocks with these widths.
int64_t count_block_parameters(const HybridConfig& config, const ChannelWidths& widths);

}  // namespace vigor
