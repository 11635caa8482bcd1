// Byte-level BPE against the `tokenizers` package (tests/parity/make_tokenizer_fixtures.py), and its file.
#include "models/tokenizer/bpe_tokenizer.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "models/tokenizer/char_class.h"
#include "models/tokenizer/unicode.h"
#include "tensor/file.h"
#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"

namespace vigor {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;
using testing::error_text;
using testing::TemporaryFolder;

const fs::path kFixtures = VIGOR_SOURCE_DIR "/tests/fixtures/tokenizer";
constexpr const char* kForms[] = {"gpt2", "llama3", "qwen2", "falcon_h1", "falcon", "o200k", "odd"};

json read_json(const fs::path& path) {
  std::ifstream file(path);
  return json::parse(file);
}

std::vector<std::string> fixture_texts() { return read_json(kFixtures / "texts.json"); }

// A vocabulary of all bytes and some tokens, as a JSON value that tests change.
json small_file() {
  json file;
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    file["model"]["vocab"][to_byte_alphabet({&c, 1})] = byte;
  }
  file["model"]["vocab"]["ab"] = 256;
  file["model"]["merges"] = {"a b"};
  file["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}};
  file["added_tokens"] = {{{"id", 257}, {"content", "<end>"}, {"special", true}}};
  return file;
}

class BpeFixture : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Forms, BpeFixture, ::testing::ValuesIn(kForms),
                         [](const auto& form) { return std::string(form.param); });

TEST_P(BpeFixture, IdsAreThoseOfTheTokenizersPackage) {
  const auto tokenizer = load_tokenizer(kFixtures / GetParam());
  const std::vector<std::string> texts = fixture_texts();
  const json ids = read_json(kFixtures / GetParam() / "ids.json");
  ASSERT_EQ(ids.size(), texts.size());
  for (size_t i = 0; i < texts.size(); ++i)
    EXPECT_EQ(tokenizer->encode(texts[i]), ids[i].get<std::vector<int32_t>>()) << json(texts[i]).dump();
}

TEST_P(BpeFixture, SavedFileIsTheFileThatWasRead) {
  const TemporaryFolder folder;
  const auto tokenizer = load_tokenizer(kFixtures / GetParam() / "tokenizer.json");
  tokenizer->save(folder.path());
  EXPECT_EQ(read_text(folder.path() / "tokenizer.json", 1 << 20),
            read_text(kFixtures / GetParam() / "tokenizer.json", 1 << 20));
  EXPECT_EQ(load_tokenizer(folder.path())->fingerprint(), tokenizer->fingerprint());
}

TEST(BpeTokenizer, DecodingGivesTheTextBack) {
  for (const char* form : {"gpt2", "llama3", "falcon_h1", "falcon", "o200k"}) {
    const auto tokenizer = load_tokenizer(kFixtures / form);
    for (const std::string& text : fixture_texts()) {
      const bool strips = text.find("<L") != text.npos || text.find("<R") != text.npos;
      if (strips) continue;
      EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text) << form;
    }
  }
}

TEST(BpeTokenizer, BytesThatAreNotUtf8BecomeReplacements) {
  const auto tokenizer = load_tokenizer(kFixtures / "llama3");
  for (const std::string text :
       {"\xff", "a\xc3", "\xe2\x82z", "\xf0\x9f\x98", "\xed\xa0\x80", "ok \xc0\xaf ok", "\x80\x80"})
    EXPECT_EQ(tokenizer->encode(text), tokenizer->encode(valid_utf8(text)));
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("a\xffz")), "a\xEF\xBF\xBDz");
}

TEST(BpeTokenizer, StreamedTextIsWholeAtEveryMoment) {
  const auto tokenizer = load_tokenizer(kFixtures / "gpt2");
  const std::string text = "caf\u00e9 \U0001f600 \u4f60\u597d";
  StreamDecoder decoder(*tokenizer);
  std::string streamed;
  for (const int32_t id : tokenizer->encode(text)) {
    const std::string piece = decoder.push(id);
    EXPECT_EQ(valid_utf8(piece), piece);
    EXPECT_EQ(piece.find("\uFFFD"), std::string::npos);
    streamed += piece;
  }
  EXPECT_EQ(streamed + decoder.finish(), text);
}

// ---- words ----

TEST(WordPattern, RegularExpressionsAreThePublishedOnes) {
  EXPECT_EQ(WordPattern::gpt2().regex(),
            R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)");
  EXPECT_EQ(WordPattern::llama3().regex(),
            R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
            R"(\s*[\r\n]+|\s+(?!\S)|\s+)");
  EXPECT_EQ(WordPattern::recognize(WordPattern::qwen2().regex()), WordPattern::qwen2());
  EXPECT_EQ(WordPattern::recognize(R"(\p{L}+)"), std::nullopt);
}

