// Training of byte-level BPE against the trainer of the `tokenizers` package, and runs with such tokenizers.
#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "models/tokenizer/bpe_trainer.h"
#include "tensor/file.h"
#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"
#include "train/data/bpe_vocabulary.h"
#include "train/data/story_generator.h"
#include "train/run_setup.h"

namespace vigor {
namespace {

using nlohmann::json;
using testing::error_text;
using testing::TemporaryFolder;
namespace fs = std::filesystem;

json fixture(const char* name) {
  std::ifstream file(fs::path(VIGOR_SOURCE_DIR "/tests/fixtures/tokenizer") / name);
  return json::parse(file);
}

std::vector<std::string> corpus() {
  std::vector<std::string> texts = fixture("texts.json");
  std::erase_if(texts, [](const std::string& text) {
    return text.find("<|endoftext|>") != text.npos || text.find("<|im_") != text.npos;
  });
  return texts;
}

BpeVocabulary train(std::span<const std::string> documents, const BpeTrainOptions& options) {
  BpeWordCounter counter(options);
  counter.add(documents);
  return train_bpe(counter.words(), options);
}

TEST(BpeTraining, FindsTheMergesOfTheTokenizersPackage) {
  const json trained = fixture("trained.json");
  const std::map<std::string, WordPattern> patterns = {{"gpt2", WordPattern::gpt2()},
                                                       {"llama3", WordPattern::llama3()},
                                                       {"qwen2", WordPattern::qwen2()},
                                                       {"falcon_h1", WordPattern::falcon_h1()}};
  for (const auto& [name, pattern] : patterns) {
    ASSERT_EQ(trained[name]["regex"], pattern.regex());
    BpeTrainOptions options;
    options.words = pattern;
    options.vocab_size = 700;
    const auto tokenizer = make_bpe_tokenizer(train(corpus(), options), options);
    const json file = json::parse(tokenizer->json());
    EXPECT_EQ(file["model"]["merges"], trained[name]["merges"]) << name;
    EXPECT_EQ(file["model"]["vocab"], trained[name]["vocab"]) << name;
  }
}

TEST(BpeTraining, NeitherThreadsNorOrderChangeTheResult) {
  std::vector<std::string> documents = corpus();
  for (uint64_t i = 0; i < 50; ++i) documents.push_back(generate_story(5, i));
  BpeTrainOptions options;
  options.vocab_size = 600;
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  const BpeVocabulary one = train(documents, options);
  omp_set_num_threads(3);
  std::reverse(documents.begin(), documents.end());
  BpeWordCounter pieces(options);
  pieces.add(std::span(documents).first(20));
  pieces.add(std::span(documents).subspan(20));
  const BpeVocabulary three = train_bpe(pieces.words(), options);
  omp_set_num_threads(threads);
  EXPECT_EQ(one.tokens, three.tokens);
  EXPECT_EQ(one.merges, three.merges);
}

TEST(BpeTraining, StopsWhereNoPairIsFrequentEnough) {
  BpeTrainOptions options;
  options.special_tokens = {"<end>"};
  const std::vector<std::string> documents = {"abab abab abab<end>abab", "xyz"};
  const BpeVocabulary frequent = train(documents, options);  // "ab", "abab", " abab"
  EXPECT_EQ(frequent.tokens.size(), 257u + 3);
  EXPECT_EQ(frequent.tokens.back(), " abab");
  options.min_count = 1;
  EXPECT_EQ(train(documents, options).tokens.size(), 257u + 5);  // and two of "xyz"
  options.vocab_size = 258;
  EXPECT_EQ(train(documents, options).tokens.size(), 258u);
}

TEST(BpeTraining, LatexCommandsStayWholeAndDigitsAndPunctuationStandAlone) {
  BpeTrainOptions options;
  const std::vector<std::string> documents(20, "$\\frac{12}{345} \\le \\sqrt{12}$ (((12))) \\begin{a}");
  const auto tokenizer = make_bpe_tokenizer(train(documents, options), options);
  std::vector<std::string> tokens;
  for (const int32_t id : tokenizer->encode("\\frac{12} \\sqrt((")) tokens.emplace_back(tokenizer->token_bytes(id));
  EXPECT_EQ(tokens, (std::vector<std::string>{"\\frac", "{", "1", "2", "}", " \\sqrt", "(", "("}));
}

TEST(BpeTraining, TheTrainedTokenizerIsComplete) {
  BpeTrainOptions options;
  options.vocab_size = 400;
  const auto tokenizer = make_bpe_tokenizer(train(corpus(), options), options);
  EXPECT_EQ(tokenizer->end_id(), 0);
  EXPECT_EQ(tokenizer->special_id("<|im_end|>"), 2);
  EXPECT_EQ(tokenizer->vocab_size(), 400);
  EXPECT_NE(tokenizer->companions().at("tokenizer_config.json").find("add_generation_prompt"), std::string::npos);
  const TemporaryFolder folder;
  tokenizer->save(folder.path());
  EXPECT_EQ(load_tokenizer(folder.path())->fingerprint(), tokenizer->fingerprint());
  for (const std::string& text : corpus()) EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
}

TEST(BpeTraining, OptionsAreChecked) {
  const auto error = [](const std::function<void(BpeTrainOptions&)>& change) {
    BpeTrainOptions options;
    change(options);
    return error_text([&] { options.check(); });
  };
  EXPECT_EQ(error([](BpeTrainOptions&) {}), "no error");
  EXPECT_NE(error([](BpeTrainOptions& o) { o.vocab_size = 258; }).find("from 259"), std::string::npos);
  EXPECT_NE(error([](BpeTrainOptions& o) { o.min_count = 0; }).find("min_count"), std::string::npos);
  EXPECT_NE(error([](BpeTrainOptions& o) { o.words.one_symbol = false; }).find("LaTeX"), std::string::npos);
  EXPECT_NE(error([](BpeTrainOptions& o) { o.special_tokens = {"a"}; }).find("2 to"), std::string::npos);
  EXPECT_NE(error([](BpeTrainOptions& o) { o.special_tokens = {"<a>", "<a>"}; }).find("twice"), std::string::npos);
  EXPECT_NE(error([](BpeTrainOptions& o) { o.special_tokens = {"\xff\xff"}; }).find("UTF-8"), std::string::npos);
}

// ---- with the rest of the program ----

class BpeRun : public ::testing::Test {
 protected:
  BpeRun() {
    std::string text;
    for (uint64_t i = 0; i < 40; ++i) text += generate_story(7, i) + "\n<|endoftext|>\n";
    write_file(file(), text);
  }
  fs::path file() const { return folder_.path() / "stories.txt"; }
  DataSource source() const { return parse_data_source(file().string()); }
  std::unique_ptr<BpeTokenizer> build(int64_t vocab_size) const {
    BpeTrainOptions options;
    options.vocab_size = vocab_size;
    return build_bpe_vocabulary({source()}, HoldOut::none, options);
  }
  RunConfig config(const std::string& model) const {
    RunConfig c;
    c.model = model;
    c.data = {file().string()};
    c.valid_data = c.data;
    c.cache_dir = (folder_.path() / "cache").string();
    c.out = (folder_.path() / "run").string();
    c.seq_len = 16;
    c.batch_size = 1;
    c.device = "cpu";
    return c;
  }
  static RunSetup prepare(const RunConfig& c) {
    return prepare_run(c, {}, [](const std::string&) {});
  }
  TemporaryFolder folder_;
};

TEST_F(BpeRun, DocumentsEndWithTheEndToken) {
  const auto tokenizer = build(500);
  const SourceTokens tokens = TokenCache(folder_.path() / "cache").open(source(), *tokenizer, HoldOut::none);
  std::vector<int32_t> expected;
  const auto reader = open_documents(source());
  for (Document document; reader->next(document);) {
    tokenizer->encode(document.text, expected);
    expected.push_back(0);
  }
  std::vector<int32_t> ids(static_cast<size_t>(tokens.train.size()));
  tokens.train.read(0, ids);
  EXPECT_EQ(ids, expected);
}

TEST_F(BpeRun, FertilityIsCountedByHand) {
  write_file(folder_.path() / "two.txt", "one two\u00a0three\n<|endoftext|>\n  four\n");
  const auto tokenizer = build(259);  // bytes
  const Fertility found = measure_fertility(parse_data_source((folder_.path() / "two.txt").string()), *tokenizer);
  EXPECT_EQ(found.words, 4u);
  EXPECT_EQ(found.tokens, found.nbytes);
  EXPECT_DOUBLE_EQ(found.bytes_per_token(), 1.0);
}

TEST_F(BpeRun, AnyModelTakesEitherKind) {
  const auto ready = build(300);
  ready->save(folder_.path());
  RunConfig c = config("i3-tiny");
  c.tokenizer = folder_.path().string();
  const RunSetup with_ready = prepare(c);
  EXPECT_EQ(with_ready.tokenizer->fingerprint(), ready->fingerprint());
  EXPECT_EQ(with_ready.model->config().vocab_size, 300);

  c.tokenizer = "bpe";
  c.vocab_size = 320;
  const RunSetup built = prepare(c);
  EXPECT_EQ(built.tokenizer->name(), "bpe");
  EXPECT_EQ(built.model->config().vocab_size, 320);
  EXPECT_NE(built.model->config().to_json().find("\"tokenizer_type\": \"bpe\""), std::string::npos);

  c.tokenizer = "";
  EXPECT_EQ(prepare(c).tokenizer->name(), "chunk");
  c.tokenizer = folder_.path().string();
  c.vocab_size = 299;
  EXPECT_NE(error_text([&] { prepare(c); }).find("300 tokens, more than the vocab_size of 299"), std::string::npos);
}

TEST_F(BpeRun, FalconH1BuildsItsOwnAndMayHaveSpareIds) {
  RunConfig c = config("falcon-h1-tiny-90m");
  c.layers = 1;
  c.vocab_size = 400;
  const RunSetup built = prepare(c);
  EXPECT_EQ(built.tokenizer->name(), "bpe");
  EXPECT_EQ(built.model->config().vocab_size, 400);
  EXPECT_NE(built.model->config().to_json().find("\"eos_token_id\": 0"), std::string::npos);

  const auto ready = build(300);
  ready->save(folder_.path());
  c.tokenizer = (folder_.path() / "tokenizer.json").string();
  EXPECT_EQ(prepare(c).model->config().vocab_size, 400);  // asked for: 100 spare ids
  c.vocab_size = 0;
  EXPECT_EQ(prepare(c).model->config().vocab_size, 300);
}

}  // namespace
}  // namespace vigor
