#pragma once
// Continuing prompts: the prompt in pieces of bounded size, then one token at a time from the layer caches, at a cost
// that does not depend on how much came before (but for attention, which reads its keys and values).
//
// A sequence ends at the model's max_seq_len: i3's positions are learned and there are no more of them; positions of
// RoPE and recurrent states have no such limit, but nobody has trained the model beyond. Window::half, for all models:
// when a context outgrows max_seq_len, the context becomes its last max_seq_len/2 tokens, its caches are rebuilt at
// positions 0.., and generation goes on; a token costs the same in the long run. Window::exact: once outgrown, every
// token is computed from the last max_seq_len tokens, as i3's published code does; that is a whole forward pass a
// token.
#include <functional>
#include <string>
#include <vector>

#include "kernels/sampling/sampling.h"
#include "models/model.h"
#include "models/tokenizer/tokenizer.h"

namespace vigor {

enum class Window { half, exact };

struct GenerateOptions {
  int64_t max_new_tokens = 100;
  SamplingOptions sampling;
  double repetition_penalty = 1;  // of ids in the prompt and behind it (kernels/repetition_penalty); 1: none
  uint64_t seed = 0;
  Window window = Window::half;
  int64_t prefill_chunk = 512;   // the most tokens of a prompt that the model gets at once, which bounds its memory
  std::vector<int32_t> end_ids;  // a row ends with any of them; it is not part of the result
  // For text only:
  std::vector<std::string> stop;  // the text ends before the first of them, also across tokens; special tokens by name
  bool hide_special = false;      // special tokens are not part of the text
};

// Called for each new token of row `row`, in order; false ends the row.
using TokenCallback = std::function<bool(int64_t row, int32_t id)>;
// Called once, when the first context is cut.
using WindowCallback = std::function<void(int64_t max_seq_len)>;

// B prompts of any lengths >= 1 (std::invalid_argument for an empty one) -> the new ids of each. Row b of the random
// numbers depends on the seed, b and the number of the token only.
std::vector<std::vector<int32_t>> generate(const LanguageModel& model, const std::vector<std::vector<int32_t>>& prompts,
                                           const GenerateOptions& options, const TokenCallback& on_token = {},
                                           const WindowCallback& on_window = {});

// Called after each new token, with the text that became certain by it: whole UTF-8 characters, and nothing that may
// belong to a stop string; often nothing at all. False ends the text.
using TextCallback = std::function<bool(std::string_view piece)>;

enum class TextEnd { end_id, stop_string, max_new_tokens, callback };

struct GeneratedText {
  std::string text;
  std::vector<int32_t> ids;  // all that were generated, but for an end id
  int64_t prompt_tokens = 0;
  double prompt_seconds = 0;  // until the first token was there
  double seconds = 0;         // of all tokens after the first
  TextEnd end = TextEnd::max_new_tokens;
};

// One prompt as text -> its continuation.
GeneratedText generate_text(const LanguageModel& model, const Tokenizer& tokenizer, std::string_view prompt,
                            const GenerateOptions& options, const TextCallback& on_text = {},
                            const WindowCallback& on_window = {});

class Continuation;
// The same for a sequence, the only one, that may hold a text already: `prompt` is what comes behind it.
GeneratedText generate_text(Continuation& sequence, const Tokenizer& tokenizer, const std::vector<int32_t>& prompt,
                            const GenerateOptions& options, const TextCallback& on_text = {});

}  // namespace vigor
