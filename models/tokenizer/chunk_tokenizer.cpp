#include "models/tokenizer/chunk_tokenizer.h"

#include <algorithm>
#include <array>

#include "models/tokenizer/content_hash.h"
#include "models/tokenizer/unicode.h"
#include "tensor/check.h"

namespace vigor {
namespace {

// The fixed common trigrams, as one bit for each third letter: bits[26 * first + second].
constexpr std::array<uint32_t, 26 * 26> make_trigram_bits() {
  constexpr std::string_view trigrams =
      "the and ing ion tio for tha ter hat his ere ent her was you are not but can all whi one our out whe hav thi wit";
  std::array<uint32_t, 26 * 26> bits{};
  for (size_t i = 0; i < trigrams.size(); i += 4) {
    bits[26 * (trigrams[i] - 'a') + (trigrams[i + 1] - 'a')] |= 1u << (trigrams[i + 2] - 'a');
  }
  return bits;
}
constexpr std::array<uint32_t, 26 * 26> kTrigramBits = make_trigram_bits();

bool is_common_trigram(const char32_t* points) {
  const char32_t a = points[0] - U'a', b = points[1] - U'a', c = points[2] - U'a';
  return a < 26 && b < 26 && c < 26 && (kTrigramBits[26 * a + b] >> c & 1) != 0;
}

}  // namespace

size_t chunk_length(std::u32string_view points, size_t position) {
  const size_t left = points.size() - position;
  if (left < 3) return left;
  const bool three = is_common_trigram(points.data() + position) || (position > 0 && points[position - 1] == U' ') ||
                     (left > 3 && points[position + 3] == U' ');
  return three ? 3 : 2;
}

ChunkTokenizer::ChunkTokenizer(std::vector<std::string> chunks, int64_t vocab_size, int32_t unknown_id)
    : chunks_(std::move(chunks)), vocab_size_(vocab_size == 0 ? chunk_count() : vocab_size), unknown_id_(unknown_id) {
  check(!chunks_.empty() && chunk_count() <= kMaxVocabSize, "chunk tokenizer: between 1 and {} chunks; got {}",
        kMaxVocabSize, chunks_.size());
  check(vocab_size_ >= chunk_count() && vocab_size_ <= kMaxVocabSize,
        "chunk tokenizer: vocab_size must be between the number of chunks, {}, and {}; got {}", chunk_count(),
        kMaxVocabSize, vocab_size_);
  check(unknown_id >= 0 && unknown_id < chunk_count(), "chunk tokenizer: unk_idx must be below {}; got {}",
        chunk_count(), unknown_id);
  ContentHash hash;
  hash.update("chunk tokenizer 1");
  hash.update(static_cast<uint64_t>(vocab_size_));
  hash.update(static_cast<uint64_t>(unknown_id_));
  for (int32_t id = 0; id < chunk_count(); ++id) {
    const std::string& chunk = chunks_[id];
    check(!chunk.empty() && chunk.size() <= kMaxChunkBytes,
          "chunk tokenizer: a chunk has between 1 and {} bytes; id {} has {}", kMaxChunkBytes, id, chunk.size());
    hash.update(static_cast<uint64_t>(chunk.size()));
    hash.update(chunk);
    const std::u32string points = decode_utf8(chunk);
    if (points.size() > 3) continue;  // no text is cut into such a chunk: it can be decoded only
    int32_t& slot = ids_[chunk_key(points)];
    check(slot == 0, "chunk tokenizer: chunks must differ; ids {} and {} are both '{}'", slot - 1, id, chunk);
    slot = id + 1;  // 0 is a fresh slot
  }
  fingerprint_ = hash.value();
}

void ChunkTokenizer::encode(std::string_view text, std::vector<int32_t>& ids) const {
  const std::u32string points = lower_case(text);
  for (size_t position = 0; position < points.size();) {
    size_t length = chunk_length(points, position);
    const int32_t* slot = ids_.find(chunk_key({points.data() + position, length}));
    while (slot == nullptr && length > 1) slot = ids_.find(chunk_key({points.data() + position, --length}));
    ids.push_back(slot != nullptr ? *slot - 1 : unknown_id_);
    position += length;  // 1 for the unknown token
  }
}

std::string_view ChunkTokenizer::token_bytes(int32_t id) const {
  return chunks_[id >= 0 && id < chunk_count() ? id : unknown_id_];
}

void ChunkVocabularyBuilder::add(std::string_view document) {
  const std::u32string points = lower_case(document);
  for (size_t position = 0; position < points.size();) {
    const size_t length = chunk_length(points, position);
    ++counts_[chunk_key({points.data() + position, length})];
    position += length;
  }
}

std::unique_ptr<ChunkTokenizer> ChunkVocabularyBuilder::build(const Options& options) const {
  check(options.max_size >= 0 && options.max_size <= ChunkTokenizer::kMaxVocabSize,
        "chunk vocabulary: max_size must be between 1 and {} (0: no cap); got {}", ChunkTokenizer::kMaxVocabSize,
        options.max_size);
  check(!options.pad || options.max_size > 0, "chunk vocabulary: padding needs a max_size to pad to");
  struct Counted {
    ChunkKey key;
    uint64_t count;
  };
  std::vector<Counted> counted;
  counts_.for_each([&](ChunkKey key, uint64_t count) {
    if (count >= options.min_count) counted.push_back({key, count});
  });
  const size_t cap = options.max_size > 0 ? options.max_size : ChunkTokenizer::kMaxVocabSize;
  const size_t kept = std::min(counted.size(), cap - 1);
  std::partial_sort(counted.begin(), counted.begin() + kept, counted.end(), [](const Counted& a, const Counted& b) {
    return a.count != b.count ? a.count > b.count : a.key < b.key;
  });
  std::vector<std::string> chunks{std::string(ChunkTokenizer::kUnknown)};
  for (size_t i = 0; i < kept; ++i) {
    std::string& chunk = chunks.emplace_back();
    for (const char32_t point : chunk_points(counted[i].key)) append_utf8(point, chunk);
  }
  return std::make_unique<ChunkTokenizer>(std::move(chunks), options.pad ? options.max_size : 0);
}

}  // namespace vigor
