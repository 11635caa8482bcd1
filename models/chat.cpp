#include "models/chat.h"

#include <stdexcept>

#include "tensor/check.h"

namespace vigor {

Chat::Chat(const LanguageModel& model, const Tokenizer& tokenizer, ChatTemplate chat_template, GenerateOptions options,
           WindowCallback on_window)
    : model_(model),
      tokenizer_(tokenizer),
      template_(std::move(chat_template)),
      options_(std::move(options)),
      on_window_(std::move(on_window)) {
  options_.hide_special = true;
  end_at_turns();
}

// Models are published whose configuration names only the token that ends a document, and not the one of their own
// template that ends a turn. What stands behind an answer there is therefore looked up in the template.
void Chat::end_at_turns() {
  constexpr std::string_view kAnswer = "(answer)";
  std::string text;
  try {
    text =
        template_.render(std::vector<ChatMessage>{{"user", "(question)"}, {"assistant", std::string(kAnswer)}}, false);
  } catch (const std::invalid_argument&) {  // a template for other conversations; the first turn will tell
    return;
  }
  const size_t answer = text.find(kAnswer);
  if (answer == std::string::npos) return;
  const std::vector<int32_t> behind = tokenizer_.encode(std::string_view(text).substr(answer + kAnswer.size()));
  if (!behind.empty() && tokenizer_.is_special(behind[0])) options_.end_ids.push_back(behind[0]);
}

void Chat::set_system(std::string text) {
  if (!messages_.empty()) throw std::logic_error("chat: set_system() comes before the first turn");
  messages_.push_back({"system", std::move(text)});
}

GeneratedText Chat::say(std::string_view text, const TextCallback& on_text) {
  messages_.push_back({"user", std::string(text)});
  std::string conversation;
  try {
    conversation = template_.render(messages_, true);
  } catch (...) {
    messages_.pop_back();
    throw;
  }
  if (!sequence_ || !conversation.starts_with(known_)) {
    sequence_.emplace(model_, 1, options_.window, options_.prefill_chunk, on_window_);
    known_.clear();
  }
  const std::vector<int32_t> added = tokenizer_.encode(std::string_view(conversation).substr(known_.size()));
  GeneratedText answer = generate_text(*sequence_, tokenizer_, added, options_, on_text);
  known_ = conversation + tokenizer_.decode(answer.ids);  // with special tokens and stop strings: all that was computed
  messages_.push_back({"assistant", answer.text});
  ++options_.seed;
  return answer;
}

}  // namespace vigor