// Every choice of WordPattern, hand-written against the ICU library's engine, on random text.
TEST(WordPattern, MatcherDoesWhatTheRegularExpressionSays) {
  const std::vector<std::string> alphabet = {
      "a",      "Z",      "s",      "S",      "t",      "l",      "L",      "v",          "E",
      "r",      "d",      "m",      "'",      "'",      "1",      "2",      " ",          " ",
      "  ",     "\t",     "\n",     "\r\n",   "\\",     "frac",   ".",      "!?",         "\u00e9",
      "\u0301", "\u4f60", "\u00bd", "\u2167", "\u3000", "\u0085", "\u017f", "\U0001f600", "\u200d"};
  std::mt19937 random(7);
  std::vector<std::string> texts;
  for (int i = 0; i < 40; ++i) {
    std::string text;
    for (int n = 0; n < 60; ++n) text += alphabet[random() % alphabet.size()];
    texts.push_back(text);
  }
  for (const bool latex : {false, true}) {
    for (int bits = 0; bits < 16; ++bits) {
      const auto contractions = static_cast<WordPattern::Contractions>(bits % 3);
      const WordPattern pattern{
          latex,           contractions,   (bits & 1) != 0, (bits & 2) != 0, bits % 3 == 2 ? 3 : bits % 3,
          (bits & 4) != 0, (bits & 8) != 0};
      ASSERT_EQ(WordPattern::recognize(pattern.regex()), pattern);
      const RegexSplit regex(pattern.regex());
      for (const std::string& text : texts) {
        std::vector<Span> expected, found;
        regex.matches(text, {0, text.size()}, expected);
        for (size_t begin = 0; begin < text.size();) {
          const size_t end = pattern.match(text, begin);
          ASSERT_GT(end, begin);
          found.push_back({begin, end});
          begin = end;
        }
        ASSERT_EQ(found, expected) << pattern.regex() << "\n" << json(text).dump();
      }
    }
  }
}

TEST(RegexSplit, RefusesWhatIcuWouldReadDifferently) {
  for (const char* regex : {R"(\h+)", R"((?m)a)", R"((?i)a)", R"([[:alpha:]])", R"([a&&b])", R"(a{1,2}+)", R"(\bword)",
                            R"((?<name>a))", "(", R"(\p{Nonsense})", "\\"})
    EXPECT_NE(error_text([&] { RegexSplit{regex}; }).find("regular expression"), std::string::npos) << regex;
}

TEST(RegexSplit, StopsAnExpressionThatTakesTooLong) {
  const RegexSplit regex(R"((?:a|a|aa)*b)");
  std::vector<Span> found;
  EXPECT_THROW(regex.matches(std::string(200, 'a'), {0, 200}, found), std::runtime_error);
}

// ---- merging ----

