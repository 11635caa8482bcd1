#pragma once
// One language for hybrid models: which blocks follow each other, how their channels are split, and how they are
// arranged. All of config.json (keys without "default" must be there):
//
//   model_type "vigor_hybrid"; vocab_size, d_model, max_seq_len
//   blocks            "H*10 A*6", "MMA*3": letters of models/hybrid/block_kinds.h, with repeat counts
//   channel_split     "s:a:m", default "2:1:5": d_ssm : Hq*P : d_ff are s, a, m times a common base width; 0 leaves the
//                     part out (m: no feed-forward)
//   channel_base      that base width, or instead of it
//   block_parameters  the number of parameters that all blocks together should have, for which it is solved
//                     (models/hybrid/channel_widths.h); embedding, last norm and head are not in it
//   arrangement       "SA_M" (default): mixers in parallel, then the feed-forward; "S_A_M": one after the other;
//                     "SAM": all in parallel
//   head_dim 64 (P), queries_per_kv 1 (Hq / Hkv), rope_theta 10000                      A and P
//   mamba_d_head 64, mamba_d_state 64, mamba_n_groups 1, mamba_d_conv 4, mamba_rms_norm false        M and P
//   mamba1_d_state 16 (m; its conv is mamba_d_conv wide), hybrid_d_state 32 (H)
//   tie_word_embeddings false, initializer_range 0.02
//   mup_base_width    absent: no muP; else models/hybrid/mup.h with m = d_model / mup_base_width
#include "models/config.h"

namespace vigor {

// s : a : m.
struct ChannelSplit {
  double ssm = 2, attention = 1, feed_forward = 5;
};
ChannelSplit parse_channel_split(const std::string& text);  // std::invalid_argument beginning with "channel_split:"
std::string to_string(const ChannelSplit& split);           // "2:1:5"

enum class Arrangement : uint8_t { SA_M, S_A_M, SAM };
const char* name_of(Arrangement arrangement);

class HybridConfig : public ModelConfig {
 public:
  std::string blocks;  // one letter a block, counts expanded
  ChannelSplit split;
  double channel_base = 0;       // 0: solved from block_parameters
  int64_t block_parameters = 0;  // 0: channel_base is given
  Arrangement arrangement = Arrangement::SA_M;
  int64_t head_dim = 64, queries_per_kv = 1;
  double rope_theta = 10000;
  int64_t mamba_d_head = 64, mamba_d_state = 64, mamba_n_groups = 1, mamba_d_conv = 4;
  bool mamba_rms_norm = false;
  int64_t mamba1_d_state = 16;
  int64_t hybrid_d_state = 32;
  bool tie_word_embeddings = false;
  double initializer_range = 0.02;
  int64_t mup_base_width = 0;  // 0: no muP

  // m of muP; 1 without it.
  double width_multiplier() const;

  std::string model_type() const override { return "vigor_hybrid"; }
  int64_t layer_count() const override { return static_cast<int64_t>(blocks.size()); }
  void set_layer_count(int64_t layers) override;
  std::vector<std::string> adopt_shapes(const WeightShapes&) override { return {}; }
  void check() const override;
  std::string to_json() const override;
  std::unique_ptr<ModelConfig> clone() const override { return std::make_unique<HybridConfig>(*this); }
  std::vector<std::string> notes() const override;  // the widths that were solved

  static std::unique_ptr<ModelConfig> parse(std::string_view json, const std::string& origin);
  static std::unique_ptr<ModelConfig> preset(std::string_view name);
  static std::vector<std::string> preset_names();

 private:
  std::string source_json_;  // the file it was read from; "" for a preset
};

}  // namespace vigor
