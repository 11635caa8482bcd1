#include "models/tokenizer/bpe_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "models/config_fields.h"
#include "models/tokenizer/char_class.h"
#include "models/tokenizer/content_hash.h"
#include "models/tokenizer/unicode.h"
#include "tensor/check.h"
#include "tensor/file.h"

namespace vigor {
namespace {

namespace fs = std::filesystem;
using Json =
    nlohmann::json;  // with sorted keys, so that any number of them is read quickly; transformers sorts them too

constexpr size_t kMaxCompanionBytes = size_t{4} << 20;
constexpr size_t kMaxHoles = 65536;  // ids without a token, beyond as many again as there are tokens
constexpr const char* kCompanions[] = {"tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"};

using IdByToken = std::unordered_map<std::string_view, int32_t>;

// The id of each token of the vocabulary, once ids and tokens are known to be different and in range.
IdByToken ids_of_vocabulary(const BpeFile& file, const std::string& origin) {
  IdByToken ids;
  ids.reserve(file.vocab.size());
  const size_t limit = 2 * file.vocab.size() + kMaxHoles;
  std::vector<bool> taken(limit);
  for (const auto& [token, id] : file.vocab) {
    if (static_cast<size_t>(id) >= limit)
      fail("tokenizer: {}: ids must be dense; of {} tokens, \"{}\" has id {}", origin, file.vocab.size(),
           printable(token), id);
    if (taken[id]) fail("tokenizer: {}: two tokens have the id {}; one is \"{}\"", origin, id, printable(token));
    taken[id] = true;
    if (!ids.emplace(token, id).second)
      fail("tokenizer: {}: the token \"{}\" stands in model.vocab twice", origin, printable(token));
  }
  return ids;
}

// The `tokenizers` library numbers added tokens itself: by the vocabulary, else one after the other behind everything.
// A file that says otherwise would be read with other ids there than here.
void check_added_ids(const BpeFile& file, const IdByToken& vocabulary, const std::string& origin) {
  IdByToken added;
  const auto size = static_cast<int32_t>(file.vocab.size());
  int32_t largest = -1;
  for (const AddedToken& token : file.added_tokens) {
    const auto known = vocabulary.find(token.content);
    const int32_t expected = known != vocabulary.end() ? known->second : std::max(size, largest + 1);
    if (token.id != expected)
      fail("tokenizer: {}: the added token \"{}\" has id {}, but by its place it is {}", origin,
           printable(token.content), token.id, expected);
    if (!added.emplace(token.content, token.id).second)
      fail("tokenizer: {}: the added token \"{}\" stands there twice", origin, printable(token.content));
    largest = std::max(largest, token.id);
  }
}

std::vector<BpeMerge> merges_by_id(const BpeFile& file, const IdByToken& ids, const std::string& origin) {
  std::vector<BpeMerge> merges;
  merges.reserve(file.merges.size());
  const auto id_of = [&](const std::string& token) {
    const auto found = ids.find(token);
    if (found == ids.end())
      fail("tokenizer: {}: the merges have the token \"{}\", which is not in model.vocab", origin, printable(token));
    return found->second;
  };
  for (const auto& [left, right] : file.merges) merges.push_back({id_of(left), id_of(right), id_of(left + right)});
  return merges;
}

// The text of a special token in a configuration: "eos_token": "<|end|>", or an object with its "content".
std::string token_setting(const Json& config, const char* key) {
  const auto found = config.find(key);
  if (found == config.end()) return "";
  if (found->is_string()) return found->get<std::string>();
  const bool object = found->is_object() && found->contains("content") && (*found)["content"].is_string();
  return object ? (*found)["content"].get<std::string>() : "";
}

Json parse_companion(const std::string& text, const std::string& origin, std::string_view name) {
  const auto limit_depth = [&](int depth, Json::parse_event_t, Json&) {  // writing recurses
    if (depth > BpeFile::kMaxDepth)
      fail("tokenizer: {}: the {} beside it is more than {} levels deep", origin, name, BpeFile::kMaxDepth);
    return true;
  };
  Json config = Json::parse(text, limit_depth, false);
  check(config.is_object(), "tokenizer: {}: the {} beside it is not a JSON object", origin, name);
  return config;
}

// eos_token_id of a model's config.json: an id or a list of ids, of which the first ends a document.
std::optional<int32_t> end_id_of_model(const fs::path& config_file) {
  if (!fs::is_regular_file(config_file)) return std::nullopt;
  ConfigFields config(read_text(config_file, kMaxCompanionBytes), config_file.string());
  const std::vector<int64_t> ids = config.integers("eos_token_id");
  config.finish();
  if (ids.empty() || ids[0] < 0 || ids[0] > INT32_MAX) return std::nullopt;
  return static_cast<int32_t>(ids[0]);
}

}  // namespace

bool BpeTokenizer::recognizes(std::string_view json) { return json.find("\"merges\"") != json.npos; }

std::unique_ptr<BpeTokenizer> BpeTokenizer::load(const fs::path& file, std::string json) {
  Companions companions;
  for (const char* name : kCompanions) {
    const fs::path path = file.parent_path() / name;
    if (fs::is_regular_file(path)) companions[name] = read_text(path, kMaxCompanionBytes);
  }
  auto tokenizer = parse(std::move(json), file.string(), std::move(companions));
  if (tokenizer->end_id_) return tokenizer;
  const std::optional<int32_t> id = end_id_of_model(file.parent_path() / "config.json");
  if (!id || tokenizer->token_bytes(*id).empty()) return tokenizer;
  // From here on the tokenizer goes other ways than the model, so its own configuration has to name the token.
  std::string& own = tokenizer->companions_[std::string(kConfigName)];
  Json config = own.empty() ? Json::object() : parse_companion(own, file.string(), kConfigName);
  config["eos_token"] = tokenizer->token_bytes(*id);
  own = config.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  tokenizer->read_companions(file.string());
  return tokenizer;
}

std::unique_ptr<BpeTokenizer> BpeTokenizer::parse(std::string json, const std::string& origin, Companions companions) {
  BpeFile file = read_bpe_file(json, origin);
  return std::unique_ptr<BpeTokenizer>(
      new BpeTokenizer(std::move(json), origin, std::move(companions), std::move(file)));
}

BpeTokenizer::BpeTokenizer(std::string json, const std::string& origin, Companions companions, BpeFile file)
    : json_(std::move(json)),
      companions_(std::move(companions)),
      nfc_(file.nfc),
      pre_tokenizer_(PreTokenizer::parse(file.pre_tokenizer, origin)) {
  const IdByToken vocabulary = ids_of_vocabulary(file, origin);
  check_added_ids(file, vocabulary, origin);
  int32_t largest = 0;
  for (const auto& [token, id] : file.vocab) largest = std::max(largest, id);
  for (const AddedToken& token : file.added_tokens) largest = std::max(largest, token.id);
  tokens_.resize(static_cast<size_t>(largest) + 1);
  special_.resize(tokens_.size());

  std::vector<int32_t> word_ids;
  std::array<int32_t, 256> byte_ids;
  byte_ids.fill(-1);
  for (const auto& [token, id] : file.vocab) {
    if (!from_byte_alphabet(token, tokens_[id])) {
      tokens_[id] = token;  // cannot come out of merging bytes
      continue;
    }
    word_ids.push_back(id);
    if (tokens_[id].size() == 1) byte_ids[static_cast<uint8_t>(tokens_[id][0])] = id;
  }
  const auto missing = std::count(byte_ids.begin(), byte_ids.end(), -1);
  check(missing == 0, "tokenizer: {}: only byte-level BPE is supported; model.vocab lacks {} of the 256 bytes", origin,
        missing);
  merges_.emplace(tokens_, word_ids, byte_ids, merges_by_id(file, vocabulary, origin), file.ignore_merges);
  merge_count_ = static_cast<int64_t>(file.merges.size());

  added_tokens_ = std::move(file.added_tokens);
  std::vector<AddedToken> raw, normal;
  for (const AddedToken& token : added_tokens_) {
    tokens_[token.id] = token.content;
    special_[token.id] = token.special;
    (token.normalized ? normal : raw).push_back(token);
  }
  std::string buffer;
  if (nfc_)
    for (AddedToken& token : normal) token.content = normal_form_c(token.content, buffer);
  raw_matcher_ = AddedTokenMatcher(std::move(raw));
  normal_matcher_ = AddedTokenMatcher(std::move(normal));

  read_companions(origin);
}

void BpeTokenizer::read_companions(const std::string& origin) {
  for (const std::string_view name : {std::string_view(kCompanions[0]), std::string_view(kCompanions[1])}) {
    const auto companion = companions_.find(name);
    if (companion == companions_.end()) continue;
    const std::string token = token_setting(parse_companion(companion->second, origin, name), "eos_token");
    if (token.empty()) continue;
    end_id_ = special_id(token);
    check(end_id_.has_value(), "tokenizer: {}: the eos_token \"{}\" of {} is no token", origin, printable(token), name);
    break;
  }
  ContentHash hash;
  hash.update("bpe tokenizer 1");
  hash.update(static_cast<uint64_t>(end_id_ ? *end_id_ : -1));
  hash.update(json_);
  fingerprint_ = hash.value();
}

std::optional<int32_t> BpeTokenizer::special_id(std::string_view text) const {
  for (const AddedToken& token : added_tokens_)
    if (token.content == text) return token.id;
  return std::nullopt;
}

bool BpeTokenizer::is_special(int32_t id) const { return id >= 0 && id < vocab_size() && special_[id]; }

std::string_view BpeTokenizer::token_bytes(int32_t id) const {
  return id >= 0 && id < vocab_size() ? std::string_view(tokens_[id]) : std::string_view();
}

void BpeTokenizer::encode(std::string_view text, std::vector<int32_t>& ids) const {
  std::string valid, normal;
  std::vector<TextPart> raw_parts, parts;
  PreTokenizer::Words words;
  raw_matcher_.split(valid_utf8(text, valid), raw_parts);
  for (const TextPart& raw : raw_parts) {
    if (raw.id >= 0) {
      ids.push_back(raw.id);
      continue;
    }
    parts.clear();
    normal_matcher_.split(nfc_ ? normal_form_c(raw.text, normal) : raw.text, parts);
    for (const TextPart& part : parts) {
      if (part.id >= 0) ids.push_back(part.id);
      else encode_part(part.text, ids, words);
    }
  }
}

void BpeTokenizer::encode_part(std::string_view text, std::vector<int32_t>& ids, PreTokenizer::Words& words) const {
  if (const std::optional<WordPattern>& pattern = pre_tokenizer_.only_pattern()) {
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = pattern->match(text, begin);
      merges_->encode(text.substr(begin, end - begin), ids);
      begin = end;
    }
    return;
  }
  pre_tokenizer_.split(text, words);
  std::string bytes;
  for (const Span& span : words.spans) {
    const std::string_view word = words.text.substr(span.begin, span.end - span.begin);
    if (words.in_alphabet) from_byte_alphabet(word, bytes);
    merges_->encode(words.in_alphabet ? std::string_view(bytes) : word, ids);
  }
}

void BpeTokenizer::save(const fs::path& folder) const {
  write_file(folder / kFileName, json_);
  for (const auto& [name, text] : companions_) write_file(folder / name, text);
}

}  // namespace vigor
