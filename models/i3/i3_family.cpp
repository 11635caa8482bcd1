#include "models/i3/i3_family.h"

#include "models/i3/i3_config.h"
#include "models/i3/i3_model.h"

namespace vigor {
namespace {

std::unique_ptr<LanguageModel> make_i3(const ModelConfig& config) {
  return std::make_unique<I3Model>(dynamic_cast<const I3Config&>(config));
}

}  // namespace

ModelFamily i3_family() {
  return {"i3",   {"i3Model", "I3ForCausalLM"}, I3Config::preset_names(), "i3.", I3Config::preset, I3Config::parse,
          make_i3};
}

}  // namespace vigor
