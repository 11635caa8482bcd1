#include "models/chat_template.h"

#include <array>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "models/jinja/interpreter.h"
#include "models/tokenizer/unicode.h"
#include "tensor/check.h"
#include "tensor/file.h"

namespace vigor {
namespace {

using Json = nlohmann::json;

constexpr const char* kConfigFile = "tokenizer_config.json";
constexpr const char* kTemplateFile = "chat_template.jinja";
constexpr size_t kMaxConfigBytes = size_t{16} << 20;  // lists every added token
constexpr std::array kTokenNames = {"bos_token", "eos_token", "unk_token", "pad_token"};

// Runs f and puts the origin before what it complains about.
template <class F>
auto with_origin(std::string_view origin, F&& f) {
  try {
    return f();
  } catch (const std::invalid_argument& error) {
    fail("{}: {}", origin, error.what());
  }
}

// The object's few keys that matter here, and nothing of what lies deep in it, however large that is.
Json read_object(std::string_view text, std::string_view origin) {
  const auto wanted = [](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > 3) return false;
    if (depth != 1 || event != Json::parse_event_t::key) return true;
    const auto& key = parsed.get_ref<const std::string&>();
    return key == "chat_template" || std::find(kTokenNames.begin(), kTokenNames.end(), key) != kTokenNames.end();
  };
  try {
    Json object = Json::parse(text, wanted);
    check(object.is_object(), "{}: must be a JSON object", origin);
    return object;
  } catch (const Json::exception& error) {
    fail("{}: not valid JSON: {}", origin, printable(error.what(), 200));
  }
}

// A token is its text, or an object with its text as "content".
std::optional<std::string> token_text(const Json& token) {
  if (token.is_string()) return token.get<std::string>();
  if (token.is_object() && token.contains("content") && token["content"].is_string())
    return token["content"].get<std::string>();
  return std::nullopt;
}

std::string template_of(const Json& value, std::string_view origin) {
  if (value.is_string()) return value.get<std::string>();
  check(value.is_array(), "{}: chat_template must be a string or a list of named templates", origin);
  for (const Json& entry : value) {
    check(entry.is_object() && entry.contains("name") && entry["name"].is_string() && entry.contains("template") &&
              entry["template"].is_string(),
          "{}: every entry of chat_template must have a name and a template", origin);
    if (entry["name"] == "default" || value.size() == 1) return entry["template"].get<std::string>();
  }
  fail("{}: chat_template lists no template called default", origin);
}

}  // namespace

ChatTemplate::ChatTemplate(std::string_view source, SpecialTokens tokens, std::string origin)
    : tokens_(std::move(tokens)), origin_(std::move(origin)) {
  check(source.size() <= kMaxBytes, "{}: a template has at most {} bytes; got {}", origin_, kMaxBytes, source.size());
  body_ = with_origin(origin_, [&] { return std::make_shared<const jinja::Body>(jinja::parse(valid_utf8(source))); });
}

ChatTemplate::SpecialTokens ChatTemplate::parse_config(std::string_view json, std::string_view origin,
                                                       std::optional<std::string>& source) {
  const Json object = read_object(json, origin);
  SpecialTokens tokens;
  for (const char* name : kTokenNames) {
    if (!object.contains(name) || object[name].is_null()) continue;
    const std::optional<std::string> text = token_text(object[name]);
    check(text.has_value(), "{}: {} must be a string or an object with content", origin, name);
    tokens.emplace_back(name, *text);
  }
  if (object.contains("chat_template") && !object["chat_template"].is_null())
    source = template_of(object["chat_template"], origin);
  return tokens;
}

std::optional<ChatTemplate> ChatTemplate::load(const std::filesystem::path& folder) {
  std::optional<std::string> source;
  SpecialTokens tokens;
  std::filesystem::path origin = folder / kConfigFile;
  if (std::filesystem::exists(origin))
    tokens = parse_config(read_text(origin, kMaxConfigBytes), origin.string(), source);
  if (const std::filesystem::path file = folder / kTemplateFile; std::filesystem::exists(file)) {
    source = read_text(file, kMaxBytes);
    origin = file;
  }
  if (!source) return std::nullopt;
  return ChatTemplate(*source, std::move(tokens), origin.string());
}

std::string ChatTemplate::render(std::span<const ChatMessage> messages, bool add_generation_prompt) const {
  jinja::List list;
  for (const ChatMessage& message : messages)
    list.push_back(jinja::Map{{"role", message.role}, {"content", message.content}});
  jinja::Map variables = {{"messages", std::move(list)},
                          {"add_generation_prompt", add_generation_prompt},
                          {"tools", jinja::None{}},
                          {"documents", jinja::None{}}};
  for (const auto& [name, text] : tokens_) variables.emplace_back(name, text);
  return with_origin(origin_, [&] { return jinja::render(*body_, variables); });
}

}  // namespace vigor
