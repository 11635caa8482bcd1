// The files of a tokenizer that was trained here, in the forms that Hugging Face's libraries load.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "models/tokenizer/bpe_trainer.h"
#include "models/tokenizer/char_class.h"

namespace vigor {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kChatTemplate =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
    "'\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

std::string tokenizer_json(const BpeVocabulary& vocabulary, const BpeTrainOptions& options) {
  const auto special_count = static_cast<int32_t>(options.special_tokens.size());
  Json added = Json::array(), vocab = Json::object(), merges = Json::array();
  std::vector<std::string> texts;  // of each id, as they stand in the file
  for (int32_t id = 0; id < static_cast<int32_t>(vocabulary.tokens.size()); ++id) {
    const std::string& token = vocabulary.tokens[id];
    texts.push_back(id < special_count ? token : to_byte_alphabet(token));
    vocab.push_back({texts.back(), id});
    if (id >= special_count) continue;
    added.push_back({{"id", id},
                     {"content", token},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  for (const BpeMerge& merge : vocabulary.merges) merges.push_back(texts[merge.left] + " " + texts[merge.right]);

  const auto byte_level = [] {
    return Json{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
  };
  const Json split = {
      {"type", "Split"}, {"pattern", {{"Regex", options.words.regex()}}}, {"behavior", "Isolated"}, {"invert", false}};
  Json model = {{"type", "BPE"},
                {"dropout", nullptr},
                {"unk_token", nullptr},
                {"continuing_subword_prefix", nullptr},
                {"end_of_word_suffix", nullptr},
                {"fuse_unk", false},
                {"byte_fallback", false},
                {"ignore_merges", false},
                {"vocab", std::move(vocab)},
                {"merges", std::move(merges)}};
  Json file = {{"version", "1.0"},
               {"truncation", nullptr},
               {"padding", nullptr},
               {"added_tokens", std::move(added)},
               {"normalizer", nullptr}};
  file["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", Json::array({split, byte_level()})}};
  file["post_processor"] = nullptr;
  file["decoder"] = byte_level();
  file["model"] = std::move(model);
  return file.dump(2) + "\n";
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
