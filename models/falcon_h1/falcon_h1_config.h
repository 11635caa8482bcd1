#pragma once
// The configuration of the Falcon-H1 family: attention and Mamba-2 side by side in every layer.
//
// Keys of config.json, as transformers' FalconH1Config has them; an absent key takes the default that it has there:
// architectures ["FalconH1ForCausalLM"], model_type "falcon_h1", vocab_size, hidden_size, intermediate_size,
// num_hidden_layers, num_attention_heads, num_key_value_heads, head_dim (absent: hidden_size / num_attention_heads),
// max_position_embeddings, hidden_act "silu", rms_norm_eps, rope_theta and rope_scaling, or rope_parameters, all of
// type "default"; mamba_d_ssm (null: mamba_expand * hidden_size), mamba_n_heads, mamba_d_head (an integer or "auto"),
// mamba_n_groups, mamba_d_state, mamba_d_conv, mamba_chunk_size, mamba_rms_norm, mamba_norm_before_gate,
// time_step_limit; the flags attention_bias, mlp_bias, projectors_bias, mamba_proj_bias, mamba_conv_bias; the
// multipliers embedding, lm_head, key, attention_in, attention_out, ssm_in and ssm_out_multiplier, mlp_multipliers [2]
// and ssm_multipliers [5]; tie_word_embeddings, initializer_range, time_step_min, time_step_max (where dt_bias starts),
// and bos, eos and pad_token_id. All other keys are kept as they are.
//
// One key is ours: rope_float32_angles (absent: false) repeats the float32 angles of transformers.
#include <array>
#include <limits>
#include <optional>

#include "models/config.h"

namespace vigor {

struct FalconH1Multipliers {
  double embedding = 1, lm_head = 1, key = 1;
  double attention_in = 1, attention_out = 1, ssm_in = 1, ssm_out = 1;
  std::array<double, 2> mlp = {1, 1};           // gate, down
  std::array<double, 5> ssm = {1, 1, 1, 1, 1};  // z, x, B, C, dt
};

class FalconH1Config : public ModelConfig {
 public:
  int64_t layers = 0;
  int64_t heads = 0, kv_heads = 0, head_width = 0;                        // of attention
  int64_t mamba_heads = 0, mamba_head_width = 0, states = 0, groups = 1;  // of the scan
  int64_t conv_width = 4;
  int64_t chunk_size = 256;  // kept for others: our scan chooses its own
  int64_t hidden = 0;        // channels of the feed-forward
  bool tied = false;         // lm_head.weight is embed_tokens.weight
  bool attention_bias = false, mlp_bias = false, out_bias = false, in_bias = false, conv_bias = true;
  bool norm = false, norm_before_gate = true;
  double norm_eps = 1e-5;
  double rope_theta = 10000;
  bool rope_float32_angles = false;
  double dt_min = 0, dt_max = std::numeric_limits<double>::infinity();
  double dt_init_min = 0.001, dt_init_max = 0.1;
  double initializer_range = 0.02;
  FalconH1Multipliers multipliers;
  std::optional<int64_t> bos, pad;
  std::vector<int64_t> eos;  // ids that end a text

  std::string model_type() const override { return "falcon_h1"; }
  int64_t layer_count() const override { return layers; }
  void set_layer_count(int64_t count) override;
  std::vector<std::string> adopt_shapes(const WeightShapes&) override { return {}; }  // config.json wins
  bool may_have_spare_ids() const override { return true; }
  bool use_float32_rope_angles() override { return rope_float32_angles = true; }
  void check() const override;
  std::string to_json() const override;
  std::unique_ptr<ModelConfig> clone() const override { return std::make_unique<FalconH1Config>(*this); }

  static std::unique_ptr<ModelConfig> parse(std::string_view json, const std::string& origin);
  static std::unique_ptr<ModelConfig> preset(std::string_view name);
  static std::vector<std::string> preset_names();

 private:
  std::string source_json_;  // the file it was read from; "" for a preset
};

}  // namespace vigor
