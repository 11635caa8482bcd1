#include "models/config_fields.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "tensor/check.h"
#include "tensor/file.h"

namespace vigor {
namespace {

using Json = nlohmann::ordered_json;

// Copying and writing a document recurse; no configuration nests nearly as deep.
constexpr int kMaxJsonDepth = 64;

std::string kind_of(const Json& value) {
  if (value.is_number_float()) return "a number with a fraction";
  if (value.is_number()) return "a number";
  if (value.is_string()) return "a string";
  if (value.is_array()) return "a list";
  if (value.is_object()) return "an object";
  return value.is_boolean() ? "true or false" : "null";
}

}  // namespace

struct ConfigFields::Document {
  Json json;
};

ConfigFields::ConfigFields(std::string_view json, std::string origin)
    : document_(std::make_unique<Document>()), origin_(std::move(origin)) {
  const auto limit_depth = [&](int depth, Json::parse_event_t, Json&) {
    if (depth > kMaxJsonDepth) fail("{}: nested deeper than {} levels", origin_, kMaxJsonDepth);
    return true;
  };
  try {
    document_->json = Json::parse(json, limit_depth);
  } catch (const Json::exception& error) {
    fail("{}: not valid JSON: {}", origin_, printable(error.what(), 160));
  }
  if (!document_->json.is_object()) fail("{}: must be a JSON object; got {}", origin_, kind_of(document_->json));
}

ConfigFields::~ConfigFields() = default;

bool ConfigFields::has(const char* key) const {
  const auto found = document_->json.find(key);
  return found != document_->json.end() && !found->is_null();
}

void ConfigFields::complain(std::string message) { complaints_.push_back(std::move(message)); }

void ConfigFields::finish() const {
  if (!complaints_.empty()) fail("{}: {}", origin_, fmt::join(complaints_, "; "));
}

int64_t ConfigFields::integer(const char* key, std::optional<int64_t> fallback) {
  if (!has(key)) {
    if (!fallback) complain(fmt::format("{} is missing", key));
    return fallback.value_or(0);
  }
  const Json& value = document_->json[key];
  const bool fits = value.is_number_integer() && (!value.is_number_unsigned() || value.get<uint64_t>() <= INT64_MAX);
  if (!fits) {
    complain(fmt::format("{} must be an integer; got {}", key, kind_of(value)));
    return 0;
  }
  return value.get<int64_t>();
}

std::string ConfigFields::text(const char* key, std::optional<std::string> fallback) {
  if (!has(key)) {
    if (!fallback) complain(fmt::format("{} is missing", key));
    return fallback.value_or("");
  }
  const Json& value = document_->json[key];
  if (!value.is_string()) {
    complain(fmt::format("{} must be a string; got {}", key, kind_of(value)));
    return "";
  }
  return value.get<std::string>();
}

std::vector<std::string> ConfigFields::texts(const char* key, std::optional<std::vector<std::string>> fallback) {
  if (!has(key)) {
    if (!fallback) complain(fmt::format("{} is missing", key));
    return fallback.value_or(std::vector<std::string>());
  }
  const Json& value = document_->json[key];
  bool fits = value.is_array();
  for (size_t i = 0; fits && i < value.size(); ++i) fits = value[i].is_string();
  if (!fits) {
    complain(fmt::format("{} must be a list of strings; got {}", key,
                         value.is_array() ? "other values in it" : kind_of(value)));
    return {};
  }
  return value.get<std::vector<std::string>>();
}

void ConfigFields::set(const char* key, int64_t value) { document_->json[key] = value; }
void ConfigFields::set(const char* key, const std::string& value) { document_->json[key] = value; }
void ConfigFields::set(const char* key, const std::vector<std::string>& value) { document_->json[key] = value; }

std::string ConfigFields::to_json() const { return document_->json.dump(2) + "\n"; }

}  // namespace vigor
