#include "models/tokenizer/tokenizer.h"

#include "models/tokenizer/chunk_tokenizer.h"
#include "models/tokenizer/unicode.h"
#include "tensor/check.h"
#include "tensor/file.h"

namespace vigor {

std::string Tokenizer::decode(const std::vector<int32_t>& ids) const {
  StreamDecoder decoder(*this);
  std::string text;
  for (const int32_t id : ids) text += decoder.push(id);
  return text + decoder.finish();
}

std::string StreamDecoder::push(int32_t id) {
  pending_ += tokenizer_->token_bytes(id);
  const size_t complete = pending_.size() - unfinished_utf8(pending_);
  std::string text = valid_utf8(std::string_view(pending_).substr(0, complete));
  pending_.erase(0, complete);
  return text;
}

std::string StreamDecoder::finish() {
  std::string text = valid_utf8(pending_);
  pending_.clear();
  return text;
}

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& path) {
  if (!std::filesystem::is_directory(path)) return ChunkTokenizer::load(path);
  std::string unknown_form;
  for (const char* name : {"chunk_vocab_combined.json", "tokenizer.json", "vocab.json"}) {
    const std::filesystem::path file = path / name;
    if (!std::filesystem::exists(file)) continue;
    const std::string json = read_text(file, Tokenizer::kMaxFileBytes);
    if (ChunkTokenizer::recognizes(json)) return ChunkTokenizer::parse(json, file.string());
    if (unknown_form.empty()) unknown_form = name;
  }
  check(unknown_form.empty(), "tokenizer: {} must be a chunk vocabulary; it has no key chunk_to_idx",
        (path / unknown_form).string());
  fail("tokenizer: {} must hold chunk_vocab_combined.json, tokenizer.json or vocab.json; it has none of them",
       path.string());
}

}  // namespace vigor
