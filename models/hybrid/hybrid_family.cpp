#include "models/hybrid/hybrid_family.h"

#include "models/hybrid/hybrid_config.h"
#include "models/hybrid/hybrid_model.h"

namespace vigor {
namespace {

std::unique_ptr<LanguageModel> make_hybrid(const ModelConfig& config) {
  return std::make_unique<HybridModel>(dynamic_cast<const HybridConfig&>(config));
}

}  // namespace

ModelFamily hybrid_family() {
  return {"vigor_hybrid",
          {"VigorHybridForCausalLM"},
          HybridConfig::preset_names(),
          "",
          HybridConfig::preset,
          HybridConfig::parse,
          make_hybrid};
}

}  // namespace vigor
