// Generation from caches against recomputing the whole context for every token.
#include <gtest/gtest.h>

#include <algorithm>

#include "autograd/variable.h"
#include "kernels/views/views.h"
#include "models/continuation.h"
#include "models/families.h"
#include "models/generation.h"
#include "models/stop_strings.h"
#include "tests/support/testing.h"

namespace vigor {
namespace {

using testing::expect_close;
using testing::expect_equal;
using testing::expect_error;

constexpr int64_t kMaxLength = 12, kVocabulary = 29;

// Weights large enough that contexts matter and greedy choices vary.
std::unique_ptr<LanguageModel> make_test_model(const std::string& layer_types, int64_t max_length = kMaxLength) {
  const auto config = parse_config(fmt::format(R"({{"model_type":"i3","vocab_size":{},"d_model":16,"n_heads":4,)"
                                               R"("max_seq_len":{},"d_state":5,"layer_types":{}}})",
                                               kVocabulary, max_length, layer_types),
                                   "test");
  auto model = make_model(*config);
  model->allocate();
  uint32_t salt = 0;
  for (const ArenaSlot& slot : model->parameters().parameters())
    copy(slot.tensor, normal(slot.tensor.shape(), slot.name.find("ln") != std::string::npos ? 1.0 : 0.0, 0.3,
                             RandomKey{11, RandomStream::data, salt++, 0}));
  return model;
}

constexpr const char* kLayerTypes[] = {R"(["hybrid","attention"])", R"(["hybrid","hybrid"])",
                                       R"(["attention","hybrid","attention"])"};

// Falcon-H1: states of convolution and scan beside keys and values, positions by RoPE.
std::unique_ptr<LanguageModel> make_falcon_model(int64_t max_length = kMaxLength) {
  const auto config = parse_config(
      fmt::format(R"({{"model_type":"falcon_h1","vocab_size":{},"hidden_size":16,"intermediate_size":20,)"
                  R"("num_hidden_layers":2,"num_attention_heads":2,"num_key_value_heads":1,"head_dim":8,)"
                  R"("mamba_d_ssm":16,"mamba_n_heads":2,"mamba_d_head":8,"mamba_d_state":4,"mamba_n_groups":1,)"
                  R"("mamba_rms_norm":false,"tie_word_embeddings":false,"max_position_embeddings":{}}})",
                  kVocabulary, max_length),
      "test");
  auto model = make_model(*config);
  model->allocate();
  uint32_t salt = 0;
  for (const ArenaSlot& slot : model->parameters().parameters())
    copy(slot.tensor, normal(slot.tensor.shape(), slot.name.find("norm") != std::string::npos ? 1.0 : 0.0, 0.3,
                             RandomKey{12, RandomStream::data, salt++, 0}));
  return model;
}

// Models of every kind of cache.
std::vector<std::unique_ptr<LanguageModel>> make_test_models(int64_t max_length = kMaxLength) {
  std::vector<std::unique_ptr<LanguageModel>> models;
  for (const char* types : kLayerTypes) models.push_back(make_test_model(types, max_length));
  models.push_back(make_falcon_model(max_length));
  return models;
}

std::vector<int32_t> prompt_of(size_t length, uint32_t salt = 0) {
  return testing::random_ids({static_cast<int64_t>(length)}, kVocabulary, Dtype::i32, salt).to_vector<int32_t>();
}

// The logits after `context`, with nothing remembered: [1,V].
Tensor recomputed(const LanguageModel& model, const std::vector<int32_t>& context) {
  const NoGrad no_grad;
  const int64_t T = static_cast<int64_t>(context.size());
  const Tensor logits = model.logits(from_values(context, {1, T}));
  return reshape(slice(logits, 1, T - 1, T), {1, kVocabulary});
}

std::vector<int32_t> part(const std::vector<int32_t>& ids, size_t start, size_t length) {
  const auto first = ids.begin() + static_cast<std::ptrdiff_t>(start);
  return {first, first + static_cast<std::ptrdiff_t>(length)};
}

int32_t largest(const Tensor& logits) {
  const std::vector<float> values = logits.to_vector<float>();
  return static_cast<int32_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

// Greedy generation by the rule of models/generation.h, word for word.
std::vector<int32_t> greedy_reference(const LanguageModel& model, std::vector<int32_t> context, int64_t new_tokens,
                                      Window window) {
  std::vector<int32_t> result;
  for (int64_t n = 0; n < new_tokens; ++n) {
    const size_t kept = static_cast<size_t>(window == Window::half ? kMaxLength / 2 : kMaxLength);
    if (context.size() > kMaxLength) context = part(context, context.size() - kept, kept);
    result.push_back(largest(recomputed(model, context)));
    context.push_back(result.back());
  }
  return result;
}

GenerateOptions greedy(int64_t new_tokens, Window window = Window::half) {
  GenerateOptions options;
  options.max_new_tokens = new_tokens;
  options.sampling.greedy = true;
  options.window = window;
  return options;
}

TEST(Extend, LogitsEqualRecomputation) {
  for (const auto& model : make_test_models()) {
    const std::vector<int32_t> ids = prompt_of(kMaxLength);
    ModelCache cache = model->make_cache(1);
    size_t fed = 0;
    for (const size_t piece : {4, 1, 1, 3, 1, 2}) {
      const std::vector<int32_t> next = part(ids, fed, piece);
      fed += piece;
      const int64_t T = static_cast<int64_t>(piece);
      const std::vector<int32_t> lengths{static_cast<int32_t>(T)};
      const Tensor logits = model->extend(from_values(next, {1, T}), lengths, cache);
      expect_close(logits, recomputed(*model, part(ids, 0, fed)), 1e-5, 1e-5);
    }
    EXPECT_EQ(cache.lengths, std::vector<int32_t>{kMaxLength});
  }
}

TEST(Extend, RefusesWhatDoesNotFitAndLeavesTheCache) {
  const auto model = make_test_model(kLayerTypes[0]);
  ModelCache cache = model->make_cache(2, 5);
  const std::vector<int32_t> three{3, 3}, one{3};
  const Tensor ids = zeros({2, 3}, Dtype::i32);
  model->extend(ids, three, cache);
  const ModelCache before = cache.clone();
  expect_error([&] { model->extend(ids, three, cache); }, {"5 tokens", "6"});
  expect_error([&] { model->extend(zeros({1, 3}, Dtype::i32), one, cache); }, {"2 rows"});
  expect_error([&] { model->make_cache(1, kMaxLength + 1); }, {"max_seq_len", "13"});
  for (size_t i = 0; i < cache.layers.size(); ++i)
    for (size_t j = 0; j < cache.layers[i].tensors.size(); ++j)
      expect_equal(cache.layers[i].tensors[j], before.layers[i].tensors[j]);
  EXPECT_EQ(cache.lengths, before.lengths);
}

TEST(ModelCacheTest, SizeDoesNotDependOnLengthAndRowsCanBeSelected) {
  const auto model = make_test_model(kLayerTypes[0]);
  ModelCache cache = model->make_cache(2);
  // h, s, keys, values
  EXPECT_EQ(cache.nbytes(), 4u * 2 * (16 + 5 + 2 * kMaxLength * 16));
  const std::vector<int32_t> lengths{4, 2};
  const Tensor ids = testing::random_ids({2, 4}, kVocabulary);
  model->extend(ids, lengths, cache);
  EXPECT_EQ(cache.nbytes(), 4u * 2 * (16 + 5 + 2 * kMaxLength * 16));
  const std::vector<int64_t> rows{1, 0, 1};
  ModelCache selected = cache.select_rows(rows);
  EXPECT_EQ(selected.lengths, (std::vector<int32_t>{2, 4, 2}));
  const std::vector<int32_t> ones{1, 1, 1};
  const Tensor next = model->extend(full({3, 1}, 5, Dtype::i32), ones, selected);
  const std::vector<int32_t> prefix = ids.to_vector<int32_t>();
  expect_close(slice(next, 0, 2, 3), recomputed(*model, {prefix[4], prefix[5], 5}), 1e-5, 1e-5);
}

TEST(Generate, GreedyIdsEqualRecomputation) {
  for (const auto& model : make_test_models()) {
    for (const Window window : {Window::half, Window::exact}) {
      for (const size_t length : {size_t{1}, size_t{5}, size_t{kMaxLength - 1}, size_t{kMaxLength}, size_t{40}}) {
        const std::vector<int32_t> prompt = prompt_of(length);
        EXPECT_EQ(generate(*model, {prompt}, greedy(30, window))[0], greedy_reference(*model, prompt, 30, window))
            << model->config().model_type() << " length " << length;
      }
    }
  }
}

TEST(Generate, RaggedBatchesEqualSinglePrompts) {
  const std::vector<std::vector<int32_t>> prompts{prompt_of(1), prompt_of(9, 1), prompt_of(4, 2), prompt_of(30, 3)};
  for (const auto& model : make_test_models()) {
    const auto results = generate(*model, prompts, greedy(20));
    for (size_t b = 0; b < prompts.size(); ++b)
      EXPECT_EQ(results[b], greedy_reference(*model, prompts[b], 20, Window::half)) << b;
  }
}

TEST(Generate, RowsEndByThemselves) {
  const auto model = make_test_model(kLayerTypes[0]);
  const std::vector<std::vector<int32_t>> prompts{prompt_of(3), prompt_of(5, 1), prompt_of(4, 2)};
  const auto full_results = generate(*model, prompts, greedy(15));
  // The callback ends row 1 after its third token; the others are as before.
  std::vector<int> calls(3, 0);
  const auto results = generate(*model, prompts, greedy(15), [&](int64_t row, int32_t id) {
    EXPECT_EQ(id, full_results[static_cast<size_t>(row)][static_cast<size_t>(calls[static_cast<size_t>(row)])]);
    return ++calls[static_cast<size_t>(row)] < 3 || row != 1;
  });
  EXPECT_EQ(calls, (std::vector<int>{15, 3, 15}));
  EXPECT_EQ(results[0], full_results[0]);
  EXPECT_EQ(results[2], full_results[2]);
  // An end token is not part of the result.
  GenerateOptions options = greedy(15);
  options.end_ids = {kVocabulary + 5, full_results[0][4]};
  const std::vector<int32_t> ended = generate(*model, {prompts[0]}, options)[0];
  const auto first = std::find(full_results[0].begin(), full_results[0].end(), full_results[0][4]);
  EXPECT_EQ(ended, std::vector<int32_t>(full_results[0].begin(), first));
}

TEST(Generate, SamplingDependsOnSeedAndRowOnly) {
  const auto model = make_test_model(kLayerTypes[0]);
  GenerateOptions options;
  options.max_new_tokens = 25;
  options.seed = 3;
  const std::vector<int32_t> a = prompt_of(3), b = prompt_of(6, 1);
  const auto together = generate(*model, {a, b}, options);
  EXPECT_EQ(generate(*model, {a, b}, options), together);
  EXPECT_EQ(generate(*model, {a}, options)[0], together[0]);
  options.seed = 4;
  EXPECT_NE(generate(*model, {a}, options)[0], together[0]);
}

TEST(Generate, AnnouncesTheWindowOnce) {
  const auto model = make_test_model(kLayerTypes[0]);
  int announced = 0;
  const auto count = [&](int64_t max_seq_len) {
    EXPECT_EQ(max_seq_len, kMaxLength);
    ++announced;
  };
  generate(*model, {prompt_of(3)}, greedy(kMaxLength - 3 + 1), {}, count);
  EXPECT_EQ(announced, 0);  // the last token is chosen from a full context
  generate(*model, {prompt_of(3), prompt_of(7, 1)}, greedy(40), {}, count);
  EXPECT_EQ(announced, 1);
}

TEST(Generate, AsksForNoMemoryOnceItRuns) {
  const auto model = make_test_model(kLayerTypes[0]);
  uint64_t requests = 0;
  int64_t tokens = 0;
  generate(*model, {prompt_of(3)}, greedy(200), [&](int64_t, int32_t) {
    if (++tokens == 20) requests = allocator_of(kCpu).stats().system_requests;
    return true;
  });
  EXPECT_EQ(allocator_of(kCpu).stats().system_requests, requests);
  EXPECT_EQ(tokens, 200);
}

// Prompts in pieces of any size, alone and in ragged batches, are the prompts at once.
TEST(Generate, PrefillInPiecesEqualsOnePiece) {
  for (const auto& model : make_test_models()) {
    const std::vector<std::vector<int32_t>> prompts{prompt_of(1), prompt_of(11, 1), prompt_of(4, 2), prompt_of(30, 3)};
    for (const Window window : {Window::half, Window::exact}) {
      std::vector<std::vector<int32_t>> expected;
      for (const auto& prompt : prompts) expected.push_back(greedy_reference(*model, prompt, 8, window));
      for (const int64_t chunk : {1, 5, 12, 100}) {
        GenerateOptions options = greedy(8, window);
        options.prefill_chunk = chunk;
        EXPECT_EQ(generate(*model, prompts, options), expected) << "pieces of " << chunk;
      }
    }
  }
  GenerateOptions none = greedy(3);
  none.prefill_chunk = 0;
  expect_error([&] { generate(*make_test_model(kLayerTypes[0]), {prompt_of(2)}, none); }, {"prefill_chunk", "0"});
}

// What is generated and then continued is one text; caches grow on the way.
TEST(ContinuationTest, GoesOnBehindWhatItGenerated) {
  for (const auto& model : make_test_models(3000)) {
    Continuation sequence(*model, 1, Window::half, 64);
    std::vector<int32_t> text;
    for (const int64_t length : {int64_t{5}, int64_t{1}, int64_t{700}, int64_t{3}}) {
      const std::vector<int32_t> turn = prompt_of(static_cast<size_t>(length), static_cast<uint32_t>(length));
      text.insert(text.end(), turn.begin(), turn.end());
      sequence.add(0, turn);
      const std::vector<int32_t> answer = sequence.generate(greedy(4))[0];
      ASSERT_EQ(answer, generate(*model, {text}, greedy(4))[0]);
      text.insert(text.end(), answer.begin(), answer.end());
    }
    EXPECT_EQ(sequence.cached_tokens(), static_cast<int64_t>(text.size()) - 1);  // the last token was only sampled
  }
}

TEST(ContinuationTest, CachesHoldWhatIsNeededAndNotWhatTheModelCould) {
  const auto model = make_falcon_model(262'144);
  Continuation sequence(*model, 1, Window::half, 512);
  const std::vector<int32_t> prompt = prompt_of(10);
  sequence.add(0, prompt);
  sequence.generate(greedy(50'000), [tokens = 0](int64_t, int32_t) mutable { return ++tokens < 5; });
  EXPECT_LT(sequence.cache_bytes(), model->make_cache(1, 600).nbytes());
}

// The penalty makes every id come once before any comes twice, if it is large and all logits are positive.
TEST(Generate, RepetitionPenaltyCountsPromptAndAnswer) {
  const auto model = make_test_model(kLayerTypes[0]);
  copy(*model->parameters().find("head.bias"), full({kVocabulary}, 50));
  const std::vector<int32_t> prompt{3, 5, 3};
  GenerateOptions options = greedy(kVocabulary - 2);
  options.repetition_penalty = 10;
  const auto results = generate(*model, {prompt, {7}}, options);
  std::vector<int32_t> ids = results[0];
  ids.insert(ids.end(), {3, 5});
  std::sort(ids.begin(), ids.end());
  for (int32_t id = 0; id < kVocabulary; ++id) EXPECT_EQ(ids[static_cast<size_t>(id)], id);
  EXPECT_EQ(std::count(results[1].begin(), results[1].end(), 7), 0);
  EXPECT_EQ(generate(*model, {prompt}, options)[0], results[0]);
  options.repetition_penalty = -1;
  expect_error([&] { generate(*model, {prompt}, options); }, {"penalty must be above 0"});
}

TEST(Generate, ChecksItsInput) {
  const auto model = make_test_model(kLayerTypes[0]);
  EXPECT_TRUE(generate(*model, {}, greedy(3)).empty());
  EXPECT_EQ(generate(*model, {prompt_of(2)}, greedy(0)), std::vector<std::vector<int32_t>>(1));
  expect_error([&] { generate(*model, {prompt_of(2), {}}, greedy(3)); }, {"prompt 1"});
  expect_error([&] { generate(*model, {prompt_of(2)}, greedy(-1)); }, {"max_new_tokens", "-1"});
}

// A vocabulary whose tokens end inside code points: id i stands for byte i mod 7 of one smiley, "a" and one e acute.
// The last id is a special token.
struct ByteTokenizer : Tokenizer {
  static constexpr std::string_view kBytes =
      "\xf0\x9f\x98\x80"
      "a\xc3\xa9";
  static constexpr int32_t kSpecial = kVocabulary - 1;
  std::string name() const override { return "bytes"; }
  int64_t vocab_size() const override { return kVocabulary; }
  uint64_t fingerprint() const override { return 1; }
  std::optional<int32_t> special_id(std::string_view text) const override {
    return text == "<end>" ? std::optional(kSpecial) : std::nullopt;
  }
  bool is_special(int32_t id) const override { return id == kSpecial; }
  void encode(std::string_view text, std::vector<int32_t>& ids) const override {
    ids.resize(ids.size() + text.size(), 4);
  }
  std::string_view token_bytes(int32_t id) const override {
    return id == kSpecial ? "<end>" : kBytes.substr(static_cast<size_t>(id % 7), 1);
  }
  void save(const std::filesystem::path&) const override {}
};

TEST(GenerateText, PrintsWholeCharactersOnly) {
  const auto model = make_test_model(kLayerTypes[0]);
  const ByteTokenizer tokenizer;
  std::string streamed;
  GenerateOptions options;
  options.max_new_tokens = 60;
  const std::string text = generate_text(*model, tokenizer, "abc", options, [&](std::string_view piece) {
                             if (!piece.empty()) {  // begins no piece inside a character
                               EXPECT_NE(static_cast<unsigned char>(piece[0]) >> 6, 2);
                             }
                             streamed += piece;
                             return true;
                           }).text;
  EXPECT_EQ(streamed, text);
  EXPECT_FALSE(text.empty());
  int pieces = 0;
  const GeneratedText cut =
      generate_text(*model, tokenizer, "abc", options, [&](std::string_view) { return ++pieces < 3; });
  EXPECT_EQ(pieces, 3);
  EXPECT_EQ(cut.ids.size(), 3u);
  EXPECT_EQ(cut.end, TextEnd::callback);
  expect_error([&] { generate_text(*model, tokenizer, "", options); }, {"prompt"});
}

TEST(GenerateText, EndsBeforeAStopString) {
  const auto model = make_test_model(kLayerTypes[0]);
  const ByteTokenizer tokenizer;
  GenerateOptions options;
  options.max_new_tokens = 80;
  const std::string all = generate_text(*model, tokenizer, "abc", options).text;
  ASSERT_GT(all.size(), 60u);
  for (const size_t at : {size_t{0}, all.size() / 3, all.size() / 2}) {
    size_t begin = at;
    while ((static_cast<unsigned char>(all[begin]) & 0xC0) == 0x80) ++begin;  // of a character
    size_t end = std::min(begin + 12, all.size());
    while (end < all.size() && (static_cast<unsigned char>(all[end]) & 0xC0) == 0x80) ++end;
    options.stop = {"not there", all.substr(begin, end - begin)};
    std::string streamed;
    const GeneratedText result = generate_text(*model, tokenizer, "abc", options, [&](std::string_view piece) {
      streamed += piece;
      return true;
    });
    EXPECT_EQ(result.text, all.substr(0, all.find(options.stop[1])));
    EXPECT_EQ(streamed, result.text);
    EXPECT_EQ(result.end, TextEnd::stop_string);
    EXPECT_LT(result.ids.size(), 80u);
  }
}

TEST(GenerateText, SpecialTokens) {
  const auto model = make_test_model(kLayerTypes[0]);
  copy(*model->parameters().find("head.bias"), zeros({kVocabulary}));
  model->parameters().find("head.bias")->data<float>()[ByteTokenizer::kSpecial] = 2;
  const ByteTokenizer tokenizer;
  GenerateOptions options;
  options.max_new_tokens = 60;
  std::string shown = generate_text(*model, tokenizer, "abc", options).text;
  const size_t first = shown.find("<end>");
  ASSERT_NE(first, std::string::npos);
  options.hide_special = true;
  EXPECT_EQ(generate_text(*model, tokenizer, "abc", options).text.find("<end>"), std::string::npos);
  options.stop = {"<end>"};  // by its name
  const GeneratedText ended = generate_text(*model, tokenizer, "abc", options);
  EXPECT_EQ(ended.text, shown.substr(0, first));
  EXPECT_EQ(ended.end, TextEnd::end_id);
}

// The same text in pieces of every size: borders do not matter.
TEST(StopStringsTest, WhereverTheBordersLie) {
  struct Case {
    std::vector<std::string> stop;
    std::string text, expected;
  };
  const std::string smiley = "\xf0\x9f\x98\x80";
  const std::vector<Case> cases = {
      {{"END"}, "some text END more", "some text "},
      {{"END"}, "some text EN", "some text EN"},
      {{"aab"}, "aaaaab", "aaa"},
      {{"abcd", "bx"}, "zabcbx", "zabc"},  // held back, then partly something else
      {{"abc", "b"}, "zabc", "za"},        // complete first
      {{"bc", "abc", "c"}, "zabc", "z"},   // at one place: the longest
      {{"\nuser:"}, "hi\nuse\nuser:", "hi\nuse"},
      {{smiley + "!"}, "a" + smiley + smiley + "!", "a" + smiley},
      {{}, "anything", "anything"},
      {{"x"}, "", ""},
  };
  for (const Case& c : cases)
    for (size_t size = 1; size <= c.text.size() + 1; ++size) {
      StopStrings stop(c.stop);
      std::string text;
      for (size_t begin = 0; begin < c.text.size(); begin += size) {
        text += stop.push(std::string_view(c.text).substr(begin, size));
        EXPECT_EQ(text, c.expected.substr(0, text.size()));  // nothing was ever printed too early
      }
      EXPECT_EQ(stop.found(), c.expected.size() < c.text.size());
      text += stop.finish();
      EXPECT_EQ(text, c.expected) << "in pieces of " << size;
      if (stop.found()) {
        EXPECT_EQ(stop.push("more"), "");
      }
    }
  expect_error([] { StopStrings({"a", ""}); }, {"must not be empty"});
  expect_error([] { StopStrings({"\xff"}); }, {"must be UTF-8"});
}

}  // namespace
}  // namespace vigor
