#pragma once
// A model's configuration: what config.json says, checked. Each family derives its own; what the trainer, the commands
// and generation need to know of any family is here.
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/shape.h"

namespace vigor {

// The shape of a stored weight by its name, nullptr when the file has none of that name.
using WeightShapes = std::function<const Shape*(const std::string& name)>;

class ModelConfig {
 public:
  virtual ~ModelConfig() = default;

  int64_t vocab_size = 0;   // V
  int64_t d_model = 0;      // channels
  int64_t max_seq_len = 0;  // the most tokens of one sequence

  virtual std::string model_type() const = 0;  // config.json's: "i3"
  virtual int64_t layer_count() const = 0;
  // Another depth for training from scratch; kinds of layers keep their order and, as far as that goes, proportion.
  virtual void set_layer_count(int64_t layers) = 0;
  // Corrects the values for which stored weights win over the file, one warning each. All others must fit.
  virtual std::vector<std::string> adopt_shapes(const WeightShapes& shapes) = 0;
  // Throws std::invalid_argument naming the keys that contradict each other or are out of range.
  virtual void check() const = 0;
  // The text of config.json. Keys of the file it was read from that the model does not know are kept as they were.
  virtual std::string to_json() const = 0;
  virtual std::unique_ptr<ModelConfig> clone() const = 0;

  // Whether the vocabulary may have ids that the tokenizer does not: published ones are often rounded up.
  virtual bool may_have_spare_ids() const { return false; }
  // For models with rotary positions: their angles as transformers computes them, in float32. False: it has none.
  virtual bool use_float32_rope_angles() { return false; }
  // Lines for reports: what was derived from the file, beyond what it says itself.
  virtual std::vector<std::string> notes() const { return {}; }

 protected:
  ModelConfig() = default;
  ModelConfig(const ModelConfig&) = default;
  ModelConfig& operator=(const ModelConfig&) = default;
};

// `config`, after its check(): for initialiser lists.
template <class Config>
const Config& checked(const Config& config) {
  config.check();
  return config;
}

// For training from scratch; 0 leaves a value as it is.
struct ConfigOverrides {
  int64_t vocab_size = 0;
  int64_t max_seq_len = 0;
  int64_t layers = 0;
};
void apply_overrides(ModelConfig& config, const ConfigOverrides& overrides);  // and check()

}  // namespace vigor
