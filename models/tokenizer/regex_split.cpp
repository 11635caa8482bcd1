#include "models/tokenizer/regex_split.h"

#include <unicode/regex.h>
#include <unicode/utext.h>

#include <algorithm>
#include <cctype>
#include <stdexcept>

#include "models/tokenizer/unicode.h"
#include "tensor/check.h"
#include "tensor/file.h"

namespace vigor {
namespace {

constexpr size_t kMaxRegexBytes = 4096;
constexpr int32_t kStackLimit = 4 * 1024 * 1024;  // bytes, of backtracking

// ICU counts its own steps in ticks of 10,000. An expression in use takes a few dozen steps a byte; one made to
// backtrack without end is stopped.
int32_t tick_limit(size_t nbytes) { return static_cast<int32_t>(std::min<size_t>(500 + nbytes / 50, 1 << 30)); }

bool starts_at(std::string_view text, size_t position, std::string_view with) {
  return text.substr(position, with.size()) == with;
}

// The expression for ICU, or an empty text when a part of it could mean something else there.
std::string for_icu(std::string_view regex) {
  constexpr std::string_view kEscapes = "pPsSdDrntf";  // the same in both, beside escaped symbols
  std::string text;
  for (size_t i = 0; i < regex.size(); ++i) {
    const char c = regex[i];
    if (c == '\\') {
      if (++i == regex.size()) return "";
      const char escaped = regex[i];
      if (escaped == 'w') {  // Oniguruma's, which has no joiners but the fractions of Latin-1
        text += R"([\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\u00B2\u00B3\u00B9\u00BC\u00BD\u00BE])";
        continue;
      }
      const bool symbol = static_cast<uint8_t>(escaped) < 0x80 && !std::isalnum(static_cast<uint8_t>(escaped));
      if (!symbol && kEscapes.find(escaped) == std::string_view::npos) return "";
      text += c;
      text += escaped;
      if ((escaped == 'p' || escaped == 'P') && starts_at(regex, i + 1, "{")) {  // \p{L}, to its end
        const size_t end = std::min(regex.find('}', i), regex.size() - 1);
        text += regex.substr(i + 1, end - i);
        i = end;
      }
      continue;
    }
    if (c == '(' && starts_at(regex, i, "(?")) {  // only groups without a name and without options for what follows
      bool known = false;
      for (const std::string_view group : {"(?:", "(?i:", "(?=", "(?!", "(?<=", "(?<!", "(?>"})
        known = known || starts_at(regex, i, group);
      if (!known) return "";
    }
    for (const std::string_view other : {"[:", "&&", "--", "}+", "||", "[]", "[^]"})
      if (starts_at(regex, i, other)) return "";
    text += c;
  }
  return text;
}

}  // namespace

struct RegexSplit::Compiled {
  std::string source;
  std::unique_ptr<icu::RegexPattern> pattern;
};

RegexSplit::RegexSplit(std::string_view regex) {
  auto compiled = std::make_unique<Compiled>();
  compiled->source = printable(regex, 200);
  check(regex.size() <= kMaxRegexBytes && valid_utf8(regex) == regex,
        "tokenizer: a regular expression is UTF-8 of at most {} bytes; got {} bytes", kMaxRegexBytes, regex.size());
  const std::string text = for_icu(regex);
  check(!text.empty(), "tokenizer: the regular expression {} has parts that are not supported", compiled->source);
  UErrorCode status = U_ZERO_ERROR;
  UParseError where;
  // As in Ruby: ^ and $ at every line, and only \n ends a line.
  compiled->pattern.reset(icu::RegexPattern::compile(icu::UnicodeString::fromUTF8(text),
                                                     UREGEX_MULTILINE | UREGEX_UNIX_LINES, where, status));
  check(U_SUCCESS(status), "tokenizer: the regular expression {} cannot be used: {}", compiled->source,
        u_errorName(status));
  compiled_ = std::move(compiled);
}

RegexSplit::~RegexSplit() = default;
RegexSplit::RegexSplit(RegexSplit&&) noexcept = default;

void RegexSplit::matches(std::string_view text, Span span, std::vector<Span>& found) const {
  UErrorCode status = U_ZERO_ERROR;
  UText utext = UTEXT_INITIALIZER;
  utext_openUTF8(&utext, text.data() + span.begin, static_cast<int64_t>(span.end - span.begin), &status);
  const std::unique_ptr<icu::RegexMatcher> matcher(compiled_->pattern->matcher(status));
  if (U_SUCCESS(status)) {
    matcher->setTimeLimit(tick_limit(span.end - span.begin), status);
    matcher->setStackLimit(kStackLimit, status);
    matcher->reset(&utext);
    while (matcher->find(status) && U_SUCCESS(status)) {
      const auto begin = static_cast<size_t>(matcher->start64(status));
      const auto end = static_cast<size_t>(matcher->end64(status));
      found.push_back({span.begin + begin, span.begin + end});
    }
  }
  utext_close(&utext);
  if (U_FAILURE(status)) {
    throw std::runtime_error(
        fmt::format("tokenizer: the regular expression {}: {}", compiled_->source, u_errorName(status)));
  }
}

}  // namespace vigor
