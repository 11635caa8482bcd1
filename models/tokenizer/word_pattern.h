#pragma once
// The regular expressions by which published tokenizers cut text into words, as a few choices with a hand-written
// matcher. GPT-2's, Llama-3's, Qwen2's and our own are all of this form; the alternatives, in the order in which they
// are tried:
//
//   latex        [ ]?\\[A-Za-z]+                               a LaTeX command; needs one_symbol
//   contraction  's|'t|'re|'ve|'m|'ll|'d                       exactly so, or in any case: (?i:...)
//   letters      [ ]?\p{L}+                                    after a space or, with any_prefix, after any one
//                [^\r\n\p{L}\p{N}]?\p{L}+                      character that is no letter, number or line end
//   numbers      [ ]?\p{N}+ , \p{N}{1,3} , \p{N}               a run, up to three digits, one digit
//   symbols      [ ]?[^\s\p{L}\p{N}]+                          and with line ends behind: [\r\n]*; or one by one
//   lines        \s*[\r\n]+                                    white space up to its last line end
//   space        \s+(?!\S)|\s+                                 all white space but the last one before a word
//
// With `marks`, combining marks (\p{M}) count as letters everywhere. Every text is cut into matches without a gap.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vigor {

struct WordPattern {
  enum class Contractions { none, lower_case, any_case };
  bool latex = false;  // a run of symbols would take the backslash, so needs one_symbol
  Contractions contractions = Contractions::lower_case;
  bool any_prefix = false;  // of letters; else a space
  bool marks = false;       // are letters
  int digits = 0;           // of a number: 1, 3, or 0 for a run (after a space)
  bool one_symbol = false;  // a piece for each symbol
  bool lines = false;       // line ends behind symbols, and `lines`
  bool operator==(const WordPattern&) const = default;

  // The end of the word that begins at `begin`; text must be valid UTF-8, begin < text.size().
  size_t match(std::string_view text, size_t begin) const;
  // The regular expression, as it stands in tokenizer.json.
  std::string regex() const;
  // The pattern whose regex() is exactly `regex`.
  static std::optional<WordPattern> recognize(std::string_view regex);

  static WordPattern gpt2() { return {}; }
  static WordPattern llama3() { return {false, Contractions::any_case, true, false, 3, false, true}; }
  // What `vigor tokenizer train` uses: as the Falcon-H1 family, digits and symbols stand alone.
  static WordPattern falcon_h1() { return {true, Contractions::any_case, false, true, 1, true, true}; }
  static WordPattern qwen2() { return {false, Contractions::any_case, true, false, 1, false, true}; }
};

}  // namespace vigor
