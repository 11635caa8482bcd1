#pragma once
// Reading and rewriting the text of a config.json: typed access to its keys, with every complaint kept until finish(),
// so that one message names all that is wrong.
//
// JSON has no infinity. Python's writer puts a bare Infinity, -Infinity or NaN into a file all the same, and
// transformers of today writes {"__float__": "Infinity"}; both are read as numbers, and the second form is written.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace vigor {

class ModelConfig;

class ConfigFields {
 public:
  // std::invalid_argument, beginning with `origin`, when the text is not a JSON object, nests deeper than 64 levels or
  // has more than 10,000 keys in one object.
  ConfigFields(std::string_view json, std::string origin);
  ~ConfigFields();
  ConfigFields(const ConfigFields&) = delete;
  ConfigFields& operator=(const ConfigFields&) = delete;

  bool has(const char* key) const;                              // present and not null
  bool is_null(const char* key) const;                          // present and null
  bool is_text(const char* key, std::string_view value) const;  // this string
  std::vector<std::string> keys() const;
  // The value of `key`. When it is absent: the fallback, or a complaint if there is none. When it has another type: a
  // complaint and 0, false, "" or an empty list.
  int64_t integer(const char* key, std::optional<int64_t> fallback = std::nullopt);
  double number(const char* key, std::optional<double> fallback = std::nullopt);
  bool boolean(const char* key, std::optional<bool> fallback = std::nullopt);
  std::string text(const char* key, std::optional<std::string> fallback = std::nullopt);
  std::vector<double> numbers(const char* key, std::optional<std::vector<double>> fallback = std::nullopt);
  std::vector<int64_t> integers(const char* key);  // also of a single integer; empty when absent
  std::vector<std::string> texts(const char* key, std::optional<std::vector<std::string>> fallback = std::nullopt);

  // The text of the object at `key`, for ConfigFields of its own; "{}" when absent or no object, which is a complaint.
  std::string object(const char* key);

  void complain(std::string message);
  // Turns a std::invalid_argument of `read` into a complaint.
  template <class F>
  void complain_of(const F& read) {
    try {
      read();
    } catch (const std::invalid_argument& error) {
      complain(error.what());
    }
  }
  void finish() const;  // std::invalid_argument with all complaints, if there are any
  // The same, then what config.check() says of the values read, with the origin put before it.
  void finish(const ModelConfig& config) const;

  // Replaces values, or appends them; the other keys stay as they were, in their order.
  void set(const char* key, int64_t value);
  void set(const char* key, double value);
  void set(const char* key, bool value);
  void set(const char* key, const std::string& value);
  void set(const char* key, const char* value);
  void set(const char* key, const std::vector<double>& value);
  void set(const char* key, const std::vector<int64_t>& value);
  void set(const char* key, const std::vector<std::string>& value);
  void set_null(const char* key);
  void set_object(const char* key, const std::string& json);
  std::string to_json() const;  // indented by two

 private:
  template <class T, class Fits, class Convert = std::nullptr_t>
  T read(const char* key, std::optional<T> fallback, const char* type, const Fits& fits, const Convert& convert = {});

  struct Document;
  std::unique_ptr<Document> document_;
  std::string origin_;
  std::vector<std::string> complaints_;
};

}  // namespace vigor
