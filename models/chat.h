#pragma once
// A conversation with a model: messages written by its chat template, and caches that stay from turn to turn.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/chat_template.h"
#include "models/continuation.h"

namespace vigor {

class Chat {
 public:
  // `options` for every answer, with hide_special; the seed counts up from answer to answer. The special token that the
  // template puts behind an answer ends one too. Model and tokenizer must outlive the chat.
  Chat(const LanguageModel& model, const Tokenizer& tokenizer, ChatTemplate chat_template, GenerateOptions options,
       WindowCallback on_window = {});

  // Instructions before all turns; only at the beginning.
  void set_system(std::string text);
  // One turn. Where the template writes the conversation so far as it did before, only what is new goes through the
  // model (prompt_tokens of the result); else, as when it drops earlier thoughts, all of it again. After an error of
  // the template (std::invalid_argument) the turn does not count.
  GeneratedText say(std::string_view text, const TextCallback& on_text = {});

  const std::vector<ChatMessage>& messages() const { return messages_; }

 private:
  void end_at_turns();

  const LanguageModel& model_;
  const Tokenizer& tokenizer_;
  ChatTemplate template_;
  GenerateOptions options_;
  WindowCallback on_window_;
  std::vector<ChatMessage> messages_;
  std::optional<Continuation> sequence_;
  std::string known_;  // the text of sequence_
};

}  // namespace vigor
