#pragma once
#include <span>

#include "models/hybrid/channel_widths.h"
#include "nn/forward_context.h"
#include "nn/mixer.h"
#include "nn/norm.h"

namespace vigor {

struct BlockPart;

// One block of a hybrid model, x [B,T,d] -> [B,T,d]: parts that each add to the residual stream what they make of a
// normalised input. With S and A the mixers and M the feed-forward (a block may lack any of them), every norm an
// RMSNorm of its own:
//
//   SA_M    u = norm(x),  x = x + S(u) + A(u);  x = x + M(norm(x))
//   S_A_M   x = x + S(norm(x));  x = x + A(norm(x));  x = x + M(norm(x))
//   SAM     u = norm(x),  x = x + S(u) + A(u) + M(u)
//
// Parameters: of each part under its name ("attn.q_proj.weight"), and a norm before it ("attn_norm.weight") unless it
// reads the same input as the part before. Hidden matrices start as muP and initializer_range say (mup.h).
class HybridBlock : public Module {
 public:
  // Block number `index` of the model, of the kind `letter`.
  HybridBlock(const HybridConfig& config, const ChannelWidths& widths, char letter, int64_t index);

  Tensor forward(const Tensor& x, const ForwardContext& context) const;
  // One cache for each part, in order.
  Tensor forward(const Tensor& x, std::span<LayerCache> caches, const TokenPositions& positions) const;
  std::vector<LayerCache> make_caches(int64_t batch, int64_t capacity) const;
  size_t part_count() const { return parts_.size(); }

  double flops_per_token(int64_t T) const;
  double saved_per_token() const;

 private:
  struct Part {
    std::unique_ptr<RMSNorm> norm;  // null: reads what the part before it reads
    std::unique_ptr<Mixer> module;
    std::string dropout;  // name of the place, for its mask
  };
  void add_part(const HybridConfig& config, BlockPart part, bool with_norm, int64_t index);

  int64_t channels_;
  std::vector<Part> parts_;
};

}  // namespace vigor
