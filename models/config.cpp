#include "models/config.h"

namespace vigor {

void apply_overrides(ModelConfig& config, const ConfigOverrides& overrides) {
  if (overrides.vocab_size != 0) config.vocab_size = overrides.vocab_size;
  if (overrides.max_seq_len != 0) config.max_seq_len = overrides.max_seq_len;
  if (overrides.layers != 0) config.set_layer_count(overrides.layers);
  config.check();
}

}  // namespace vigor
