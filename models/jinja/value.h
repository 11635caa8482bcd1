#pragma once
// Values of the template language: those of Python that chat templates use.
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace vigor::jinja {

class Value;
using List = std::vector<Value>;
using Map = std::vector<std::pair<std::string, Value>>;  // small, in order

struct Undefined {
  std::string name;  // what was asked for, to be named when it is used
};
struct None {};
struct Namespace {
  std::shared_ptr<Map> attributes;  // the one value that a template can change
};

class Value {
 public:
  Value() : data_(Undefined{}) {}
  Value(Undefined undefined) : data_(std::move(undefined)) {}  // NOLINT: values are written as
  Value(None) : data_(None{}) {}                               // NOLINT: they are meant
  Value(bool flag) : data_(flag) {}                            // NOLINT
  Value(int64_t number) : data_(number) {}                     // NOLINT
  Value(std::string text) : data_(std::make_shared<const std::string>(std::move(text))) {}  // NOLINT
  Value(const char* text) : Value(std::string(text)) {}                                     // NOLINT
  Value(List list) : data_(std::make_shared<const List>(std::move(list))) {}                // NOLINT
  Value(Map map) : data_(std::make_shared<const Map>(std::move(map))) {}                    // NOLINT
  Value(Namespace space) : data_(std::move(space)) {}                                       // NOLINT

  bool is_undefined() const { return std::holds_alternative<Undefined>(data_); }
  bool is_none() const { return std::holds_alternative<None>(data_); }
  bool is_boolean() const { return std::holds_alternative<bool>(data_); }
  bool is_integer() const { return std::holds_alternative<int64_t>(data_); }
  // nullptr for a value of another kind.
  const std::string* text() const { return pointee<std::string>(); }
  const List* list() const { return pointee<List>(); }
  const Map* map() const { return pointee<Map>(); }
  const Namespace* space() const { return std::get_if<Namespace>(&data_); }
  // A number, or a truth value as one, as in Python.
  bool is_number() const { return is_integer() || is_boolean(); }
  int64_t number() const { return is_boolean() ? std::get<bool>(data_) : std::get<int64_t>(data_); }
  const std::string& undefined_name() const { return std::get<Undefined>(data_).name; }

  bool truth() const;        // empty, zero, none and undefined are false
  const char* kind() const;  // "a string", for messages

 private:
  template <class T>
  const T* pointee() const {
    const auto* pointer = std::get_if<std::shared_ptr<const T>>(&data_);
    return pointer != nullptr ? pointer->get() : nullptr;
  }
  // Copying a value copies no text.
  std::variant<Undefined, None, bool, int64_t, std::shared_ptr<const std::string>, std::shared_ptr<const List>,
               std::shared_ptr<const Map>, Namespace>
      data_;
};

const Value* find(const Map& map, std::string_view key);  // nullptr when it is not there

}  // namespace vigor::jinja
