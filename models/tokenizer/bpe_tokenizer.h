#pragma once
// Byte-level BPE in the form of Hugging Face's tokenizer.json; ids are those of the `tokenizers` library called with
// add_special_tokens = false: nothing is put before or after a text, whatever the file's post_processor says. Text is
// cut at added tokens, normalised, cut into words (pre_tokenizer.h), and each word is merged (bpe_merges.h).
//
// The file is kept as it was read, and so are its companions in the same folder, so saving gives them back unchanged.
#include <map>
#include <optional>

#include "models/tokenizer/added_tokens.h"
#include "models/tokenizer/bpe_file.h"
#include "models/tokenizer/bpe_merges.h"
#include "models/tokenizer/pre_tokenizer.h"
#include "models/tokenizer/tokenizer.h"

namespace vigor {

class BpeTokenizer : public Tokenizer {
 public:
  static constexpr std::string_view kFileName = "tokenizer.json";
  static constexpr std::string_view kConfigName = "tokenizer_config.json";

  // Whether the text is meant to be such a file.
  static bool recognizes(std::string_view json);
  // `json` is the text of `file`, tokenizer.json; tokenizer_config.json, special_tokens_map.json and
  // chat_template.jinja are read from beside it. The end token is eos_token of the first two or, if they have none,
  // eos_token_id of config.json. std::invalid_argument, one line, for whatever is wrong or not supported.
  static std::unique_ptr<BpeTokenizer> load(const std::filesystem::path& file, std::string json);
  // From texts; `companions` are such files by name.
  using Companions = std::map<std::string, std::string, std::less<>>;
  static std::unique_ptr<BpeTokenizer> parse(std::string json, const std::string& origin, Companions companions = {});

  std::string name() const override { return "bpe"; }
  int64_t vocab_size() const override { return static_cast<int64_t>(tokens_.size()); }  // the highest id and one
  uint64_t fingerprint() const override { return fingerprint_; }
  std::optional<int32_t> end_id() const override { return end_id_; }
  std::optional<int32_t> special_id(std::string_view text) const override;
  bool is_special(int32_t id) const override;
  using Tokenizer::encode;
  void encode(std::string_view text, std::vector<int32_t>& ids) const override;
  std::string_view token_bytes(int32_t id) const override;  // nothing for ids that no token has
  void save(const std::filesystem::path& folder) const override;

  const std::string& json() const { return json_; }
  const Companions& companions() const { return companions_; }
  const std::vector<AddedToken>& added_tokens() const { return added_tokens_; }
  int64_t merge_count() const { return merge_count_; }

 private:
  BpeTokenizer(std::string json, const std::string& origin, Companions companions, BpeFile file);
  void encode_part(std::string_view text, std::vector<int32_t>& ids, PreTokenizer::Words& words) const;
  void read_companions(const std::string& origin);  // for the end token, of which the fingerprint depends

  std::string json_;
  Companions companions_;
  std::vector<std::string> tokens_;  // bytes by id
  std::vector<AddedToken> added_tokens_;
  std::vector<bool> special_;                       // by id
  AddedTokenMatcher raw_matcher_, normal_matcher_;  // before and after normalisation
  bool nfc_;
  PreTokenizer pre_tokenizer_;
  std::optional<BpeMerges> merges_;
  int64_t merge_count_ = 0;
  std::optional<int32_t> end_id_;
  uint64_t fingerprint_ = 0;
};

}  // namespace vigor
