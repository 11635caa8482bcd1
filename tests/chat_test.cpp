// Conversations with a small Falcon-H1 model of random weights: caches from turn to turn against computing all again.
#include "models/chat.h"

#include <gtest/gtest.h>

#include "models/families.h"
#include "models/hf/end_ids.h"
#include "tensor/file.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/testing.h"

namespace vigor {
namespace {

using testing::expect_error;

constexpr const char* kChatMl =
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

struct ChatFixture {
  std::unique_ptr<Tokenizer> tokenizer =
      load_tokenizer(VIGOR_SOURCE_DIR "/tests/fixtures/tokenizer/falcon_h1/tokenizer.json");
  std::unique_ptr<LanguageModel> model;
  ChatFixture() {
    const auto config = parse_config(
        fmt::format(R"({{"model_type":"falcon_h1","vocab_size":{},"hidden_size":16,"intermediate_size":20,)"
                    R"("num_hidden_layers":2,"num_attention_heads":2,"num_key_value_heads":1,"head_dim":8,)"
                    R"("mamba_d_ssm":16,"mamba_n_heads":2,"mamba_d_head":8,"mamba_d_state":4,"mamba_n_groups":1,)"
                    R"("mamba_rms_norm":false,"tie_word_embeddings":false,"max_position_embeddings":4000}})",
                    tokenizer->vocab_size()),
        "test");
    model = make_model(*config);
    model->allocate();
    uint32_t salt = 0;
    for (const ArenaSlot& slot : model->parameters().parameters())
      copy(slot.tensor, normal(slot.tensor.shape(), slot.name.find("norm") != std::string::npos ? 1.0 : 0.0, 0.3,
                               RandomKey{12, RandomStream::data, salt++, 0}));
  }
  GenerateOptions options() const {
    GenerateOptions made;
    made.max_new_tokens = 8;
    made.sampling.greedy = true;
    return made;
  }
};

TEST(ChatTest, EveryTurnGoesOnFromTheCache) {
  const ChatFixture c;
  Chat chat(*c.model, *c.tokenizer, ChatTemplate(kChatMl), c.options());
  chat.set_system("Be brief.");
  std::string conversation = "<|im_start|>system\nBe brief.<|im_end|>\n";
  std::vector<int32_t> ids;  // of the whole conversation, tokenised where the chat does
  std::string tail = conversation;
  for (const std::string user : {"Hello there!", "What is 2 + 2?", "Th\xc3\xa9 end."}) {
    tail += "<|im_start|>user\n" + user + "<|im_end|>\n<|im_start|>assistant\n";
    const std::vector<int32_t> added = c.tokenizer->encode(tail);
    ids.insert(ids.end(), added.begin(), added.end());
    const GeneratedText answer = chat.say(user);
    EXPECT_EQ(answer.prompt_tokens, static_cast<int64_t>(added.size())) << "only what is new is computed";
    GenerateOptions options = c.options();
    options.end_ids = {*c.tokenizer->special_id("<|im_end|>")};
    const std::vector<int32_t> expected = generate(*c.model, {ids}, options)[0];
    ASSERT_EQ(answer.ids, expected);
    ids.insert(ids.end(), expected.begin(), expected.end());
    tail = "<|im_end|>\n";
    EXPECT_EQ(chat.messages().back().role, "assistant");
    EXPECT_EQ(chat.messages().back().content, answer.text);
  }
  EXPECT_EQ(chat.messages().size(), 7u);
}

// A template that writes earlier answers differently: all of it is computed again.
TEST(ChatTest, StartsOverWhereTheTemplateDoes) {
  const ChatFixture c;
  const std::string source =
      "{% for m in messages %}{{ m.role if m.role == 'user' else '...' }}: {{ m.content if "
      "m.role == 'user' or loop.last }}\n{% endfor %}answer: ";
  const ChatTemplate chat_template(source);
  Chat chat(*c.model, *c.tokenizer, chat_template, c.options());
  chat.say("one");
  const GeneratedText second = chat.say("two");
  const std::vector<int32_t> whole = c.tokenizer->encode("user: one\n...: \nuser: two\nanswer: ");
  EXPECT_EQ(second.prompt_tokens, static_cast<int64_t>(whole.size()));
  EXPECT_EQ(second.ids, generate(*c.model, {whole}, c.options())[0]);
}

TEST(ChatTest, EndsAtTheTokenThatTheTemplatePutsBehindAnAnswerAndShowsNoSpecialOne) {
  const ChatFixture c;
  const int32_t end = *c.tokenizer->special_id("<|im_end|>"), start = *c.tokenizer->special_id("<|im_start|>");
  // Weights that choose by the last token alone: behind everything comes <|im_start|>, and behind that <|im_end|>.
  for (const ArenaSlot& slot : c.model->parameters().parameters())
    copy(slot.tensor, full(slot.tensor.shape(), slot.name.find("norm") != std::string::npos ? 1 : 0));
  float* embedding = c.model->parameters().find("model.embed_tokens.weight")->data<float>();
  float* head = c.model->parameters().find("lm_head.weight")->data<float>();
  for (int64_t id = 0; id < c.tokenizer->vocab_size(); ++id) embedding[id * 16 + (id == start ? 1 : 0)] = 1;
  head[start * 16 + 0] = 1;
  head[end * 16 + 1] = 1;
  GenerateOptions options = c.options();
  const GeneratedText without = generate_text(*c.model, *c.tokenizer, "a", options);
  EXPECT_EQ(without.text, "<|im_start|><|im_end|><|im_start|><|im_end|><|im_start|><|im_end|><|im_start|><|im_end|>");
  Chat chat(*c.model, *c.tokenizer, ChatTemplate(kChatMl), options);
  const GeneratedText answer = chat.say("a");
  EXPECT_EQ(answer.ids, std::vector<int32_t>{start});
  EXPECT_EQ(answer.text, "");
  EXPECT_EQ(answer.end, TextEnd::end_id);
}

TEST(ChatTest, ATurnThatTheTemplateRefusesDoesNotCount) {
  const ChatFixture c;
  const ChatTemplate chat_template("{{ raise_exception('no systems') if messages[0].role == 'system' }}" +
                                   std::string(kChatMl));
  Chat chat(*c.model, *c.tokenizer, chat_template, c.options());
  chat.set_system("s");
  expect_error([&] { chat.say("hi"); }, {"chat template: line 1: no systems"});
  EXPECT_EQ(chat.messages().size(), 1u);
  expect_error<std::logic_error>([&] { chat.set_system("t"); }, {"before the first turn"});
}

TEST(EndIds, OfAllFilesThatNameThem) {
  const testing::TemporaryFolder folder;
  const ChatFixture c;
  EXPECT_EQ(end_ids_of(folder.path(), *c.tokenizer).size(), c.tokenizer->end_id() ? 1u : 0u);
  write_file(folder.path() / "config.json", R"({"eos_token_id": 7})");
  write_file(folder.path() / "generation_config.json", R"({"eos_token_id": [9, 7, -1, 8]})");
  std::vector<int32_t> ids = end_ids_of(folder.path(), *c.tokenizer);
  ids.resize(3);
  EXPECT_EQ(ids, (std::vector<int32_t>{9, 7, 8}));
  write_file(folder.path() / "config.json", R"({"eos_token_id": null})");
  EXPECT_EQ(end_ids_of(folder.path(), *c.tokenizer)[0], 9);
  write_file(folder.path() / "config.json", R"({"eos_token_id": "x"})");
  expect_error([&] { end_ids_of(folder.path(), *c.tokenizer); }, {"config.json", "eos_token_id"});
}

}  // namespace
}  // namespace vigor
