#include "models/tokenizer/bpe_file.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "tensor/check.h"
#include "tensor/file.h"

namespace vigor {
namespace {

using Json = nlohmann::json;

// Events of the parser. The vocabulary and the merges are caught by their place, "model" "vocab" and "model" "merges";
// everything else becomes a small Json value.
class FileReader : public nlohmann::json_sax<Json> {
 public:
  FileReader(BpeFile& file, std::string_view origin) : file_(file), origin_(origin) {}
  Json rest;

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(int64_t value) override { return number(value); }
  bool number_unsigned(uint64_t value) override {
    return value <= INT32_MAX ? number(static_cast<int64_t>(value)) : put(static_cast<double>(value));
  }
  bool number_float(double value, const std::string&) override { return put(value); }
  bool binary(Json::binary_t&) override { return false; }
  bool string(std::string& value) override {
    if (place_ == Place::merges) {
      const size_t space = value.find(' ');
      if (space == value.npos || value.find(' ', space + 1) != value.npos || space == 0 || space + 1 == value.size())
        broken("a merge is two tokens with a space between; got \"{}\"", printable(value));
      add_merge(value.substr(0, space), value.substr(space + 1));
      return true;
    }
    if (place_ == Place::merge_pair) {
      pair_.push_back(value);
      return true;
    }
    return put(value);
  }

  bool start_object(size_t) override {
    if (at_model_key("vocab")) {
      if (seen_vocab_) broken("model.vocab stands there twice");
      seen_vocab_ = true;
      place_ = Place::vocab;
      return deeper();
    }
    return open(Json::object());
  }
  bool end_object() override {
    --depth_;
    if (place_ == Place::vocab) place_ = Place::rest;
    else stack_.pop_back();
    return true;
  }
  bool start_array(size_t) override {
    if (at_model_key("merges")) {
      if (seen_merges_) broken("model.merges stands there twice");
      seen_merges_ = true;
      place_ = Place::merges;
      return deeper();
    }
    if (place_ == Place::merges) {
      place_ = Place::merge_pair;
      pair_.clear();
      return deeper();
    }
    return open(Json::array());
  }
  bool end_array() override {
    --depth_;
    if (place_ == Place::merge_pair) {
      if (pair_.size() != 2) broken("a merge is a list of two tokens; one has {}", pair_.size());
      add_merge(std::move(pair_[0]), std::move(pair_[1]));
      place_ = Place::merges;
    } else if (place_ == Place::merges) {
      place_ = Place::rest;
    } else {
      stack_.pop_back();
    }
    return true;
  }
  bool key(std::string& name) override {
    if (place_ == Place::rest && depth_ == 1) section_ = name;
    key_ = std::move(name);
    return true;
  }
  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception&) override {
    broken("not valid JSON at byte {}", position);
  }

  template <class... Args>
  [[noreturn]] void broken(fmt::format_string<Args...> text, Args&&... args) const {
    fail("tokenizer: {}: {}", origin_, fmt::format(text, std::forward<Args>(args)...));
  }

 private:
  enum class Place { rest, vocab, merges, merge_pair };

  bool at_model_key(const char* name) const {
    return place_ == Place::rest && depth_ == 2 && section_ == "model" && key_ == name && stack_.back()->is_object();
  }
  bool deeper() {
    if (++depth_ > BpeFile::kMaxDepth) broken("more than {} levels deep", BpeFile::kMaxDepth);
    return true;
  }
  bool number(int64_t value) {
    if (place_ != Place::vocab) return put(value);
    check_token(key_);
    if (value < 0 || value > INT32_MAX) broken("the id of token \"{}\" is out of range: {}", printable(key_), value);
    if (file_.vocab.size() >= BpeFile::kMaxTokens) broken("more than {} tokens", BpeFile::kMaxTokens);
    file_.vocab.emplace_back(std::move(key_), static_cast<int32_t>(value));
    return true;
  }
  void add_merge(std::string left, std::string right) {
    check_token(left);
    check_token(right);
    if (file_.merges.size() >= BpeFile::kMaxMerges) broken("more than {} merges", BpeFile::kMaxMerges);
    file_.merges.emplace_back(std::move(left), std::move(right));
  }
  void check_token(const std::string& token) const {
    if (token.empty() || token.size() > BpeFile::kMaxTokenBytes)
      broken("a token has between 1 and {} bytes; one has {}", BpeFile::kMaxTokenBytes, token.size());
  }

  // The place where the next value of the rest goes.
  Json* place(Json value) {
    if (place_ == Place::vocab) broken("model.vocab maps tokens to ids; one of them is {}", value.type_name());
    if (place_ != Place::rest) broken("model.merges holds {}", value.type_name());
    if (++values_ > BpeFile::kMaxOtherValues)
      broken("more than {} values beside vocabulary and merges", BpeFile::kMaxOtherValues);
    if (stack_.empty()) {
      rest = std::move(value);
      return &rest;
    }
    Json& parent = *stack_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    return &(parent[key_] = std::move(value));
  }
  bool put(Json value) {
    place(std::move(value));
    return true;
  }
  bool open(Json container) {
    stack_.push_back(place(std::move(container)));
    return deeper();
  }

