#pragma once
// Continuing prompts: the prompt in one pass, then one token at a time from the layer caches, at a cost that does not
// depend on how much came before.
//
// i3's positions are learned, so a sequence ends at max_seq_len. Window::half: when a context outgrows it, the context
// becomes its last max_seq_len/2 tokens, its caches are rebuilt at positions 0.., and generation goes on; a token costs
// the same in the long run. Window::exact: once outgrown, every token is computed from the last max_seq_len tokens, as
// the published code does; that is a whole forward pass a token.
#include <functional>
#include <optional>
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
  uint64_t seed = 0;
  Window window = Window::half;
  std::optional<int32_t> end_id;  // a row ends with it; it is not part of the result
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

// One prompt as text. `on_text` gets the continuation piece by piece, each piece whole UTF-8 characters; false ends it.
// Returns the continuation.
std::string generate_text(const LanguageModel& model, const Tokenizer& tokenizer, std::string_view prompt,
                          const GenerateOptions& options, const std::function<bool(std::string_view)>& on_text = {},
                          const WindowCallback& on_window = {});

}  // namespace vigor
