// The JSON file of the chunk tokenizer. It is read by events instead of into a document: memory stays proportional to
// the two maps, repeated keys are seen, and every message can name the key it is about.
#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "models/tokenizer/chunk_tokenizer.h"
#include "tensor/check.h"
#include "tensor/file.h"

namespace vigor {
namespace {

constexpr size_t kMaxEntries = size_t{1} << 22;

struct VocabularyContent {
  std::unordered_map<std::string, int64_t> chunk_to_idx;
  std::unordered_map<int64_t, std::string> idx_to_chunk;
  int64_t vocab_size = -1;
  std::string unk_token{ChunkTokenizer::kUnknown};
  int64_t unk_idx = 0;
  bool has_chunk_to_idx = false, has_idx_to_chunk = false;
};

// "17" -> 17; -1 for anything that Python's str(int) would not write for an id.
int64_t parse_id(std::string_view text) {
  if (text.empty() || text.size() > 9 || (text.size() > 1 && text[0] == '0')) return -1;
  int64_t id = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return -1;
    id = 10 * id + (c - '0');
  }
  return id;
}

// A piece of a file in a message: short and on one line.
std::string shown(std::string_view text) {
  std::string json = nlohmann::json(text.substr(0, 40)).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  return text.size() > 40 ? json + "..." : json;
}

class VocabularyReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  VocabularyReader(VocabularyContent& content, std::string_view origin) : content_(content), origin_(origin) {}

  bool null() override { return scalar("null"); }
  bool boolean(bool) override { return scalar("a boolean"); }
  bool number_float(double, const std::string&) override { return scalar("a fraction"); }
  bool binary(nlohmann::json::binary_t&) override { return scalar("binary data"); }
  bool number_integer(int64_t value) override { return integer(value); }
  bool number_unsigned(uint64_t value) override {
    constexpr uint64_t kLargest = std::numeric_limits<int64_t>::max();
    return integer(static_cast<int64_t>(value < kLargest ? value : kLargest));
  }

  bool string(std::string& value) override {
    if (depth_ == 2 && section_ == "idx_to_chunk") {
      const int64_t id = parse_id(key_);
      if (id < 0) broken("idx_to_chunk has the key {}, which is not an id", shown(key_));
      check_chunk(value);
      check_room(content_.idx_to_chunk.size());
      if (!content_.idx_to_chunk.emplace(id, value).second) broken("idx_to_chunk has the key \"{}\" twice", id);
      return true;
    }
    if (depth_ == 1 && section_ == "unk_token") {
      check_chunk(value);
      content_.unk_token = value;
      return true;
    }
    return scalar("a string");
  }

  bool start_object(size_t) override {
    if (depth_ == 1 && section_ == "chunk_to_idx") content_.has_chunk_to_idx = once(content_.has_chunk_to_idx);
    else if (depth_ == 1 && section_ == "idx_to_chunk") content_.has_idx_to_chunk = once(content_.has_idx_to_chunk);
    else if (depth_ > 0) scalar("an object");
    ++depth_;
    return true;
  }
  bool start_array(size_t) override {
    if (depth_ == 0) broken("the file holds an array, not an object");
    scalar("an array");
    ++depth_;
    return true;
  }
  bool end_object() override { return --depth_ >= 0; }
  bool end_array() override { return --depth_ >= 0; }
  bool key(std::string& name) override {
    if (depth_ == 1) section_ = name;
    if (depth_ == 2) key_ = name;
    return true;
  }
  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception&) override {
    broken("not valid JSON at byte {}", position);
  }

 private:
  template <class... Args>
  [[noreturn]] void broken(fmt::format_string<Args...> text, Args&&... args) const {
    fail("chunk tokenizer: {}: {}", origin_, fmt::format(text, std::forward<Args>(args)...));
  }

  bool integer(int64_t value) {
    if (depth_ == 2 && section_ == "chunk_to_idx") {
      check_chunk(key_);
      check_room(content_.chunk_to_idx.size());
      if (!content_.chunk_to_idx.emplace(key_, value).second) broken("chunk_to_idx has {} twice", shown(key_));
      return true;
    }
    if (depth_ == 1 && section_ == "vocab_size") {
      content_.vocab_size = value;
      return true;
    }
    if (depth_ == 1 && section_ == "unk_idx") {
      content_.unk_idx = value;
      return true;
    }
    return scalar("a number");
  }

  // A value that none of our keys takes: an error inside our keys, ignored below any other key.
  bool scalar(std::string_view kind) const {
    if (depth_ == 0) broken("the file holds {}, not an object", kind);
    if (section_ == "chunk_to_idx") broken("chunk_to_idx must map chunks to whole numbers; it holds {}", kind);
    if (section_ == "idx_to_chunk") broken("idx_to_chunk must map ids to strings; it holds {}", kind);
    if (section_ == "vocab_size" || section_ == "unk_idx")
      broken("{} must be a whole number; it is {}", section_, kind);
    if (section_ == "unk_token") broken("unk_token must be a string; it is {}", kind);
    return true;
  }
  bool once(bool already) const {
    if (already) broken("the key {} stands there twice", section_);
    return true;
  }
  void check_chunk(const std::string& chunk) const {
    if (chunk.empty() || chunk.size() > ChunkTokenizer::kMaxChunkBytes) {
      broken("a chunk has between 1 and {} bytes; {} has {}", ChunkTokenizer::kMaxChunkBytes, shown(chunk),
             chunk.size());
    }
  }
  void check_room(size_t entries) const {
    if (entries >= kMaxEntries) broken("{} has more than {} entries", section_, kMaxEntries);
  }

  VocabularyContent& content_;
  std::string_view origin_;
  int64_t depth_ = 0;
  std::string section_, key_;  // the current key at depth 1 and at depth 2
};

