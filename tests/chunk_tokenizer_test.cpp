// The chunk tokenizer against the plain Python reference (tests/parity/chunk_reference.py), and its file.
#include "models/tokenizer/chunk_tokenizer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "models/tokenizer/unicode.h"
#include "tensor/file.h"
#include "tests/support/error_text.h"

namespace vigor {
namespace {

using nlohmann::json;
using testing::error_text;

json fixture() {
  std::ifstream file(VIGOR_SOURCE_DIR "/tests/fixtures/chunk_tokenizer.json");
  return json::parse(file);
}

std::string bytes_of_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2)
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

std::string utf8(std::u32string_view points) {
  std::string text;
  for (const char32_t point : points) append_utf8(point, text);
  return text;
}

TEST(ChunkTokenizer, LowerCaseAndReplacementAreThoseOfPython) {
  const json data = fixture();
  for (size_t i = 0; i < data["documents"].size(); ++i) {
    EXPECT_EQ(utf8(lower_case(data["documents"][i].get<std::string>())), data["lower"][i].get<std::string>());
  }
  for (size_t i = 0; i < data["invalid"].size(); ++i) {
    const std::string bytes = bytes_of_hex(data["invalid"][i]);
    EXPECT_EQ(valid_utf8(bytes), data["invalid_text"][i].get<std::string>()) << data["invalid"][i];
  }
}

TEST(ChunkTokenizer, VocabulariesAndIdsAreThoseOfPython) {
  const json data = fixture();
  std::vector<std::string> texts = data["documents"], invalid = data["invalid"];
  ChunkVocabularyBuilder builder;
  for (const std::string& text : texts) builder.add(text);
  for (const std::string probe : data["probes"]) texts.push_back(probe);
  ASSERT_GE(data["vocabularies"].size(), 5u);
  for (const json& expected : data["vocabularies"]) {
    const auto tokenizer = builder.build({expected["max_size"], expected["min_count"], /*pad=*/false});
    ASSERT_EQ(tokenizer->vocab_size(), static_cast<int64_t>(expected["chunks"].size()));
    for (int32_t id = 0; id < tokenizer->vocab_size(); ++id) {
      ASSERT_EQ(tokenizer->token_bytes(id), expected["chunks"][id].get<std::string>());
    }
    for (size_t i = 0; i < texts.size(); ++i) {
      EXPECT_EQ(tokenizer->encode(texts[i]), expected["ids"][i].get<std::vector<int32_t>>()) << texts[i];
    }
    for (size_t i = 0; i < invalid.size(); ++i) {
      EXPECT_EQ(tokenizer->encode(bytes_of_hex(invalid[i])), expected["invalid_ids"][i].get<std::vector<int32_t>>());
    }
  }
}

TEST(ChunkTokenizer, DecodingGivesTheLowerCasedTextBack) {
  const json data = fixture();
  ChunkVocabularyBuilder builder;
  for (const std::string text : data["documents"]) builder.add(text);
  const auto tokenizer = builder.build({});
  for (size_t i = 0; i < data["documents"].size(); ++i) {
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(data["documents"][i].get<std::string>())), data["lower"][i]);
  }
  EXPECT_EQ(tokenizer->decode({-1, 0, 1 << 30}), "<UNK><UNK><UNK>");
}

TEST(ChunkTokenizer, PaddedIdsAreNeverProduced) {
  ChunkVocabularyBuilder builder;
  builder.add("hello");  // he ll o
  const auto tokenizer = builder.build({/*max_size=*/10, /*min_count=*/1, /*pad=*/true});
  EXPECT_EQ(tokenizer->vocab_size(), 10);
  EXPECT_EQ(tokenizer->chunk_count(), 4);
  EXPECT_EQ(tokenizer->encode("hello x"), (std::vector<int32_t>{1, 2, 3, 0, 0}));
  EXPECT_EQ(tokenizer->token_bytes(7), "<UNK>");
  const auto loaded = ChunkTokenizer::parse(tokenizer->to_json(), "saved");
  EXPECT_EQ(loaded->vocab_size(), 10);
  EXPECT_EQ(loaded->fingerprint(), tokenizer->fingerprint());
  EXPECT_NE(builder.build({})->fingerprint(), tokenizer->fingerprint());
}

TEST(ChunkTokenizer, FolderRoundTrip) {
  const std::filesystem::path folder = std::filesystem::path(::testing::TempDir()) / "chunk_tokenizer_folder";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  EXPECT_NE(error_text([&] { load_tokenizer(folder); }).find("none of them"), std::string::npos);
  write_file(folder / "tokenizer.json", R"({"model": {"type": "BPE"}})");
  EXPECT_NE(error_text([&] { load_tokenizer(folder); }).find("neither the key chunk_to_idx"), std::string::npos);

  const json data = fixture();
  ChunkVocabularyBuilder builder;
  for (const std::string text : data["documents"]) builder.add(text);
  const auto tokenizer = builder.build({});
  tokenizer->save(folder);
  const auto loaded = load_tokenizer(folder);
  EXPECT_EQ(loaded->name(), "chunk");
  EXPECT_EQ(loaded->fingerprint(), tokenizer->fingerprint());
  for (const std::string text : data["probes"]) EXPECT_EQ(loaded->encode(text), tokenizer->encode(text));
  std::filesystem::rename(folder / "chunk_vocab_combined.json", folder / "vocab.json");
  EXPECT_EQ(load_tokenizer(folder)->fingerprint(), tokenizer->fingerprint());
  // Escapes as Python's json.dump writes them.
  const std::string ascii = json::parse(tokenizer->to_json()).dump(-1, ' ', /*ensure_ascii=*/true);
  EXPECT_EQ(ChunkTokenizer::parse(ascii, "ascii")->fingerprint(), tokenizer->fingerprint());
}

