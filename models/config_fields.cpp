#include "models/config_fields.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "models/config.h"
#include "tensor/check.h"
#include "tensor/file.h"

namespace vigor {
namespace {

using Json = nlohmann::ordered_json;

// Copying and writing a document recurse; no configuration nests nearly as deep.
constexpr int kMaxJsonDepth = 64;
// An ordered object is searched for every key that it gets; no configuration has nearly as many.
constexpr int kMaxJsonKeys = 10'000;

std::string kind_of(const Json& value) {
  if (value.is_number_float()) return "a number with a fraction";
  if (value.is_number()) return "a number";
  if (value.is_string()) return "a string";
  if (value.is_array()) return "a list";
  if (value.is_object()) return "an object";
  return value.is_boolean() ? "true or false" : "null";
}

constexpr const char* kFloatTag = "__float__";

struct Literal {
  std::string_view text;
  double value;
};
constexpr Literal kLiterals[] = {{"Infinity", HUGE_VAL}, {"-Infinity", -HUGE_VAL}, {"NaN", NAN}};

bool is_literal(const Json& value) {
  if (!value.is_object() || value.size() != 1 || !value.contains(kFloatTag) || !value[kFloatTag].is_string())
    return false;
  return std::any_of(std::begin(kLiterals), std::end(kLiterals),
                     [&](const Literal& literal) { return value[kFloatTag].get<std::string>() == literal.text; });
}

bool is_number(const Json& value) { return value.is_number() || is_literal(value); }

double to_number(const Json& value) {
  if (value.is_number()) return value.get<double>();
  for (const Literal& literal : kLiterals)
    if (value[kFloatTag].get<std::string>() == literal.text) return literal.value;
  return 0;
}

Json from_number(double value) {
  for (const Literal& literal : kLiterals)
    if (value == literal.value || (std::isnan(value) && std::isnan(literal.value)))
      return Json{{kFloatTag, std::string(literal.text)}};
  return value;
}

// Bare Infinity, -Infinity and NaN outside of strings become tagged objects, which JSON can hold.
std::string with_tagged_literals(std::string_view json) {
  std::string result;
  result.reserve(json.size());
  bool in_string = false;
  for (size_t i = 0; i < json.size();) {
    const auto at = [&](const Literal& literal) { return json.substr(i, literal.text.size()) == literal.text; };
    const auto found = std::find_if(std::begin(kLiterals), std::end(kLiterals), at);
    if (!in_string && found != std::end(kLiterals)) {
      result += fmt::format("{{\"{}\":\"{}\"}}", kFloatTag, found->text);
      i += found->text.size();
      continue;
    }
    if (in_string && json[i] == '\\' && i + 1 < json.size()) result += json[i++];  // an escaped quote ends no string
    else if (json[i] == '"') in_string = !in_string;
    result += json[i++];
  }
  return result;
}

bool is_integer(const Json& value) {
  return value.is_number_integer() && (!value.is_number_unsigned() || value.get<uint64_t>() <= INT64_MAX);
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
  std::array<int, kMaxJsonDepth + 2> keys{};  // by depth, of the object that is open there
  const auto limit_size = [&](int depth, Json::parse_event_t event, Json&) {
    if (depth > kMaxJsonDepth) fail("{}: nested deeper than {} levels", origin_, kMaxJsonDepth);
    if (event == Json::parse_event_t::object_start) keys[static_cast<size_t>(depth) + 1] = 0;
    if (event == Json::parse_event_t::key && ++keys[static_cast<size_t>(depth)] > kMaxJsonKeys)
      fail("{}: more than {} keys in one object", origin_, kMaxJsonKeys);
    return true;
  };
  try {
    document_->json = Json::parse(with_tagged_literals(json), limit_size);
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

bool ConfigFields::is_null(const char* key) const {
  const auto found = document_->json.find(key);
  return found != document_->json.end() && found->is_null();
}

bool ConfigFields::is_text(const char* key, std::string_view value) const {
  const auto found = document_->json.find(key);
  return found != document_->json.end() && found->is_string() && found->get<std::string>() == value;
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

void ConfigFields::finish(const ModelConfig& config) const {
  finish();
  try {
    config.check();
  } catch (const std::invalid_argument& error) {
    fail("{}: {}", origin_, error.what());
  }
}

// The value of `key`, if `fits` says that it has the right type, which messages call `type`.
template <class T, class Fits, class Convert>
T ConfigFields::read(const char* key, std::optional<T> fallback, const char* type, const Fits& fits,
                     const Convert& convert) {
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
  if constexpr (std::is_null_pointer_v<Convert>) return value.get<T>();
  else return convert(value);
}

int64_t ConfigFields::integer(const char* key, std::optional<int64_t> fallback) {
  return read<int64_t>(key, std::move(fallback), "an integer", is_integer);
}

double ConfigFields::number(const char* key, std::optional<double> fallback) {
  return read<double>(key, std::move(fallback), "a number", is_number, to_number);
}

bool ConfigFields::boolean(const char* key, std::optional<bool> fallback) {
  return read<bool>(key, std::move(fallback), "true or false", [](const Json& value) { return value.is_boolean(); });
}

std::string ConfigFields::text(const char* key, std::optional<std::string> fallback) {
  return read<std::string>(key, std::move(fallback), "a string", [](const Json& value) { return value.is_string(); });
}

std::vector<double> ConfigFields::numbers(const char* key, std::optional<std::vector<double>> fallback) {
  return read<std::vector<double>>(
      key, std::move(fallback), "a list of numbers", [](const Json& value) { return is_list_of(value, is_number); },
      [](const Json& value) {
        std::vector<double> numbers;
        for (const Json& element : value) numbers.push_back(to_number(element));
        return numbers;
      });
}

std::vector<int64_t> ConfigFields::integers(const char* key) {
  if (has(key) && is_integer(document_->json[key])) return {integer(key)};
  return read<std::vector<int64_t>>(key, std::vector<int64_t>(), "a list of integers",
                                    [](const Json& value) { return is_list_of(value, is_integer); });
}

std::vector<std::string> ConfigFields::texts(const char* key, std::optional<std::vector<std::string>> fallback) {
  return read<std::vector<std::string>>(key, std::move(fallback), "a list of strings", [](const Json& value) {
    return is_list_of(value, [](const Json& element) { return element.is_string(); });
  });
}

void ConfigFields::set(const char* key, int64_t value) { document_->json[key] = value; }
void ConfigFields::set(const char* key, double value) { document_->json[key] = from_number(value); }
void ConfigFields::set(const char* key, bool value) { document_->json[key] = value; }
void ConfigFields::set(const char* key, const char* value) { document_->json[key] = value; }
void ConfigFields::set(const char* key, const std::vector<int64_t>& value) { document_->json[key] = value; }
void ConfigFields::set(const char* key, const std::string& value) { document_->json[key] = value; }
void ConfigFields::set(const char* key, const std::vector<std::string>& value) { document_->json[key] = value; }
void ConfigFields::set(const char* key, const std::vector<double>& value) {
  Json list = Json::array();
  for (const double number : value) list.push_back(from_number(number));
  document_->json[key] = std::move(list);
}
void ConfigFields::set_null(const char* key) { document_->json[key] = nullptr; }
void ConfigFields::set_object(const char* key, const std::string& json) { document_->json[key] = Json::parse(json); }

std::string ConfigFields::object(const char* key) {
  if (!has(key)) return "{}";
  const Json& value = document_->json[key];
  if (value.is_object()) return value.dump();
  complain(fmt::format("{} must be an object; got {}", key, kind_of(value)));
  return "{}";
}

std::string ConfigFields::to_json() const { return document_->json.dump(2) + "\n"; }

}  // namespace vigor
