#include "models/families.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <stdexcept>

#include "models/config_fields.h"
#include "models/falcon_h1/falcon_h1_family.h"
#include "models/hybrid/hybrid_family.h"
#include "models/i3/i3_family.h"
#include "tensor/check.h"
#include "tensor/file.h"

namespace vigor {
namespace {

constexpr size_t kMaxConfigBytes = size_t{1} << 20;

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

std::span<const ModelFamily> model_families() {
  static const ModelFamily families[] = {i3_family(), falcon_h1_family(), hybrid_family()};  // one entry a family
  return families;
}

const ModelFamily& family_of(const ModelConfig& config) {
  for (const ModelFamily& family : model_families())
    if (config.model_type() == family.model_type) return family;
  throw std::logic_error(fmt::format("model_type \"{}\" is not in models/families.cpp", config.model_type()));
}

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const ModelFamily& family : model_families())
    names.insert(names.end(), family.presets.begin(), family.presets.end());
  return names;
}

bool is_preset(std::string_view name) { return contains(preset_names(), name); }

std::unique_ptr<ModelConfig> preset_config(std::string_view name) {
  for (const ModelFamily& family : model_families())
    if (contains(family.presets, name)) return family.preset(name);
  fail("model: there is no preset \"{}\"; there are {}", printable(name), fmt::join(preset_names(), ", "));
}

std::unique_ptr<ModelConfig> parse_config(std::string_view json, const std::string& origin) {
  ConfigFields fields(json, origin);
  const std::string type = fields.text("model_type", "");
  const std::vector<std::string> architectures = fields.texts("architectures", std::vector<std::string>());
  fields.finish();
  std::vector<std::string> known;
  for (const ModelFamily& family : model_families()) {
    known.push_back(family.model_type);
    if (type == family.model_type) return family.parse_config(json, origin);
    if (!type.empty()) continue;
    for (const std::string& architecture : architectures)
      if (contains(family.architectures, architecture)) return family.parse_config(json, origin);
  }
  if (type.empty() && architectures.empty()) fail("{}: model_type is missing", origin);
  fail("{}: no model of this kind is known: model_type \"{}\", architectures [{}]; known: {}", origin, printable(type),
       printable(fmt::format("{}", fmt::join(architectures, ", "))), fmt::join(known, ", "));
}

std::unique_ptr<ModelConfig> read_config(const std::filesystem::path& file) {
  return parse_config(read_text(file, kMaxConfigBytes), file.string());
}

std::unique_ptr<LanguageModel> make_model(const ModelConfig& config) { return family_of(config).make(config); }

}  // namespace vigor
