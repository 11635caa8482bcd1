#include "models/jinja/value.h"

namespace vigor::jinja {

bool Value::truth() const {
  if (is_number()) return number() != 0;
  if (text() != nullptr) return !text()->empty();
  if (list() != nullptr) return !list()->empty();
  if (map() != nullptr) return !map()->empty();
  return space() != nullptr;
}

const char* Value::kind() const {
  if (is_undefined()) return "nothing";
  if (is_none()) return "none";
  if (is_boolean()) return "a truth value";
  if (is_integer()) return "a number";
  if (text() != nullptr) return "a string";
  if (list() != nullptr) return "a list";
  return map() != nullptr ? "a dictionary" : "a namespace";
}

const Value* find(const Map& map, std::string_view key) {
  for (const auto& [name, value] : map)
    if (name == key) return &value;
  return nullptr;
}

}  // namespace vigor::jinja
