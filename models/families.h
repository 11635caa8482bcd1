#pragma once
// The families of models, and how a preset's name or a config.json becomes a model. families.cpp holds the one list; it
// is a list and not self-registration, because linkers drop objects of static libraries that nobody names.
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/model.h"

namespace vigor {

struct ModelFamily {
  const char* model_type;                  // config.json's "model_type"
  std::vector<std::string> architectures;  // its "architectures", where a file has no model_type
  std::vector<std::string> presets;        // names for preset()
  const char* weight_prefix;               // published weights may all carry it: "i3."; "" if none
  std::unique_ptr<ModelConfig> (*preset)(std::string_view name);
  // `origin` begins error messages. Throws std::invalid_argument for anything that is wrong with the text.
  std::unique_ptr<ModelConfig> (*parse_config)(std::string_view json, const std::string& origin);
  std::unique_ptr<LanguageModel> (*make)(const ModelConfig& config);  // declared, not allocated
};

std::span<const ModelFamily> model_families();
const ModelFamily& family_of(const ModelConfig& config);

std::vector<std::string> preset_names();
bool is_preset(std::string_view name);
std::unique_ptr<ModelConfig> preset_config(std::string_view name);  // std::invalid_argument listing the presets
// The text of a config.json of any family.
std::unique_ptr<ModelConfig> parse_config(std::string_view json, const std::string& origin);
std::unique_ptr<ModelConfig> read_config(const std::filesystem::path& file);
std::unique_ptr<LanguageModel> make_model(const ModelConfig& config);  // declared, not allocated

}  // namespace vigor