TEST(ChunkTokenizer, InconsistentFilesAreRefusedInOneLine) {
  const std::string maps = R"("chunk_to_idx": {"<UNK>": 0, "ab": 1}, "idx_to_chunk": {"0": "<UNK>", "1": "ab"})";
  EXPECT_EQ(
      ChunkTokenizer::parse("{" + maps + R"(, "vocab_size": 2, "extra": {"a": [1, {"b": null}]}})", "f")->vocab_size(),
      2);
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "not valid JSON"},
      {"[1]", "array, not an object"},
      {"17", "a number, not an object"},
      {"{}", "chunk_to_idx is missing"},
      {"{" + maps + "}", "vocab_size is missing"},
      {"{" + maps, "not valid JSON"},
      {"{" + maps + R"(, "vocab_size": 1})", "vocab_size must be between the number of chunks, 2"},
      {"{" + maps + R"(, "vocab_size": 99999999999})", "vocab_size must be between"},
      {"{" + maps + R"(, "vocab_size": "2"})", "vocab_size must be a whole number; it is a string"},
      {"{" + maps + R"(, "vocab_size": 2.0})", "it is a fraction"},
      {"{" + maps + R"(, "vocab_size": 2, "unk_idx": 1})", "must be unk_token"},
      {"{" + maps + R"(, "vocab_size": 2, "unk_idx": -1})", "unk_idx = -1"},
      {"{" + maps + R"(, "vocab_size": 2, "unk_token": []})", "unk_token must be a string; it is an array"},
      {"{" + maps + "," + maps + R"(, "vocab_size": 2})", "chunk_to_idx stands there twice"},
      {R"({"chunk_to_idx": {"<UNK>": 0, "a": 1, "a": 2}})", "has \"a\" twice"},
      {R"({"chunk_to_idx": {"<UNK>": 0, "a": 2}, "idx_to_chunk": {"0": "<UNK>", "2": "a"}, "vocab_size": 3})",
       "ids are 0 to 1"},
      {R"({"chunk_to_idx": {"<UNK>": 0, "a": 0}, "idx_to_chunk": {"0": "a"}, "vocab_size": 3})",
       "gives the id 0 to both"},
      {R"({"chunk_to_idx": {"<UNK>": 0}, "idx_to_chunk": {}, "vocab_size": 1})", "must be inverse"},
      {R"({"chunk_to_idx": {"<UNK>": 0}, "idx_to_chunk": {"0": "b"}, "vocab_size": 1})", "must be inverse"},
      {R"({"chunk_to_idx": {"<UNK>": 0}, "idx_to_chunk": {"00": "<UNK>"}, "vocab_size": 1})", "not an id"},
      {R"({"chunk_to_idx": {"<UNK>": 0, "": 1}})", "between 1 and 256 bytes"},
      {R"({"chunk_to_idx": {"<UNK>": 0, ")" + std::string(300, 'x') + R"(": 1}})", "between 1 and 256 bytes"},
      {R"({"chunk_to_idx": {"<UNK>": {"a": 1}}})", "it holds an object"},
      {R"({"chunk_to_idx": ["<UNK>"]})", "it holds an array"},
      {R"({"chunk_to_idx": {"<UNK>": "0"}})", "it holds a string"},
      {"{\"chunk_to_idx\": {\"\xff\": 0}}", "not valid JSON"},
      {std::string(100000, '['), "array, not an object"},
      {"{\"deep\": " + std::string(100000, '['), "not valid JSON"},
  };
  for (const auto& [text, part] : cases) {
    const std::string json_text = text;
    const std::string message = error_text([&] { ChunkTokenizer::parse(json_text, "vocab.json"); });
    EXPECT_NE(message.find(part), std::string::npos) << message << "\nfor " << text.substr(0, 200);
    EXPECT_EQ(message.rfind("chunk tokenizer: vocab.json: ", 0), 0u) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos);
    EXPECT_LT(message.size(), 300u);
  }
}

// Tokens that are single bytes, as BPE has them.
class ByteTokenizer : public Tokenizer {
 public:
  std::string name() const override { return "bytes"; }
  int64_t vocab_size() const override { return 256; }
  uint64_t fingerprint() const override { return 0; }
  using Tokenizer::encode;
  void encode(std::string_view text, std::vector<int32_t>& ids) const override {
    for (const char c : text) ids.push_back(static_cast<uint8_t>(c));
  }
  std::string_view token_bytes(int32_t id) const override { return {&table_[id], 1}; }
  void save(const std::filesystem::path&) const override {}

 private:
  std::string table_ = [] {
    std::string all;
    for (int byte = 0; byte < 256; ++byte) all.push_back(static_cast<char>(byte));
    return all;
  }();
};

TEST(StreamDecoder, HoldsBackUnfinishedCodePoints) {
  const ByteTokenizer tokenizer;
  StreamDecoder decoder(tokenizer);
  std::vector<std::string> pieces;
  for (const int32_t id : tokenizer.encode("a\u00e9\U0001F600")) pieces.push_back(decoder.push(id));
  EXPECT_EQ(pieces, (std::vector<std::string>{"a", "", "\u00e9", "", "", "", "\U0001F600"}));
  EXPECT_EQ(decoder.finish(), "");
  EXPECT_EQ(decoder.push(0xE2), "");
  EXPECT_EQ(decoder.push('x'), "\uFFFDx");
  EXPECT_EQ(decoder.push(0xF0), "");
  EXPECT_EQ(decoder.finish(), "\uFFFD");
  const json data = fixture();
  for (size_t i = 0; i < data["invalid"].size(); ++i) {
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(bytes_of_hex(data["invalid"][i]))), data["invalid_text"][i]);
  }
}

}  // namespace
}  // namespace vigor
