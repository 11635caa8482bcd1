#include "models/tokenizer/tokenizer.h"

#include "models/tokenizer/bpe_tokenizer.h"
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

namespace {

// The tokenizer in a file of a form known here; nullptr for any other JSON.
std::unique_ptr<Tokenizer> read_tokenizer(const std::filesystem::path& file) {
  std::string json = read_text(file, Tokenizer::kMaxFileBytes);
  if (BpeTokenizer::recognizes(json)) return BpeTokenizer::load(file, std::move(json));
  if (ChunkTokenizer::recognizes(json)) return ChunkTokenizer::parse(json, file.string());
  return nullptr;
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& path) {
  std::string unknown_form;
  if (!std::filesystem::is_directory(path)) {
    if (auto tokenizer = read_tokenizer(path)) return tokenizer;
    unknown_form = path.string();
  } else {
    for (const char* name : {"chunk_vocab_combined.json", "tokenizer.json", "vocab.json"}) {
      if (!std::filesystem::exists(path / name)) continue;
      if (auto tokenizer = read_tokenizer(path / name)) return tokenizer;
      if (unknown_form.empty()) unknown_form = (path / name).string();
    }
  }
  check(unknown_form.empty(),
        "tokenizer: {} must be a chunk vocabulary or a byte-level BPE; it has neither the key chunk_to_idx nor merges",
        unknown_form);
  fail("tokenizer: {} must hold chunk_vocab_combined.json, tokenizer.json or vocab.json; it has none of them",
       path.string());
}

}  // namespace vigor
