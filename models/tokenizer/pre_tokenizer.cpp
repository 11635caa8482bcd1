#include "models/tokenizer/pre_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "models/tokenizer/char_class.h"
#include "models/tokenizer/unicode.h"
#include "tensor/check.h"
#include "tensor/file.h"

namespace vigor {
namespace {

constexpr size_t kMaxSteps = 64;

void push_piece(std::vector<Span>& pieces, Span piece) {
  if (piece.begin < piece.end) pieces.push_back(piece);
}

// Cuts `span` at the matches in it. The rules are those of the `tokenizers` library: matches and the gaps between them
// form a list of segments, and a segment joins its neighbour only where the neighbour is of the other kind.
void cut(Span span, const std::vector<Span>& matches, SplitBehavior behavior, bool invert, std::vector<Span>& pieces) {
  struct Segment {
    Span span;
    bool match;
  };
  std::vector<Segment> segments;
  size_t position = span.begin;
  for (const Span& match : matches) {
    if (position < match.begin) segments.push_back({{position, match.begin}, invert});
    segments.push_back({match, !invert});
    position = match.end;
  }
  if (position < span.end) segments.push_back({{position, span.end}, invert});

  if (behavior == SplitBehavior::merged_with_next) {
    std::vector<Span> joined;
    bool match_after = false;
    for (auto segment = segments.rbegin(); segment != segments.rend(); ++segment) {
      if (segment->match && !match_after && !joined.empty()) joined.back().begin = segment->span.begin;
      else joined.push_back(segment->span);
      match_after = segment->match;
    }
    for (auto piece = joined.rbegin(); piece != joined.rend(); ++piece) push_piece(pieces, *piece);
    return;
  }
  const size_t first = pieces.size();
  bool match_before = false;
  for (const Segment& segment : segments) {
    const bool joins = (behavior == SplitBehavior::merged_with_previous && segment.match && !match_before) ||
                       (behavior == SplitBehavior::contiguous && segment.match == match_before);
    if (joins && pieces.size() > first) pieces.back().end = segment.span.end;
    else if (behavior != SplitBehavior::removed || !segment.match) push_piece(pieces, segment.span);
    match_before = segment.match;
  }
}

}  // namespace

void PreTokenizer::apply(const ClassStep& step, Words& words) const {
  const CharClasses& classes = CharClasses::get();
  words.earlier_spans.swap(words.spans);
  words.spans.clear();
  for (const Span& span : words.earlier_spans) {
    words.matches.clear();
    for (size_t position = span.begin; position < span.end;) {
      const size_t begin = position;
      if ((classes[next_point(words.text, position)] & step.classes) != 0) words.matches.push_back({begin, position});
    }
    cut(span, words.matches, step.behavior, false, words.spans);
  }
}

void PreTokenizer::apply(const SplitStep& step, Words& words) const {
  words.earlier_spans.swap(words.spans);
  words.spans.clear();
  for (const Span& span : words.earlier_spans) {
    words.matches.clear();
    const std::string_view text = words.text.substr(0, span.end);
    if (const auto* pattern = std::get_if<WordPattern>(&step.pattern)) {
      for (size_t begin = span.begin; begin < span.end;) {
        const size_t end = pattern->match(text, begin);
        words.matches.push_back({begin, end});
        begin = end;
      }
    } else if (const auto* regex = std::get_if<RegexSplit>(&step.pattern)) {
      regex->matches(words.text, span, words.matches);
    } else {
      const std::string& wanted = std::get<std::string>(step.pattern);
      for (size_t at = text.find(wanted, span.begin); at != text.npos; at = text.find(wanted, at + wanted.size()))
        words.matches.push_back({at, at + wanted.size()});
    }
    cut(span, words.matches, step.behavior, step.invert, words.spans);
  }
}

void PreTokenizer::apply(const ByteLevelStep& step, Words& words) const {
  if (step.add_prefix_space) {
    std::string spaced;
    for (Span& span : words.spans) {
      const std::string_view piece = words.text.substr(span.begin, span.end - span.begin);
      const size_t begin = spaced.size();
      if (piece.front() != ' ') spaced.push_back(' ');
      spaced += piece;
      span = {begin, spaced.size()};
    }
    words.buffer = std::move(spaced);
    words.text = words.buffer;
  }
  if (step.use_regex) apply(SplitStep{WordPattern::gpt2(), SplitBehavior::isolated, false}, words);
  if (byte_level_at_ + 1 == steps_.size()) return;  // nobody looks at the characters any more

  std::string mapped;
  for (Span& span : words.spans) {
    const size_t begin = mapped.size();
    mapped += to_byte_alphabet(words.text.substr(span.begin, span.end - span.begin));
    span = {begin, mapped.size()};
  }
  words.buffer = std::move(mapped);
  words.text = words.buffer;
  words.in_alphabet = true;
}

void PreTokenizer::split(std::string_view text, Words& words) const {
  words.text = text;
  words.in_alphabet = false;
  words.spans.clear();
  push_piece(words.spans, {0, text.size()});
  for (const Step& step : steps_) std::visit([&](const auto& s) { apply(s, words); }, step);
}

// Reads the JSON form; one object for each step, sequences flattened.
class PreTokenizerReader {
 public:
  using Json = nlohmann::json;
  PreTokenizerReader(PreTokenizer& result, std::string_view origin) : result_(result), origin_(origin) {}

