#include "train/data/documents.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "models/tokenizer/content_hash.h"
#include "models/tokenizer/unicode.h"
#include "tensor/check.h"
#include "train/data/file_blocks.h"
#include "train/data/line_reader.h"
#include "train/data/story_generator.h"

namespace vigor {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEndOfText = "<|endoftext|>";
constexpr uint64_t kStorySeed = 1;
constexpr uint64_t kHoldOutEvery = 100;

bool is_held_out(std::string_view text) { return content_hash(text) % kHoldOutEvery == 0; }

bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\r\n\v\f") == std::string_view::npos; }

// Documents of a .txt file: what stands between lines that are exactly <|endoftext|>; in a file without any such line,
// what stands between blank lines.
class TextReader : public DocumentReader {
 public:
  explicit TextReader(const fs::path& path) : lines_(path), has_marks_(find_mark(path)) {}

  bool next(Document& document) override {
    document.text.clear();
    std::string_view line;
    bool complete = true;
    while (lines_.next(line, complete, kMaxDocumentBytes)) {
      const bool ends = inside_line_ ? false : has_marks_ ? line == kEndOfText : is_blank(line);
      inside_line_ = !complete;
      if (!ends) {
        document.text += line;
        if (complete) document.text += '\n';
      }
      if (ends || document.text.size() >= kMaxDocumentBytes) {
        if (finish(document)) return true;
      }
    }
    return finish(document);
  }

 private:
  static bool find_mark(const fs::path& path) {
    LineReader lines(path);
    std::string_view line;
    for (bool complete = true; lines.next(line, complete, kMaxDocumentBytes);) {
      if (line == kEndOfText) return true;
    }
    return false;
  }

  static bool finish(Document& document) {
    std::string& text = document.text;
    if (is_blank(text)) {
      text.clear();
      return false;
    }
    text.erase(text.find_last_not_of('\n') + 1);
    text.erase(0, text.find_first_not_of('\n'));
    document.held_out = is_held_out(text);
    return true;
  }

  LineReader lines_;
  bool has_marks_, inside_line_ = false;
};

// Takes the string under "text" out of one JSON object; everything else is parsed and dropped.
class TextOfJson : public nlohmann::json_sax<nlohmann::json> {
 public:
  std::string text, error;
  bool found = false;

  bool null() override { return value("null"); }
  bool boolean(bool) override { return value("a boolean"); }
  bool number_integer(int64_t) override { return value("a number"); }
  bool number_unsigned(uint64_t) override { return value("a number"); }
  bool number_float(double, const std::string&) override { return value("a number"); }
  bool binary(nlohmann::json::binary_t&) override { return value("binary data"); }
  bool string(std::string& content) override {
    if (!at_text_) return value("a string");
    text = std::move(content);
    found = true;
    at_text_ = false;
    return true;
  }
  bool start_object(size_t) override { return (depth_ == 0 || value("an object")) && ++depth_ > 0; }
  bool start_array(size_t) override { return value("an array") && ++depth_ > 0; }
  bool end_object() override { return --depth_ >= 0; }
  bool end_array() override { return --depth_ >= 0; }
  bool key(std::string& name) override {
    at_text_ = depth_ == 1 && name == "text";
    return true;
  }
  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception&) override {
    if (error.empty()) error = fmt::format("not valid JSON at column {}", position);
    return false;
  }

 private:
  bool value(std::string_view kind) {
    if (depth_ == 0) error = fmt::format("each line must be an object with a \"text\"; got {}", kind);
    if (at_text_) error = fmt::format("\"text\" must be a string; got {}", kind);
    return error.empty();
  }
  int64_t depth_ = 0;
  bool at_text_ = false;
};

class JsonLinesReader : public DocumentReader {
 public:
  explicit JsonLinesReader(const fs::path& path) : lines_(path) {}

  bool next(Document& document) override {
    std::string_view line;
    bool complete = true;
    while (lines_.next(line, complete, kMaxDocumentBytes)) {
      if (!complete) bad_line(fmt::format("a line has at most {} MiB", kMaxDocumentBytes >> 20));
      if (is_blank(line)) continue;
      const std::string json = valid_utf8(line);
      TextOfJson result;
      nlohmann::json::sax_parse(json, &result);
      if (!result.error.empty()) bad_line(result.error);
      if (!result.found) bad_line("the object has no key \"text\"");
      if (is_blank(result.text)) continue;
      document.text = std::move(result.text);
      document.held_out = is_held_out(document.text);
      return true;
    }
    return false;
  }

 private:
  [[noreturn]] void bad_line(std::string_view what) const {
    fail("data: {}:{}: {}", lines_.path().string(), lines_.line_number(), what);
  }
  LineReader lines_;
};

