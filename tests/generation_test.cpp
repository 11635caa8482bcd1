// Generation from caches against recomputing the whole context for every token.
#include <gtest/gtest.h>

#include <algorithm>

#include "autograd/variable.h"
#include "kernels/views/views.h"
#include "models/families.h"
#include "models/generation.h"
#include "models/tokenizer/chunk_tokenizer.h"
#include "tests/support/testing.h"

namespace vigor {
namespace {

using testing::expect_close;
using testing::expect_equal;
using testing::expect_error;

constexpr int64_t kMaxLength = 12, kVocabulary = 29;

// Weights large enough that contexts matter and greedy choices vary.
std::unique_ptr<LanguageModel> make_test_model(const std::string& layer_types) {
  const auto config = parse_config(fmt::format(R"({{"model_type":"i3","vocab_size":{},"d_model":16,"n_heads":4,)"
                                               R"("max_seq_len":{},"d_state":5,"layer_types":{}}})",
                                               kVocabulary, kMaxLength, layer_types),
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
  for (const char* types : kLayerTypes) {
    const auto model = make_test_model(types);
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
  for (const char* types : kLayerTypes) {
    const auto model = make_test_model(types);
    for (const Window window : {Window::half, Window::exact}) {
      for (const size_t length : {size_t{1}, size_t{5}, size_t{kMaxLength - 1}, size_t{kMaxLength}, size_t{40}}) {
        const std::vector<int32_t> prompt = prompt_of(length);
        EXPECT_EQ(generate(*model, {prompt}, greedy(30, window))[0], greedy_reference(*model, prompt, 30, window))
            << types << " length " << length;
      }
    }
  }
}

TEST(Generate, RaggedBatchesEqualSinglePrompts) {
  const auto model = make_test_model(kLayerTypes[0]);
  const std::vector<std::vector<int32_t>> prompts{prompt_of(1), prompt_of(9, 1), prompt_of(4, 2), prompt_of(30, 3)};
  const auto results = generate(*model, prompts, greedy(20));
  for (size_t b = 0; b < prompts.size(); ++b)
    EXPECT_EQ(results[b], greedy_reference(*model, prompts[b], 20, Window::half)) << b;
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
  options.end_id = full_results[0][4];
  const std::vector<int32_t> ended = generate(*model, {prompts[0]}, options)[0];
  const auto first = std::find(full_results[0].begin(), full_results[0].end(), *options.end_id);
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

TEST(Generate, ChecksItsInput) {
  const auto model = make_test_model(kLayerTypes[0]);
  EXPECT_TRUE(generate(*model, {}, greedy(3)).empty());
  EXPECT_EQ(generate(*model, {prompt_of(2)}, greedy(0)), std::vector<std::vector<int32_t>>(1));
  expect_error([&] { generate(*model, {prompt_of(2), {}}, greedy(3)); }, {"prompt 1"});
  expect_error([&] { generate(*model, {prompt_of(2)}, greedy(-1)); }, {"max_new_tokens", "-1"});
}

// A vocabulary whose tokens end inside code points.
TEST(GenerateText, PrintsWholeCharactersOnly) {
  const auto model = make_test_model(kLayerTypes[0]);
  struct Bytes : Tokenizer {
    Bytes() {
      for (int i = 0; i < kVocabulary; ++i)
        pieces.push_back(std::string("\xf0\x9f\x98\x80"
                                     "a\xc3\xa9")
                             .substr(static_cast<size_t>(i % 7), 1));
    }
    std::string name() const override { return "bytes"; }
    int64_t vocab_size() const override { return kVocabulary; }
    uint64_t fingerprint() const override { return 1; }
    void encode(std::string_view text, std::vector<int32_t>& ids) const override {
      ids.resize(ids.size() + text.size(), 4);
    }
    std::string_view token_bytes(int32_t id) const override { return pieces[static_cast<size_t>(id)]; }
    void save(const std::filesystem::path&) const override {}
    std::vector<std::string> pieces;
  } tokenizer;
  std::string streamed;
  GenerateOptions options;
  options.max_new_tokens = 60;
  const std::string text = generate_text(*model, tokenizer, "abc", options, [&](std::string_view piece) {
    EXPECT_NE(static_cast<unsigned char>(piece[0]) >> 6, 2);  // no piece begins inside a character
    streamed += piece;
    return true;
  });
  EXPECT_EQ(streamed, text);
  EXPECT_FALSE(text.empty());
  int pieces = 0;
  generate_text(*model, tokenizer, "abc", options, [&](std::string_view) { return ++pieces < 3; });
  EXPECT_EQ(pieces, 3);
  expect_error([&] { generate_text(*model, tokenizer, "", options); }, {"prompt"});
}

}  // namespace
}  // namespace vigor
