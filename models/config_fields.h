#pragma once
// Reading and rewriting the text of a config.json: typed access to its keys, with every complaint kept until finish(),
// so that one message names all that is wrong.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vigor {

class ConfigFields {
 public:
  // std::invalid_argument, beginning with `origin`, when the text is not a JSON object or nests deeper than
  // kMaxJsonDepth.
  ConfigFields(std::string_view json, std::string origin);
  ~ConfigFields();
  ConfigFields(const ConfigFields&) = delete;
  ConfigFields& operator=(const ConfigFields&) = delete;

  bool has(const char* key) const;  // present and not null
  std::vector<std::string> keys() const;
  // The value of `key`. When it is absent: the fallback, or a complaint if there is none. When it has another type: a
  // complaint and 0, false, "" or an empty list.
  int64_t integer(const char* key, std::optional<int64_t> fallback = std::nullopt);
  double number(const char* key, std::optional<double> fallback = std::nullopt);
  bool boolean(const char* key, std::optional<bool> fallback = std::nullopt);
  std::string text(const char* key, std::optional<std::string> fallback = std::nullopt);
  std::vector<double> numbers(const char* key, std::optional<std::vector<double>> fallback = std::nullopt);
  std::vector<std::string> texts(const char* key, std::optional<std::vector<std::string>> fallback = std::nullopt);

  void complain(std::string message);
  void finish() const;  // std::invalid_argument with all complaints, if there are any

  // Replaces values, or appends them; the other keys stay as they were, in their order.
  void set(const char* key, int64_t value);
  void set(const char* key, double value);
  void set(const char* key, bool value);
  void set(const char* key, const std::string& value);
  void set(const char* key, const char* value);
  void set(const char* key, const std::vector<double>& value);
  void set(const char* key, const std::vector<std::string>& value);
  std::string to_json() const;  // indented by two

 private:
  template <class T, class Fits>
  T read(const char* key, std::optional<T> fallback, const char* type, const Fits& fits);

  struct Document;
  std::unique_ptr<Document> document_;
  std::string origin_;
  std::vector<std::string> complaints_;
};

}  // namespace vigor