  void add(const Json& step) {
    if (!step.is_object()) broken("a pre_tokenizer must be an object; it is {}", step.type_name());
    if (result_.steps_.size() >= kMaxSteps) broken("a pre_tokenizer has at most {} steps", kMaxSteps);
    const std::string type = text(step, "type");
    if (type == "Sequence") {
      const auto list = step.find("pretokenizers");
      if (list == step.end() || !list->is_array()) broken("a Sequence has a list \"pretokenizers\"");
      for (const Json& each : *list) add(each);
    } else if (type == "ByteLevel") {
      result_.steps_.push_back(
          PreTokenizer::ByteLevelStep{flag(step, "add_prefix_space", true), flag(step, "use_regex", true)});
    } else if (type == "Digits") {
      const bool single = flag(step, "individual_digits", false);
      result_.steps_.push_back(
          PreTokenizer::ClassStep{char_class::kNumber, single ? SplitBehavior::isolated : SplitBehavior::contiguous});
    } else if (type == "Punctuation") {
      const SplitBehavior how = step.contains("behavior") ? behavior(step) : SplitBehavior::isolated;
      result_.steps_.push_back(PreTokenizer::ClassStep{char_class::kPunctuation, how});
    } else if (type == "Split") {
      add_split(step);
    } else {
      broken("the pre_tokenizer {} is not supported (known: ByteLevel, Split, Digits, Punctuation, Sequence)",
             printable(type));
    }
  }

  void finish() {
    size_t byte_levels = 0;
    for (size_t i = 0; i < result_.steps_.size(); ++i) {
      if (!std::holds_alternative<PreTokenizer::ByteLevelStep>(result_.steps_[i])) continue;
      ++byte_levels;
      result_.byte_level_at_ = i;
    }
    if (byte_levels != 1) {
      broken("only byte-level BPE is supported: the pre_tokenizer must have one ByteLevel step; it has {}",
             byte_levels);
    }
    find_only_pattern();
  }

 private:
  template <class... Args>
  [[noreturn]] void broken(fmt::format_string<Args...> text, Args&&... args) const {
    fail("tokenizer: {}: {}", origin_, fmt::format(text, std::forward<Args>(args)...));
  }

  std::string text(const Json& step, const char* key) const {
    const auto found = step.find(key);
    if (found == step.end() || !found->is_string()) broken("a pre_tokenizer has the key {}, a string", key);
    return found->get<std::string>();
  }
  bool flag(const Json& step, const char* key, bool fallback) const {
    const auto found = step.find(key);
    if (found == step.end()) return fallback;
    if (!found->is_boolean()) broken("{} of a pre_tokenizer must be true or false", key);
    return found->get<bool>();
  }
  SplitBehavior behavior(const Json& step) const {
    const std::string name = text(step, "behavior");
    if (name == "Removed") return SplitBehavior::removed;
    if (name == "Isolated") return SplitBehavior::isolated;
    if (name == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
    if (name == "MergedWithNext") return SplitBehavior::merged_with_next;
    if (name == "Contiguous") return SplitBehavior::contiguous;
    broken("the behavior {} of a pre_tokenizer is not known", printable(name));
  }

  void add_split(const Json& step) {
    const auto pattern = step.find("pattern");
    if (pattern == step.end() || !pattern->is_object()) broken("a Split has the key pattern, an object");
    const SplitBehavior how = behavior(step);
    const bool invert = flag(step, "invert", false);
    if (pattern->contains("String")) {
      const std::string wanted = text(*pattern, "String");
      if (wanted.empty()) broken("the pattern of a Split must not be empty");
      result_.steps_.push_back(PreTokenizer::SplitStep{wanted, how, invert});
      return;
    }
    const std::string regex = text(*pattern, "Regex");
    if (const std::optional<WordPattern> known = WordPattern::recognize(regex)) {
      result_.steps_.push_back(PreTokenizer::SplitStep{*known, how, invert});
    } else {
      try {
        result_.steps_.push_back(PreTokenizer::SplitStep{RegexSplit(regex), how, invert});
      } catch (const std::invalid_argument& error) {
        fail("{} ({})", error.what(), origin_);
      }
    }
  }

  void find_only_pattern() {
    const std::vector<PreTokenizer::Step>& steps = result_.steps_;
    const auto& byte_level = std::get<PreTokenizer::ByteLevelStep>(steps[result_.byte_level_at_]);
    if (byte_level.add_prefix_space) return;
    if (steps.size() == 1 && byte_level.use_regex) result_.only_pattern_ = WordPattern::gpt2();
    if (steps.size() != 2 || byte_level.use_regex || result_.byte_level_at_ != 1) return;
    const auto* split = std::get_if<PreTokenizer::SplitStep>(&steps[0]);
    // Matches leave no gap, so that all but removing (which would leave nothing) and joining are the same.
    if (split == nullptr || split->behavior != SplitBehavior::isolated) return;
    if (const auto* pattern = std::get_if<WordPattern>(&split->pattern)) result_.only_pattern_ = *pattern;
  }

  PreTokenizer& result_;
  std::string_view origin_;
};

PreTokenizer PreTokenizer::parse(std::string_view json, std::string_view origin) {
  PreTokenizer result;
  PreTokenizerReader reader(result, origin);
  const nlohmann::json value = nlohmann::json::parse(json, nullptr, false);
  if (!value.is_null()) reader.add(value);
  reader.finish();
  return result;
}

}  // namespace vigor
