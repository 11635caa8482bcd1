#include "train/data/story_generator.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <unordered_map>

#include "models/tokenizer/content_hash.h"

namespace vigor {
namespace {

constexpr int kMaxDepth = 32;  // a grammar that contains itself is an error, not an overflow

// Random choices of one text: a hash of (seed, index, number of the choice).
class Choices {
 public:
  Choices(uint64_t seed, uint64_t index) : key_(mix_bits(mix_bits(seed + 1) ^ index)) {}
  size_t below(size_t count) { return static_cast<size_t>(mix_bits(key_ + kStep * ++number_) % count); }

 private:
  static constexpr uint64_t kStep = 0x9E3779B97F4A7C15u;
  uint64_t key_, number_ = 0;
};

std::vector<std::string_view> split(std::string_view text, std::string_view separator) {
  std::vector<std::string_view> parts;
  for (size_t end; (end = text.find(separator)) != std::string_view::npos; text.remove_prefix(end + separator.size())) {
    parts.push_back(text.substr(0, end));
  }
  parts.push_back(text);
  return parts;
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_vowel(char c) { return std::string_view("aeiouAEIOU").find(c) != std::string_view::npos; }

// Where the value of each field stands.
struct FieldPlace {
  size_t table, column;
};
const std::unordered_map<std::string_view, FieldPlace>& field_places() {
  static const std::unordered_map<std::string_view, FieldPlace> places = [] {
    std::unordered_map<std::string_view, FieldPlace> made;
    for (size_t table = 0; table < story_tables().size(); ++table) {
      const std::vector<std::string_view> fields = split(story_tables()[table].fields, " ");
      for (size_t column = 0; column < fields.size(); ++column) made.emplace(fields[column], FieldPlace{table, column});
    }
    return made;
  }();
  return places;
}

class Expansion {
 public:
  explicit Expansion(Choices& choices) : choices_(choices), drawn_(story_tables().size()) {}

  void expand(std::string_view text, int depth = 0) {
    if (depth > kMaxDepth) throw std::logic_error("story grammar: a rule contains itself");
    while (!text.empty()) {
      const char first = text.front();
      if (first == '[') {
        const std::string_view inside = bracketed(text, '[', ']');
        const std::vector<std::string_view> options = alternatives(inside);
        expand(options[choices_.below(options.size())], depth + 1);
        text.remove_prefix(inside.size() + 2);
      } else if (first == '<') {
        const std::string_view name = bracketed(text, '<', '>');
        expand(rule(name), depth + 1);
        text.remove_prefix(name.size() + 2);
      } else if (first == '{') {
        const std::string_view name = bracketed(text, '{', '}');
        append_field(name);
        text.remove_prefix(name.size() + 2);
      } else {
        const size_t length = std::min(text.find_first_of("[<{"), text.size());
        append(text.substr(0, length));
        text.remove_prefix(length);
      }
    }
  }
  std::string take() { return std::move(out_); }

 private:
  // What stands between the bracket that `text` begins with and its partner.
  static std::string_view bracketed(std::string_view text, char open, char close) {
    int depth = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == open) ++depth;
      if (text[i] == close && --depth == 0) return text.substr(1, i - 1);
    }
    throw std::logic_error(fmt::format("story grammar: no {} for {}", close, text.substr(0, 40)));
  }

  static std::vector<std::string_view> alternatives(std::string_view inside) {
    std::vector<std::string_view> options;
    int depth = 0;
    size_t start = 0;
    for (size_t i = 0; i <= inside.size(); ++i) {
      if (i == inside.size() || (inside[i] == '|' && depth == 0)) {
        options.push_back(inside.substr(start, i - start));
        start = i + 1;
      } else if (inside[i] == '[') {
        ++depth;
      } else if (inside[i] == ']') {
        --depth;
      }
    }
    return options;
  }

  static std::string_view rule(std::string_view name) {
    for (const StoryRule& candidate : story_rules()) {
      if (candidate.name == name) return candidate.text;
    }
    throw std::logic_error(fmt::format("story grammar: no rule <{}>", name));
  }

  // "a" becomes "an" before a vowel, wherever the two pieces come from.
  void append(std::string_view text) {
    const size_t n = out_.size();
    const bool article = n >= 2 && out_[n - 1] == ' ' && (out_[n - 2] == 'a' || out_[n - 2] == 'A') &&
                         (n == 2 || !is_letter(out_[n - 3]));
    if (article && !text.empty() && is_vowel(text.front())) out_.insert(n - 1, 1, 'n');
    out_ += text;
  }

  void append_field(std::string_view name) {
    std::string field(name);
    const bool capital = field[0] >= 'A' && field[0] <= 'Z';
    if (capital) field[0] = static_cast<char>(field[0] - 'A' + 'a');
    const auto place = field_places().find(field);
    if (place == field_places().end()) throw std::logic_error(fmt::format("story grammar: no field {{{}}}", field));
    std::string value(split(row(place->second.table), "; ").at(place->second.column));
    if (capital && value[0] >= 'a' && value[0] <= 'z') value[0] = static_cast<char>(value[0] - 'a' + 'A');
    append(value);
  }

  // The row of a table, drawn once; tables with the same rows (hero and friend) never draw the same one.
  std::string_view row(size_t table) {
    const std::vector<std::string_view>& rows = story_tables()[table].rows;
    const auto taken = [&](size_t candidate) {
      for (size_t other = 0; other < drawn_.size(); ++other) {
        if (other != table && drawn_[other] == candidate && story_tables()[other].rows[0].data() == rows[0].data())
          return true;
      }
      return false;
    };
    if (!drawn_[table]) {
      size_t candidate = choices_.below(rows.size());
      while (taken(candidate)) candidate = (candidate + 1) % rows.size();
      drawn_[table] = candidate;
    }
    return rows[*drawn_[table]];
  }

  Choices& choices_;
  std::vector<std::optional<size_t>> drawn_;  // per table
  std::string out_;
};

}  // namespace

std::string expand_story(std::string_view text, uint64_t seed, uint64_t index) {
  Choices choices(seed, index);
  Expansion expansion(choices);
  expansion.expand(text);
  return expansion.take();
}

std::string generate_story(uint64_t seed, uint64_t index) { return expand_story("<text>", seed, index) + "\n\n"; }

std::pair<std::string, std::string> generate_story_pieces(uint64_t seed, uint64_t index) {
  std::string text = generate_story(seed, index);
  Choices choices(~seed, index);  // other choices than the text's own
  std::vector<size_t> word_ends;
  for (size_t i = 1; i < text.size(); ++i) {
    if (is_letter(text[i - 1]) && !is_letter(text[i])) word_ends.push_back(i);
  }
  constexpr size_t kFirstWords = 8;
  size_t cut;
  switch (choices.below(4)) {
    case 0:  // in the middle of a word, too
      cut = 1 + choices.below(text.size() - 1);
      break;
    case 1:
      cut = word_ends[choices.below(word_ends.size())];
      break;
    default:
      cut = word_ends[choices.below(std::min(kFirstWords, word_ends.size()))];
  }
  std::string rest = text.substr(cut);
  text.resize(cut);
  return {std::move(text), std::move(rest)};
}

}  // namespace vigor
