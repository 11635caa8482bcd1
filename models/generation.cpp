#include "models/generation.h"

#include <chrono>

#include "models/continuation.h"
#include "models/stop_strings.h"
#include "tensor/check.h"

namespace vigor {

std::vector<std::vector<int32_t>> generate(const LanguageModel& model, const std::vector<std::vector<int32_t>>& prompts,
                                           const GenerateOptions& options, const TokenCallback& on_token,
                                           const WindowCallback& on_window) {
  if (prompts.empty()) return {};
  Continuation sequences(model, static_cast<int64_t>(prompts.size()), options.window, options.prefill_chunk, on_window);
  for (size_t b = 0; b < prompts.size(); ++b) sequences.add(b, prompts[b]);
  return sequences.generate(options, on_token);
}

GeneratedText generate_text(const LanguageModel& model, const Tokenizer& tokenizer, std::string_view prompt,
                            const GenerateOptions& options, const TextCallback& on_text,
                            const WindowCallback& on_window) {
  const std::vector<int32_t> ids = tokenizer.encode(prompt);
  check(!ids.empty(), "generate: the prompt must have at least one token; got \"{}\"", prompt);
  Continuation sequence(model, 1, options.window, options.prefill_chunk, on_window);
  return generate_text(sequence, tokenizer, ids, options, on_text);
}

GeneratedText generate_text(Continuation& sequence, const Tokenizer& tokenizer, const std::vector<int32_t>& prompt,
                            const GenerateOptions& any_options, const TextCallback& on_text) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  GenerateOptions options = any_options;
  for (const std::string& string : options.stop)
    if (const std::optional<int32_t> id = tokenizer.special_id(string)) options.end_ids.push_back(*id);
  GeneratedText result;
  result.prompt_tokens = static_cast<int64_t>(prompt.size());
  StreamDecoder decoder(tokenizer);
  StopStrings stop(options.stop);
  bool wanted = true;
  const auto emit = [&](const std::string& piece) {
    result.text += piece;
    if (on_text) wanted = on_text(piece);
  };
  Clock::time_point first = start;
  sequence.add(0, prompt);
  sequence.generate(options, [&](int64_t, int32_t id) {
    if (result.ids.empty()) first = Clock::now();
    result.ids.push_back(id);
    const bool hidden = options.hide_special && tokenizer.is_special(id);
    emit(hidden ? std::string() : stop.push(decoder.push(id)));
    return wanted && !stop.found();
  });
  if (result.ids.empty()) first = Clock::now();
  result.prompt_seconds = std::chrono::duration<double>(first - start).count();
  result.seconds = std::chrono::duration<double>(Clock::now() - first).count();
  if (stop.found()) result.end = TextEnd::stop_string;
  else if (!wanted) result.end = TextEnd::callback;
  else if (static_cast<int64_t>(result.ids.size()) < options.max_new_tokens) result.end = TextEnd::end_id;
  if (wanted && !stop.found()) {
    const std::string rest = stop.push(decoder.finish());
    emit(rest + stop.finish());
  }
  return result;
}

}  // namespace vigor
