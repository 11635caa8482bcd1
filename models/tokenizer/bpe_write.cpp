// The files of a tokenizer that was trained here, in the forms that Hugging Face's libraries load.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "models/tokenizer/bpe_trainer.h"
#include "models/tokenizer/char_class.h"

namespace vigor {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kChatTemplate =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
    "'\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

std::string json_string(const std::string& text) { return Json(text).dump(); }

// Written line by line: a JSON object that keeps the order of a long vocabulary would search itself for every token.
std::string model_json(const BpeVocabulary& vocabulary, size_t special_count) {
  std::vector<std::string> texts;  // of each id, as they stand in the file
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id)
    texts.push_back(id < special_count ? vocabulary.tokens[id] : to_byte_alphabet(vocabulary.tokens[id]));
  std::string json =
      R"({
    "type": "BPE",
    "dropout": null,
    "unk_token": null,
    "continuing_subword_prefix": null,
    "end_of_word_suffix": null,
    "fuse_unk": false,
    "byte_fallback": false,
    "ignore_merges": false,
    "vocab": {)";
  for (size_t id = 0; id < texts.size(); ++id)
    fmt::format_to(std::back_inserter(json), "{}\n      {}: {}", id == 0 ? "" : ",", json_string(texts[id]), id);
  json += "\n    },\n    \"merges\": [";
  for (size_t rank = 0; rank < vocabulary.merges.size(); ++rank) {
    const BpeMerge& merge = vocabulary.merges[rank];
    const std::string pair = texts[merge.left] + " " + texts[merge.right];
    fmt::format_to(std::back_inserter(json), "{}\n      {}", rank == 0 ? "" : ",", json_string(pair));
  }
  return json + "\n    ]\n  }";
}

std::string tokenizer_json(const BpeVocabulary& vocabulary, const BpeTrainOptions& options) {
  Json added = Json::array();
  for (const std::string& token : options.special_tokens) {
    added.push_back({{"id", added.size()},
                     {"content", token},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  const Json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
  const Json split = {
      {"type", "Split"}, {"pattern", {{"Regex", options.words.regex()}}}, {"behavior", "Isolated"}, {"invert", false}};
  Json file = {{"version", "1.0"},
               {"truncation", nullptr},
               {"padding", nullptr},
               {"added_tokens", std::move(added)},
               {"normalizer", nullptr}};
  file["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", Json::array({split, byte_level})}};
  file["post_processor"] = nullptr;
  file["decoder"] = byte_level;
  std::string json = file.dump(2);
  json.erase(json.rfind("\n}"));
  return json + ",\n  \"model\": " + model_json(vocabulary, options.special_tokens.size()) + "\n}\n";
}

std::string config_json(const BpeTrainOptions& options) {
  const std::vector<std::string>& tokens = options.special_tokens;
  const auto has = [&](const char* token) { return std::find(tokens.begin(), tokens.end(), token) != tokens.end(); };
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"}, {"clean_up_tokenization_spaces", false}};
  if (!tokens.empty()) {
    config["eos_token"] = tokens[0];
    config["pad_token"] = tokens[0];
    config["additional_special_tokens"] = std::vector<std::string>(tokens.begin() + 1, tokens.end());
  }
  if (has("<|im_start|>") && has("<|im_end|>")) config["chat_template"] = kChatTemplate;
  return config.dump(2) + "\n";
}

}  // namespace

std::unique_ptr<BpeTokenizer> make_bpe_tokenizer(const BpeVocabulary& vocabulary, const BpeTrainOptions& options) {
  BpeTokenizer::Companions companions;
  companions[std::string(BpeTokenizer::kConfigName)] = config_json(options);
  return BpeTokenizer::parse(tokenizer_json(vocabulary, options), "trained tokenizer", std::move(companions));
}

}  // namespace vigor
