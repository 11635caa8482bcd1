#pragma once
// How a tokenizer.json cuts text into words before merging: its "pre_tokenizer", a sequence of steps that each cut the
// pieces of the step before. Known are ByteLevel, Split, Digits, Punctuation and Sequence, which is all that Falcon-H1,
// GPT-2, Llama-3 and Qwen use.
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "models/tokenizer/regex_split.h"
#include "models/tokenizer/word_pattern.h"

namespace vigor {

// What becomes of the matches of a pattern and of the text between them; a piece is never empty.
enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

class PreTokenizer {
 public:
  // `json` is the value of "pre_tokenizer". std::invalid_argument, beginning with `origin`, for what is not known, and
  // for a sequence in which the bytes are not written in the byte alphabet exactly once.
  static PreTokenizer parse(std::string_view json, std::string_view origin);

  // The words of a text. `buffer` is memory for texts that differ from `text`: where a space is put before words, or
  // where steps follow after ByteLevel.
  struct Words {
    std::string_view text;     // what the spans refer to: the input or `buffer`
    bool in_alphabet = false;  // it is written in the byte alphabet; else plain bytes
    std::vector<Span> spans;
    std::string buffer;
    std::vector<Span> earlier_spans, matches;
  };
  void split(std::string_view text, Words& words) const;  // valid UTF-8

  // When the text is simply cut by one pattern (Split or ByteLevel's, with nothing else to do), that pattern: the fast
  // way of encoding.
  const std::optional<WordPattern>& only_pattern() const { return only_pattern_; }

 private:
  struct ClassStep {  // Digits, Punctuation: single characters of a class
    uint8_t classes;
    SplitBehavior behavior;
  };
  struct SplitStep {
    std::variant<WordPattern, RegexSplit, std::string> pattern;  // the last: a text to be found as it is
    SplitBehavior behavior;
    bool invert;
  };
  struct ByteLevelStep {
    bool add_prefix_space;
    bool use_regex;
  };
  using Step = std::variant<ClassStep, SplitStep, ByteLevelStep>;
  friend class PreTokenizerReader;

  void apply(const ClassStep& step, Words& words) const;
  void apply(const SplitStep& step, Words& words) const;
  void apply(const ByteLevelStep& step, Words& words) const;

  std::vector<Step> steps_;
  size_t byte_level_at_ = 0;  // index of the ByteLevel step
  std::optional<WordPattern> only_pattern_;
};

}  // namespace vigor