  BpeFile& file_;
  std::string_view origin_;
  Place place_ = Place::rest;
  std::vector<Json*> stack_;  // open containers; stable, because a parent does not grow while its last child is open
  int64_t depth_ = 0;
  size_t values_ = 0;
  std::string section_, key_;
  std::vector<std::string> pair_;
  bool seen_vocab_ = false, seen_merges_ = false;
};

// Checks and reads what stands beside vocabulary and merges.
class SettingsReader {
 public:
  SettingsReader(const FileReader& reader, BpeFile& file) : reader_(reader), file_(file) {}

  void read() {
    const Json& rest = reader_.rest;
    if (!rest.is_object()) reader_.broken("the file holds {}, not an object", rest.type_name());
    const Json* model = find(rest, "model");
    if (model == nullptr || !model->is_object()) reader_.broken("the key model, an object, is missing");
    read_model(*model);
    if (const Json* normalizer = find(rest, "normalizer")) read_normalizer(*normalizer);
    if (const Json* decoder = find(rest, "decoder")) check_decoder(*decoder);
    const Json* pre_tokenizer = find(rest, "pre_tokenizer");
    file_.pre_tokenizer = pre_tokenizer == nullptr ? "null" : pre_tokenizer->dump();
    if (const Json* tokens = find(rest, "added_tokens")) read_added_tokens(*tokens);
  }

 private:
  // The value of a key; nullptr when it is absent or null.
  static const Json* find(const Json& object, const char* key) {
    const auto found = object.find(key);
    return found == object.end() || found->is_null() ? nullptr : &*found;
  }
  std::string type_of(const Json& value, const char* what) const {
    const Json* type = value.is_object() ? find(value, "type") : nullptr;
    if (type == nullptr || !type->is_string()) reader_.broken("a {} is an object with a type", what);
    return type->get<std::string>();
  }
  bool flag(const Json& object, const char* key, bool fallback) const {
    const Json* value = find(object, key);
    if (value == nullptr) return fallback;
    if (!value->is_boolean()) reader_.broken("{} must be true or false; it is {}", key, value->type_name());
    return value->get<bool>();
  }

  void read_model(const Json& model) {
    if (const Json* type = find(model, "type"); type != nullptr && *type != "BPE")
      reader_.broken("only models of type BPE are supported; got {}", printable(type->dump()));
    if (file_.vocab.empty()) reader_.broken("model.vocab, an object of tokens and ids, is missing or empty");
    if (const Json* dropout = find(model, "dropout"); dropout != nullptr && *dropout != 0)
      reader_.broken("model.dropout is not supported");
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
      if (const Json* text = find(model, key); text != nullptr && *text != "")
        reader_.broken("model.{} is not supported", key);
    file_.ignore_merges = flag(model, "ignore_merges", false);
  }

  void read_normalizer(const Json& normalizer) {
    const std::string type = type_of(normalizer, "normalizer");
    if (type == "Sequence") {
      const Json* list = find(normalizer, "normalizers");
      if (list == nullptr || !list->is_array()) reader_.broken("a Sequence has a list \"normalizers\"");
      for (const Json& each : *list) read_normalizer(each);
    } else if (type == "NFC") {
      file_.nfc = true;
    } else {
      reader_.broken("the normalizer {} is not supported (known: NFC)", printable(type));
    }
  }

  void check_decoder(const Json& decoder) const {
    const std::string type = type_of(decoder, "decoder");
    if (type == "Sequence") {
      const Json* list = find(decoder, "decoders");
      if (list == nullptr || !list->is_array()) reader_.broken("a Sequence has a list \"decoders\"");
      for (const Json& each : *list) check_decoder(each);
    } else if (type != "ByteLevel") {
      reader_.broken("the decoder {} is not supported (known: ByteLevel)", printable(type));
    }
  }

  void read_added_tokens(const Json& tokens) {
    if (!tokens.is_array()) reader_.broken("added_tokens must be a list; it is {}", tokens.type_name());
    for (const Json& each : tokens) {
      const Json* content = each.is_object() ? find(each, "content") : nullptr;
      const Json* id = each.is_object() ? find(each, "id") : nullptr;
      if (content == nullptr || !content->is_string() || id == nullptr || !id->is_number_integer())
        reader_.broken("an added token has a content, a string, and an id, a whole number");
      AddedToken token;
      token.content = content->get<std::string>();
      if (token.content.empty() || token.content.size() > AddedToken::kMaxBytes)
        reader_.broken("an added token has between 1 and {} bytes; one has {}", AddedToken::kMaxBytes,
                       token.content.size());
      const int64_t number = id->get<int64_t>();
      if (number < 0 || number > INT32_MAX)
        reader_.broken("the id of added token \"{}\" is out of range: {}", printable(token.content), number);
      token.id = static_cast<int32_t>(number);
      token.special = flag(each, "special", false);
      token.single_word = flag(each, "single_word", false);
      token.lstrip = flag(each, "lstrip", false);
      token.rstrip = flag(each, "rstrip", false);
      token.normalized = flag(each, "normalized", !token.special);
      file_.added_tokens.push_back(std::move(token));
    }
  }

  const FileReader& reader_;
  BpeFile& file_;
};

}  // namespace

BpeFile read_bpe_file(std::string_view json, std::string_view origin) {
  BpeFile file;
  FileReader reader(file, origin);
  Json::sax_parse(json.begin(), json.end(), &reader);
  SettingsReader(reader, file).read();
  return file;
}

}  // namespace vigor
