#include "models/falcon_h1/falcon_h1_family.h"

#include "models/falcon_h1/falcon_h1_config.h"
#include "models/falcon_h1/falcon_h1_model.h"

namespace vigor {
namespace {

std::unique_ptr<LanguageModel> make_falcon_h1(const ModelConfig& config) {
  return std::make_unique<FalconH1Model>(dynamic_cast<const FalconH1Config&>(config));
}

}  // namespace

ModelFamily falcon_h1_family() {
  return {"falcon_h1",           {"FalconH1ForCausalLM"}, FalconH1Config::preset_names(), "", FalconH1Config::preset,
          FalconH1Config::parse, make_falcon_h1};
}

}  // namespace vigor
