// A chat template, and a tokenizer_config.json that may hold one: refused, or it writes the same text twice.
#include <cstdlib>

#include "models/chat_template.h"
#include "tests/fuzz/fuzz.h"

namespace {

void write_twice(const vigor::ChatTemplate& chat_template) {
  const std::vector<vigor::ChatMessage> messages = {
      {"system", " be brief "}, {"user", "hi"}, {"assistant", "<think>a</think>b"}, {"user", ""}};
  if (chat_template.render(messages, true) != chat_template.render(messages, true)) std::abort();
}

}  // namespace

void vigor::fuzz_one(std::string_view input, const std::filesystem::path&) {
  load_or_refuse([&] { write_twice(ChatTemplate(input, {{"bos_token", "<s>"}, {"eos_token", "</s>"}})); });
  load_or_refuse([&] {
    std::optional<std::string> source;
    ChatTemplate::SpecialTokens tokens = ChatTemplate::parse_config(input, "fuzz", source);
    if (source) write_twice(ChatTemplate(*source, std::move(tokens)));
  });
}
