#include "models/hybrid/channel_widths.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "models/hybrid/hybrid_block.h"
#include "tensor/check.h"

namespace vigor {
namespace {

constexpr int64_t kFeedForwardStep = 4;  // channels: 16 bytes of floats, so that rows stay aligned
constexpr double kWidestBase = int64_t{1} << 16;

int64_t rounded(double channels, int64_t step) {
  if (channels <= 0) return 0;
  return std::max<int64_t>(1, std::llround(channels / static_cast<double>(step))) * step;
}

ChannelWidths widths_at(const HybridConfig& c, double base) {
  return {rounded(c.split.ssm * base, c.mamba_d_head * c.mamba_n_groups),
          rounded(c.split.attention * base, c.head_dim * c.queries_per_kv),
          rounded(c.split.feed_forward * base, kFeedForwardStep), base};
}

// The rest of the budget goes to the feed-forward, to the nearest step.
void spend_rest(const HybridConfig& config, ChannelWidths& widths) {
  if (widths.feed_forward == 0) return;
  ChannelWidths wider = widths;
  wider.feed_forward += kFeedForwardStep;
  const int64_t count = count_block_parameters(config, widths);
  const int64_t step = count_block_parameters(config, wider) - count;  // of parameters; they are linear in d_ff
  const double steps = static_cast<double>(config.block_parameters - count) / static_cast<double>(step);
  widths.feed_forward += std::llround(steps) * kFeedForwardStep;
}

}  // namespace

int64_t count_block_parameters(const HybridConfig& config, const ChannelWidths& widths) {
  std::map<char, int64_t> by_letter;
  int64_t total = 0;
  for (const char letter : config.blocks) {
    const auto [found, is_new] = by_letter.try_emplace(letter, 0);
    if (is_new) found->second = HybridBlock(config, widths, letter, 0).parameter_count();
    total += found->second;
  }
  return total;
}

ChannelWidths solve_channel_widths(const HybridConfig& config) {
  if (config.block_parameters == 0) {
    const ChannelWidths widths = widths_at(config, config.channel_base);
    count_block_parameters(config, widths);  // every block can be made
    return widths;
  }
  const int64_t budget = config.block_parameters;
  double low = 0, high = kWidestBase;
  const int64_t least = count_block_parameters(config, widths_at(config, 1e-9));
  check(least <= budget, "block_parameters is {}, but the blocks have {} with the narrowest channels", budget, least);
  const int64_t most = count_block_parameters(config, widths_at(config, high));
  check(most >= budget, "block_parameters is {}, but the blocks cannot have more than {}; channel_split is {}", budget,
        most, to_string(config.split));
  low = 1e-9;
  // Rounding makes the count a staircase: this ends at the edge of the step that is not above the budget.
  while (high - low > 1e-3) {
    const double middle = 0.5 * (low + high);
    (count_block_parameters(config, widths_at(config, middle)) <= budget ? low : high) = middle;
  }
  ChannelWidths widths = widths_at(config, low);
  spend_rest(config, widths);
  return widths;
}

}  // namespace vigor
