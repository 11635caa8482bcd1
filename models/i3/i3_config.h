#pragma once
// The configuration of the i3 family: an RWKV-Mamba hybrid whose last layers are attention.
//
// Keys of config.json: architectures, model_type "i3", vocab_size, d_model, n_layers, n_heads, max_seq_len, d_state,
// conv_layers (the hybrid layers; 10 if absent), attn_layers (6 if absent), tokenizer_type "chunk" or "bpe". Of our
// own: ffn_rank (rank of both feed-forward matrices; absent: dense) and layer_types ("hybrid" or "attention" for each
// layer; absent: the hybrid layers, then the attention layers).
#include "models/config.h"

namespace vigor {

enum class I3LayerKind : uint8_t { hybrid, attention };
const char* name_of(I3LayerKind kind);

class I3Config : public ModelConfig {
 public:
  int64_t n_heads = 0;   // H, of attention layers
  int64_t d_state = 0;   // n, of hybrid layers
  int64_t ffn_rank = 0;  // 0: dense
  std::vector<I3LayerKind> layer_kinds;

  int64_t count(I3LayerKind kind) const;

  std::string model_type() const override { return "i3"; }
  int64_t layer_count() const override { return static_cast<int64_t>(layer_kinds.size()); }
  void set_layer_count(int64_t layers) override;
  // A published config.json states a d_state that its weights do not have: the weights win.
  std::vector<std::string> adopt_shapes(const WeightShapes& shapes) override;
  void check() const override;
  std::string to_json() const override;
  std::unique_ptr<ModelConfig> clone() const override { return std::make_unique<I3Config>(*this); }

  static std::unique_ptr<ModelConfig> parse(std::string_view json, const std::string& origin);
  static std::unique_ptr<ModelConfig> preset(std::string_view name);
  static std::vector<std::string> preset_names();

 private:
  std::string source_json_;  // the file it was read from; "" for a preset
};

}  // namespace vigor