class StoryReader : public DocumentReader {
 public:
  bool next(Document& document) override {
    if (has_rest_) {
      document.text = std::move(rest_);
    } else {
      if (index_ == kEmbeddedStories) return false;
      std::tie(document.text, rest_) = generate_story_pieces(kStorySeed, index_++);
      held_out_ = is_held_out(document.text + rest_);  // both pieces go the same way
    }
    document.held_out = held_out_;
    has_rest_ = !has_rest_;
    return true;
  }

 private:
  uint64_t index_ = 0;
  std::string rest_;
  bool has_rest_ = false, held_out_ = false;
};

std::unique_ptr<DocumentReader> open_file(const fs::path& path) {
  if (path.extension() == ".jsonl") return std::make_unique<JsonLinesReader>(path);
  return std::make_unique<TextReader>(path);
}

bool is_data_file(const fs::path& path) { return path.extension() == ".txt" || path.extension() == ".jsonl"; }

// The files of a source, in the order in which they are read.
std::vector<fs::path> files_of(const std::string& name) {
  const fs::path path(name);
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) fail("data: {} does not exist", name);
  if (!fs::is_directory(status)) {
    if (!fs::is_regular_file(status)) fail("data: {} must be a regular file or a folder", name);
    if (!is_data_file(path))
      fail("data: a file must be .txt or .jsonl (docs/data.md tells how to convert); got {}", name);
    return {path};
  }
  std::vector<fs::path> files;
  for (fs::recursive_directory_iterator entry(path, error), end; entry != end; entry.increment(error)) {
    if (error) break;
    if (is_data_file(entry->path()) && entry->is_regular_file(error)) files.push_back(entry->path());
  }
  if (error) throw std::runtime_error(fmt::format("data: cannot list {}: {}", name, error.message()));
  if (files.empty()) fail("data: the folder {} must hold .txt or .jsonl files; it has none", name);
  std::sort(files.begin(), files.end());
  return files;
}

class FilesReader : public DocumentReader {
 public:
  explicit FilesReader(const DataSource& source) : name_(source.path), files_(files_of(source.path)) {}

  bool next(Document& document) override {
    for (;;) {
      if (!current_) {
        if (index_ == files_.size()) break;
        current_ = open_file(files_[index_++]);
      }
      if (current_->next(document)) return any_ = true;
      current_.reset();
    }
    if (!any_) fail("data: {} has no text", name_);
    return false;
  }

 private:
  std::string name_;
  std::vector<fs::path> files_;
  size_t index_ = 0;
  std::unique_ptr<DocumentReader> current_;
  bool any_ = false;
};

}  // namespace

DataSource parse_data_source(std::string_view text) {
  DataSource source{std::string(text), std::nullopt};
  check(!text.empty(), "data: a path is needed; got an empty one");
  std::error_code error;
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || fs::exists(source.path, error)) return source;
  const std::string_view number = text.substr(colon + 1);
  double weight = 0;
  const auto [end, code] = std::from_chars(number.data(), number.data() + number.size(), weight);
  if (code == std::errc::invalid_argument || end != number.data() + number.size()) return source;  // part of the path
  check(code == std::errc() && std::isfinite(weight) && weight > 0, "data: the weight in {} must be above 0; got {}",
        text, number);
  check(colon > 0, "data: a path is needed before the weight; got {}", text);
  return {std::string(text.substr(0, colon)), weight};
}

std::vector<DataSource> parse_data_sources(const std::vector<std::string>& texts) {
  if (texts.empty()) return {{std::string(kEmbeddedData), std::nullopt}};
  std::vector<DataSource> sources;
  for (const std::string& text : texts) sources.push_back(parse_data_source(text));
  for (const DataSource& source : sources) {
    check(source.weight.has_value() == sources[0].weight.has_value(),
          "data: give a weight to every source or to none; {} and {} differ", sources[0].path, source.path);
  }
  return sources;
}

std::unique_ptr<DocumentReader> open_documents(const DataSource& source) {
  if (source.path == kEmbeddedData) return std::make_unique<StoryReader>();
  return std::make_unique<FilesReader>(source);
}

uint64_t source_hash(const DataSource& source) {
  ContentHash hash;
  hash.update("documents 1");  // raise when the readers above cut documents in another way
  if (source.path == kEmbeddedData) {
    hash.update(kEmbeddedStories);
    for (uint64_t index = 0; index < 256; ++index) hash.update(generate_story_pieces(kStorySeed, index).first);
    for (const StoryRule& rule : story_rules()) hash.update(rule.text);
    for (const StoryTable& table : story_tables()) {
      for (const std::string_view row : table.rows) hash.update(row);
    }
    return hash.value();
  }
  for (const fs::path& path : files_of(source.path)) {
    hash.update(path.extension().string());
    uint64_t nbytes = 0;
    for_each_block(path, [&](std::span<const std::byte> block) {
      hash.update(block);
      nbytes += block.size();
    });
    hash.update(nbytes);  // a boundary: two files are not one
  }
  return hash.value();
}

}  // namespace vigor