// The definition: the known pair of the lowest rank, the leftmost first, until there is none.
std::vector<int32_t> merge_naively(std::string_view word, const std::vector<BpeMerge>& merges) {
  std::map<std::pair<int32_t, int32_t>, std::pair<size_t, int32_t>> rules;
  for (size_t rank = 0; rank < merges.size(); ++rank)
    rules[{merges[rank].left, merges[rank].right}] = {rank, merges[rank].result};
  std::vector<int32_t> ids;
  for (const char c : word) ids.push_back(static_cast<uint8_t>(c));
  while (true) {
    size_t best = ids.size(), best_rank = merges.size();
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      const auto rule = rules.find({ids[i], ids[i + 1]});
      if (rule == rules.end() || rule->second.first >= best_rank) continue;
      best = i;
      best_rank = rule->second.first;
    }
    if (best == ids.size()) return ids;
    ids[best] = rules[{ids[best], ids[best + 1]}].second;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

TEST(BpeMerges, ShortAndLongWordsFollowTheDefinition) {
  std::mt19937 random(3);
  std::vector<std::string> tokens;
  std::map<std::string, int32_t> ids;
  std::array<int32_t, 256> byte_ids;
  for (int byte = 0; byte < 256; ++byte) {
    byte_ids[byte] = byte;
    tokens.push_back(std::string(1, static_cast<char>(byte)));
  }
  std::vector<BpeMerge> merges;
  std::vector<int32_t> usable = {'a', 'b', 'c', 'd'}, word_ids;
  while (merges.size() < 150) {
    const int32_t left = usable[random() % usable.size()], right = usable[random() % usable.size()];
    const std::string joined = tokens[left] + tokens[right];
    if (joined.size() > 12) continue;
    const auto [found, is_new] = ids.emplace(joined, static_cast<int32_t>(tokens.size()));
    if (is_new) {
      tokens.push_back(joined);
      usable.push_back(found->second);
    }
    merges.push_back({left, right, found->second});  // sometimes twice: the later rank counts
  }
  for (int32_t id = 0; id < static_cast<int32_t>(tokens.size()); ++id) word_ids.push_back(id);
  const BpeMerges bpe(tokens, word_ids, byte_ids, merges, /*ignore_merges=*/false);
  const BpeMerges whole(tokens, word_ids, byte_ids, merges, /*ignore_merges=*/true);
  for (size_t length = 1; length < 160; ++length) {
    std::string word;
    for (size_t i = 0; i < length; ++i) word.push_back(static_cast<char>('a' + random() % 4));
    std::vector<int32_t> found;
    bpe.encode(word, found);
    EXPECT_EQ(found, merge_naively(word, merges)) << word;
  }
  for (const int32_t id : word_ids) {
    std::vector<int32_t> found;
    whole.encode(tokens[id], found);
    EXPECT_EQ(found, std::vector<int32_t>{id});
  }
}

// ---- special tokens and companions ----

TEST(BpeTokenizer, SpecialTokens) {
  const auto tokenizer = load_tokenizer(kFixtures / "gpt2");
  const std::optional<int32_t> end = tokenizer->special_id("<|im_end|>");
  ASSERT_TRUE(end.has_value());
  EXPECT_TRUE(tokenizer->is_special(*end));
  EXPECT_EQ(tokenizer->token_bytes(*end), "<|im_end|>");
  EXPECT_EQ(tokenizer->special_id("<|nothing|>"), std::nullopt);
  EXPECT_FALSE(tokenizer->is_special(tokenizer->encode("a")[0]));
  EXPECT_FALSE(tokenizer->is_special(-1));
  EXPECT_EQ(tokenizer->token_bytes(1 << 30), "");  // padding of a model's vocabulary
  EXPECT_EQ(tokenizer->end_id(), std::nullopt);    // nothing beside the file says which
}

TEST(BpeTokenizer, EndTokenComesFromTheConfigurationBesideTheFile) {
  const TemporaryFolder folder;
  write_file(folder.path() / "tokenizer.json", small_file().dump());
  EXPECT_EQ(load_tokenizer(folder.path())->end_id(), std::nullopt);
  const uint64_t without = load_tokenizer(folder.path())->fingerprint();

  write_file(folder.path() / "config.json", R"({"eos_token_id": [257, 3]})");
  auto tokenizer = load_tokenizer(folder.path());
  EXPECT_EQ(tokenizer->end_id(), 257);
  EXPECT_NE(tokenizer->fingerprint(), without);  // documents end with another id now
  const TemporaryFolder copy;                    // the end token survives without the model's configuration
  tokenizer->save(copy.path());
  EXPECT_EQ(load_tokenizer(copy.path())->end_id(), 257);
  EXPECT_EQ(load_tokenizer(copy.path())->fingerprint(), tokenizer->fingerprint());

  const std::string config = R"({"eos_token": {"content": "<end>"}, "kept": [1, 2]})";
  write_file(folder.path() / "tokenizer_config.json", config);
  write_file(folder.path() / "chat_template.jinja", "{{ messages }}");
  tokenizer = load_tokenizer(folder.path());
  EXPECT_EQ(tokenizer->end_id(), 257);
  tokenizer->save(copy.path());
  EXPECT_EQ(read_text(copy.path() / "tokenizer_config.json", 1000), config);
  EXPECT_EQ(read_text(copy.path() / "chat_template.jinja", 1000), "{{ messages }}");

  write_file(folder.path() / "tokenizer_config.json", R"({"eos_token": "<none>"})");
  EXPECT_NE(error_text([&] { load_tokenizer(folder.path()); }).find("eos_token \"<none>\""), std::string::npos);
}

TEST(BpeTokenizer, ConfigurationsBesideTheFileAreHostile) {
  const TemporaryFolder folder;
  write_file(folder.path() / "tokenizer.json", small_file().dump());
  write_file(folder.path() / "config.json", R"({"eos_token_id": 257, "time_step_limit": [0.0, Infinity]})");
  EXPECT_EQ(load_tokenizer(folder.path())->end_id(), 257);

  std::string many;  // keys: each of them would be compared with all before it
  for (int i = 0; i < 300'000; ++i) many += fmt::format("{}\"{:x}\":0", i == 0 ? "" : ",", i);
  write_file(folder.path() / "tokenizer_config.json", "{" + many + "}");
  EXPECT_EQ(load_tokenizer(folder.path())->end_id(), 257);
  const size_t depth = 1'000'000;
  write_file(folder.path() / "tokenizer_config.json",
             "{\"a\":" + std::string(depth, '[') + std::string(depth, ']') + "}");
  EXPECT_NE(error_text([&] { load_tokenizer(folder.path()); }).find("levels deep"), std::string::npos);
  write_file(folder.path() / "tokenizer_config.json", "{}");
  write_file(folder.path() / "config.json", "{" + many + "}");
  EXPECT_NE(error_text([&] { load_tokenizer(folder.path()); }).find("keys in one object"), std::string::npos);
}

// ---- what is refused ----

TEST(BpeTokenizer, RefusesWhatItWouldGetWrong) {
  struct Case {
    const char* name;
    std::function<void(json&)> change;
    const char* expected;
  };
  const json split = {{"type", "Split"}, {"pattern", {{"Regex", "(?i)a"}}}, {"behavior", "Isolated"}};
  const std::vector<Case> cases = {
      {"model", [](json& f) { f["model"]["type"] = "Unigram"; }, "type BPE"},
      {"dropout", [](json& f) { f["model"]["dropout"] = 0.1; }, "dropout"},
      {"suffix", [](json& f) { f["model"]["end_of_word_suffix"] = "</w>"; }, "end_of_word_suffix"},
      {"normalizer",
       [](json& f) {
         f["normalizer"] = {{"type", "Lowercase"}};
       },
       "normalizer Lowercase"},
      {"decoder",
       [](json& f) {
         f["decoder"] = {{"type", "WordPiece"}};
       },
       "decoder WordPiece"},
      {"pre",
       [](json& f) {
         f["pre_tokenizer"] = {{"type", "Metaspace"}};
       },
       "pre_tokenizer Metaspace"},
      {"no pre", [](json& f) { f["pre_tokenizer"] = nullptr; }, "one ByteLevel"},
      {"behavior",
       [](json& f) {
         f["pre_tokenizer"] = {{"type", "Punctuation"}, {"behavior", "Odd"}};
       },
       "behavior Odd"},
      {"regex", [&](json& f) { f["pre_tokenizer"] = split; }, "(?i)a"},
      {"bytes",
       [](json& f) {
         f["model"]["vocab"].erase("a");
         f["model"]["merges"].clear();
         f.erase("added_tokens");
       },
       "lacks 1 of the 256"},
      {"merge", [](json& f) { f["model"]["merges"] = {"a c"}; }, "\"ac\", which is not in model.vocab"},
      {"merge form", [](json& f) { f["model"]["merges"] = {"a b c"}; }, "two tokens"},
      {"merge pair", [](json& f) { f["model"]["merges"] = json::array({json::array({"a"})}); }, "list of two"},
      {"merge type", [](json& f) { f["model"]["merges"] = {1}; }, "model.merges holds"},
      {"same id", [](json& f) { f["model"]["vocab"]["x"] = 5; }, "the id 5"},
      {"sparse", [](json& f) { f["model"]["vocab"]["ab"] = 2000000000; }, "dense"},
      {"id type", [](json& f) { f["model"]["vocab"]["ab"] = "256"; }, "model.vocab maps"},
      {"added id", [](json& f) { f["added_tokens"][0]["id"] = 300; }, "has id 300, but by its place it is 257"},
      {"added twice", [](json& f) { f["added_tokens"].push_back(f["added_tokens"][0]); }, "by its place it is 258"},
      {"added type", [](json& f) { f["added_tokens"][0]["lstrip"] = 1; }, "lstrip must be true or false"},
      {"no vocab", [](json& f) { f["model"].erase("vocab"); }, "model.vocab"},
  };
  EXPECT_EQ(error_text([] { BpeTokenizer::parse(small_file().dump(), "f"); }), "no error");
  for (const Case& each : cases) {
    json file = small_file();
    each.change(file);
    const std::string error = error_text([&] { BpeTokenizer::parse(file.dump(), "the file"); });
    EXPECT_NE(error.find(each.expected), std::string::npos) << each.name << ": " << error;
    EXPECT_NE(error.find("the file"), std::string::npos) << each.name << ": " << error;
    EXPECT_EQ(error.find('\n'), std::string::npos) << error;
  }
  for (const std::string text :
       {"", "[]", "3", "{\"merges\": 1", "{}", "{\"model\": []}", "{\"model\": {\"vocab\": []}}"})
    EXPECT_NE(error_text([&] { BpeTokenizer::parse(text, "the file"); }).find("tokenizer: the file: "),
              std::string::npos);
  std::string deep(100000, '[');
  EXPECT_NE(error_text([&] { BpeTokenizer::parse(deep, "f"); }).find("levels deep"), std::string::npos);
}

}  // namespace
}  // namespace vigor
