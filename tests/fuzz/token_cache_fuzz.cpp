// Random bytes as a token cache file: refused, or ids that fit the vocabulary. The first byte chooses whether the bytes
// are taken as they are or a valid footer is put behind them, since a random one never has the right hash.
#include <cstdlib>
#include <string>
#include <vector>

#include "models/tokenizer/content_hash.h"
#include "tests/fuzz/fuzz.h"
#include "train/data/token_cache.h"

namespace {

constexpr vigor::TokenCacheKey kKey{1, 2, 0};
constexpr int64_t kVocabSize = 300;

// The layout described in token_cache.cpp, written down a second time on purpose.
std::string with_footer(std::string ids) {
  const auto hash_of = [](std::string_view bytes) { return vigor::content_hash(bytes); };
  const uint64_t fields[] = {kKey.source, kKey.tokenizer, kKey.split, ids.size() / 2, hash_of(ids)};
  const uint32_t version_and_width[] = {1, 2};
  std::string footer = "VIGORIDS";
  footer.append(reinterpret_cast<const char*>(version_and_width), sizeof version_and_width);
  footer.append(reinterpret_cast<const char*>(fields), sizeof fields);
  const uint64_t footer_hash = hash_of(footer);
  footer.append(reinterpret_cast<const char*>(&footer_hash), sizeof footer_hash);
  return ids + footer;
}

}  // namespace

void vigor::fuzz_one(std::string_view input, const std::filesystem::path& folder) {
  if (input.empty()) return;
  std::string content(input.substr(1));
  if (input[0] % 2 != 0) content = with_footer(std::move(content));
  const auto stream = read_token_cache(put_file(folder / "cache.ids", content), kKey, kVocabSize);
  if (!stream) return;
  std::vector<int32_t> ids(static_cast<size_t>(stream->size()));
  stream->read(0, ids);
  for (const int32_t id : ids) {
    if (id < 0 || id >= kVocabSize) std::abort();
  }
}