// The chunks by id, once both maps are known to say the same.
std::vector<std::string> chunks_by_id(const VocabularyContent& content, std::string_view origin) {
  const int64_t count = static_cast<int64_t>(content.chunk_to_idx.size());
  std::vector<std::string> chunks(content.chunk_to_idx.size());
  for (const auto& [chunk, id] : content.chunk_to_idx) {
    if (id < 0 || id >= count) {
      fail("chunk tokenizer: {}: chunk_to_idx has {} chunks, so ids are 0 to {}; {} has {}", origin, count, count - 1,
           shown(chunk), id);
    }
    if (!chunks[id].empty()) {
      fail("chunk tokenizer: {}: chunk_to_idx gives the id {} to both {} and {}", origin, id, shown(chunks[id]),
           shown(chunk));
    }
    chunks[id] = chunk;
  }
  check(content.idx_to_chunk.size() == chunks.size(),
        "chunk tokenizer: {}: chunk_to_idx and idx_to_chunk must be inverse; they have {} and {} entries", origin,
        count, content.idx_to_chunk.size());
  for (const auto& [id, chunk] : content.idx_to_chunk) {
    if (id >= count || chunks[id] != chunk) {
      fail("chunk tokenizer: {}: chunk_to_idx and idx_to_chunk must be inverse; idx_to_chunk has {} for id {}", origin,
           shown(chunk), id);
    }
  }
  return chunks;
}

}  // namespace

std::unique_ptr<ChunkTokenizer> ChunkTokenizer::parse(std::string_view json, std::string_view origin) {
  VocabularyContent content;
  VocabularyReader reader(content, origin);
  nlohmann::json::sax_parse(json.begin(), json.end(), &reader);
  check(content.has_chunk_to_idx && content.has_idx_to_chunk && content.vocab_size != -1,
        "chunk tokenizer: {}: a chunk vocabulary has the keys chunk_to_idx, idx_to_chunk and vocab_size; {} is missing",
        origin,
        !content.has_chunk_to_idx   ? "chunk_to_idx"
        : !content.has_idx_to_chunk ? "idx_to_chunk"
                                    : "vocab_size");
  std::vector<std::string> chunks = chunks_by_id(content, origin);
  const int64_t count = static_cast<int64_t>(chunks.size());
  if (content.unk_idx < 0 || content.unk_idx >= count || chunks[content.unk_idx] != content.unk_token) {
    fail("chunk tokenizer: {}: the chunk with id unk_idx = {} must be unk_token = {}", origin, content.unk_idx,
         shown(content.unk_token));
  }
  check(content.vocab_size >= count && content.vocab_size <= kMaxVocabSize,
        "chunk tokenizer: {}: vocab_size must be between the number of chunks, {}, and {}; it is {}", origin, count,
        kMaxVocabSize, content.vocab_size);
  return std::make_unique<ChunkTokenizer>(std::move(chunks), content.vocab_size, static_cast<int32_t>(content.unk_idx));
}

bool ChunkTokenizer::recognizes(std::string_view json) {
  return json.find("\"chunk_to_idx\"") != std::string_view::npos;
}

std::unique_ptr<ChunkTokenizer> ChunkTokenizer::load(const std::filesystem::path& file) {
  return parse(read_text(file, Tokenizer::kMaxFileBytes), file.string());
}

std::string ChunkTokenizer::to_json() const {
  const auto string = [](std::string_view text) {
    return nlohmann::json(text).dump(-1, ' ', /*ensure_ascii=*/false, nlohmann::json::error_handler_t::replace);
  };
  std::string forward, backward;
  for (int64_t id = 0; id < chunk_count(); ++id) {
    const std::string chunk = string(chunks_[id]);
    const char* separator = id == 0 ? "" : ", ";
    fmt::format_to(std::back_inserter(forward), "{}{}: {}", separator, chunk, id);
    fmt::format_to(std::back_inserter(backward), "{}\"{}\": {}", separator, id, chunk);
  }
  return fmt::format(
      "{{\"chunk_to_idx\": {{{}}}, \"idx_to_chunk\": {{{}}}, \"vocab_size\": {}, \"unk_token\": {}, \"unk_idx\": "
      "{}}}\n",
      forward, backward, vocab_size_, string(chunks_[unknown_id_]), unknown_id_);
}

void ChunkTokenizer::save(const std::filesystem::path& folder) const { write_file(folder / kFileName, to_json()); }

}  // namespace vigor
