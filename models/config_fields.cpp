#include "models/config_fields.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
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

template <class Fits>
bool is_list_of(const Json& value, const Fits& fits) {
  return value.is_array() && std::all_of(value.begin(), value.end(), fits);
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

std::vector<std::string> ConfigFields::keys() const {
  std::vector<std::string> keys;
  for (const auto& item : document_->json.items()) keys.push_back(item.key());
  return keys;
}

void ConfigFields::complain(std::string message) { complaints_.push_back(std::move(message)); }

void ConfigFields::finish() const {
  if (!complaints_.empty()) fail("{}: {}", origin_, fmt::join(complaints_, "; "));
}

// The value of `key`, if `fits` says that it has the right type, which messages call `type`.
template <class T, class Fits>
T ConfigFields::read(const char* key, std::optional<T> fallback, const char* type, const Fits& fits) {
  if (!has(key)) {
    if (!fallback) complain(fmt::format("{} is missing", key));
    return fallback.value_or(T());
  }
  const Json& value = document_->json[key];
  if (!fits(value)) {
    const bool other_list = value.is_array() && std::string_view(type).starts_with("a list");
    complain(fmt::format("{} must be {}; got {}", key, type, other_list ? "other values in it" : kind_of(value)));
    return T();
  }
  return value.get<T>();
}

int64_t ConfigFields::integer(const char* key, std::optional<int64_t> fallback) {
  return read<int64_t>(key, std::move(fallback), "an integer", [](const Json& value) {
    return value.is_number_integer() && (!value.is_number_unsigned() || value.get<uint64_t>() <= INT64_MAX);
  });
}

double ConfigFields::number(const char* key, std::optional<double> fallback) {
  return read<double>(key, std::move(fallback), "a number", [](const Json& value) { return value.is_number(); });
}

bool ConfigFields::boolean(const char* key, std::optional<bool> fallback) {
  return read<bool>(key, std::move(fallback), "true or false", [](const Json& value) { return value.is_boolean(); });
}

std::string ConfigFields::text(const char* key, std::optional<std::string> fallback) {
  return read<std::string>(key, std::move(fallback), "a string", [](const Json& value) { return value.is_string(); });
}

std::vector<double> ConfigFields::numbers(const char* key, std::optional<std::vector<double>> fallback) {
  return read<std::vector<double>>(key, std::move(fallback), "a list of numbers", [](const Json& value) {
    return is_list_of(value, [](const Json& element) { return element.is_number(); });
  });
}

std::vector<std::string> ConfigFields::texts(const char* key, std::optional<std::vector<std::string>> fallback) {
  return read<std::vector<std::string>>(key, std::move(fallback), "a list of strings", [](const Json& value) {
    return is_list_of(value, [](const Json& element) { return element.is_string(); });
  });
}

void ConfigFields::set(const char* key, int64_t value) { document_->json[key] = value; }
void ConfigFields::set(const char* key, double value) { document_->json[key] = value; }
void ConfigFields::set(const char* key, bool value) { document_->json[key] = value; }
void ConfigFields::set(const char* key, const char* value) { document_->json[key] = value; }
void ConfigFields::set(const char* key, const std::vector<double>& value) { document_->json[key] = value; }
void ConfigFields::set(const char* key, const std::string& value) { document_->json[key] = value; }
void ConfigFields::set(const char* key, const std::vector<std::string>& value) { document_->json[key] = value; }

std::string ConfigFields::to_json() const { return document_->json.dump(2) + "\n"; }

}  // namespace vigor
