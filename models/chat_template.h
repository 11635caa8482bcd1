#pragma once
// How a model wants a conversation written: its folder's chat template, in the part of Jinja that such templates use.
//
// Statements   for (with loop.index, index0, revindex, first, last, length, previtem, nextitem, and else), if, elif,
//              else, set (also of a namespace's attribute), generation; comments; white space control {%- -%} {{- -}}
// Expressions  strings, whole numbers, lists, dictionaries; + - * // % ~ == != < > <= >= in, and or not, a if b else c;
//              message['role'], message.role, messages[0], messages[1:], messages[::-1]
// Filters      trim length count string default first last join
// Tests        is defined, undefined, none, string, number, integer, boolean, true, false, mapping, sequence, iterable
// Methods      strip lstrip rstrip startswith endswith split replace get
// Functions    namespace, raise_exception
// Variables    messages, add_generation_prompt, bos_token, eos_token, unk_token, pad_token; and tools and documents,
//              which are none
//
// Anything else is refused where it is reached, by its name; statements of other names already when they are read.
// White space comes out as with transformers' apply_chat_template (trim_blocks, lstrip_blocks).
//
// Templates come with weights that anybody may have published: what a template may nest, spend and write is bounded
// (models/jinja).
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "models/jinja/syntax.h"

namespace vigor {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

class ChatTemplate {
 public:
  static constexpr size_t kMaxBytes = size_t{1} << 20;
  using SpecialTokens = std::vector<std::pair<std::string, std::string>>;  // "bos_token": "<s>"

  // `origin` begins error messages. std::invalid_argument, one line with the template's line, for what is no template.
  explicit ChatTemplate(std::string_view source, SpecialTokens tokens = {}, std::string origin = "chat template");

  // Of a model folder: chat_template.jinja, or chat_template in tokenizer_config.json (of a list of named ones the one
  // called "default"); special tokens from tokenizer_config.json. None when the folder has no template.
  static std::optional<ChatTemplate> load(const std::filesystem::path& folder);
  // The special tokens of tokenizer_config.json, and its template if there is one. std::invalid_argument.
  static SpecialTokens parse_config(std::string_view json, std::string_view origin, std::optional<std::string>& source);

  // `add_generation_prompt`: with the beginning of the answer that is wanted. std::invalid_argument for what the
  // template refuses (roles in another order, say) or this class does not support.
  std::string render(std::span<const ChatMessage> messages, bool add_generation_prompt) const;

  const SpecialTokens& special_tokens() const { return tokens_; }

 private:
  std::shared_ptr<const jinja::Body> body_;
  SpecialTokens tokens_;
  std::string origin_;
};

}  // namespace vigor
