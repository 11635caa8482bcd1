// Chat templates against transformers (tests/parity/make_chat_template_fixture.py), hostile ones, and model folders.
#include "models/chat_template.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "models/jinja/interpreter.h"
#include "tensor/file.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/testing.h"

namespace vigor {
namespace {

using testing::expect_error;
using Json = nlohmann::json;

std::string rendered(std::string_view source, const std::vector<ChatMessage>& messages = {{"user", "hi"}},
                     bool add_generation_prompt = true) {
  return ChatTemplate(source, {{"bos_token", "<s>"}}).render(messages, add_generation_prompt);
}

TEST(ChatTemplate, EqualsTransformers) {
  std::ifstream file(VIGOR_SOURCE_DIR "/tests/fixtures/chat_templates.json");
  const Json fixture = Json::parse(file);
  ChatTemplate::SpecialTokens tokens;
  for (const auto& [name, text] : fixture["tokens"].items()) tokens.emplace_back(name, text);
  int compared = 0, refused = 0;
  for (const Json& entry : fixture["templates"]) {
    for (size_t i = 0; i < entry["rendered"].size(); ++i) {
      if (entry["rendered"][i].is_null()) continue;  // a single feature: one conversation is enough
      std::vector<ChatMessage> messages;
      for (const Json& message : fixture["conversations"][i]) messages.push_back({message["role"], message["content"]});
      for (const bool add : {false, true}) {
        const std::string source = entry["source"];
        SCOPED_TRACE(entry["name"].get<std::string>() + ", conversation " + std::to_string(i) + "\n" + source);
        const Json& expected = entry["rendered"][i][add ? 1 : 0];
        if (expected.is_null()) {
          expect_error([&] { ChatTemplate(source, tokens).render(messages, add); }, {"chat template: line "});
          ++refused;
        } else {
          EXPECT_EQ(ChatTemplate(source, tokens).render(messages, add), expected.get<std::string>());
          ++compared;
        }
      }
    }
  }
  EXPECT_GT(compared, 100);
  EXPECT_GT(refused, 10);
}

TEST(ChatTemplate, NamesWhatItDoesNotSupport) {
  const std::vector<std::pair<const char*, const char*>> cases = {
      {"{{ messages | tojson }}", "the filter \"tojson\" is not supported"},
      {"{{ 'a' is divisibleby }}", "the test \"is divisibleby\" is not supported"},
      {"{{ 'a'.upper() }}", "the method upper() of a string is not supported"},
      {"{{ range(3) }}", "the function \"range\" is not supported"},
      {"{{ strftime_now('%d') }}", "the function \"strftime_now\" is not supported"},
      {"{% macro m() %}{% endmacro %}", "the statement \"macro\" is not supported"},
      {"{% for a, b in messages %}{% endfor %}", "a loop over several variables is not supported"},
      {"{% for m in messages if m %}{% endfor %}", "\"if\" behind a loop's list is not supported"},
      {"{% set a, b = 1, 2 %}", "an assignment to several variables is not supported"},
      {"{% set a %}b{% endset %}", "{% set %} with a body is not supported"},
      {"{{ 1.5 }}", "numbers with a fraction are not supported"},
      {"{{ 2 ** 3 }}", "the operator ** is not supported"},
      {"{{ 1 / 2 }}", "the operator / is not supported"},
      {"{{ [[1]] }}", "a list in a list is not supported"},
      {"{{ messages }}", "a list cannot be printed"},
      {"{{ messages == messages }}", "a list cannot be compared"},
      {"{{ raise_exception('no such role') }}", "no such role"},
      {"{{ nothing.a }}", "\"nothing\" is not defined"},
      {"{{ 'a' ! 'b' }}", "unexpected ! 'b'"},
      {"{{ 'a", "a string has no end"},
      {"{{ 'a'", "a tag has no end"},
      {"{# a", "a comment has no end"},
      {"{{ 99999999999999999999 }}", "a number is too large"},
      {"{{ 9223372036854775807 + 1 }}", "a number is too large"},
      {"{% if true %}", "endif is missing"},
      {"{{ }}", "expected a value, got the end of the tag"},
  };
  for (const auto& [source, what] : cases) {
    SCOPED_TRACE(source);
    expect_error([&] { rendered(std::string("\n\n") + source); }, {"chat template: line 3: ", what});
  }
  // What is not reached may be anything that can be read.
  EXPECT_EQ(rendered("{% if tools %}{{ tools | tojson(indent=2) }}{{ f(1, a=2)[0].x }}{% else %}b{% endif %}"), "b");
}

// Nothing that a template can say takes long, much memory, or the stack.
TEST(ChatTemplate, HostileTemplatesEndSoon) {
  const auto repeated = [](const std::string& text, int n) {
    std::string all;
    for (int i = 0; i < n; ++i) all += text;
    return all;
  };
  const std::string doubling = repeated("{% set a = a + a %}", 60), deep = repeated("(", 100'000);
  const std::string ten = "[1,2,3,4,5,6,7,8,9,10]";
  std::string nested;
  for (int i = 0; i < 12; ++i) nested += "{% for x in " + ten + " %}";
  const std::vector<std::string> sources = {
      "{% set a = 'aaaaaaaaaaaaaaaa' %}" + doubling,
      "{% set a = [1, 2, 3] %}" + doubling + "{{ a | length }}",
      "{% set a = 'x' %}{% for m in " + ten + " %}" + repeated("{{ a }}", 10) + "{% endfor %}" + doubling,
      nested + repeated("{% endfor %}", 12),
      "{{ " + deep,
      "{{ " + repeated("[", 100'000),
      "{{ " + repeated("not ", 100'000) + "1 }}",
      "{{ " + repeated("-", 100'000) + "1 }}",
      "{{ 1" + repeated(" + 1", 100'000) + " }}",
      "{{ a" + repeated(".a", 100'000) + " }}",
      "{{ a" + repeated(" if a else a", 100'000) + " }}",
      repeated("{% if true %}", 50'000),
      repeated("{% for x in messages %}", 1000) + repeated("{% endfor %}", 1000),
      "{% set a = 'a' %}" + repeated("{% set a = a.replace('a', 'aaaaaaaaaaaaaaaa') %}", 30),
      "{% set n = namespace(a='a') %}" + repeated("{% set n.a = [n.a, n.a] | join(n.a) %}", 40),
      "{% set n = namespace(a=1) %}{% set n.a = n %}",
      "{% set n = namespace(a=1) %}{% set m = [n] %}",
      std::string(ChatTemplate::kMaxBytes + 1, 'x'),
  };
  for (const std::string& source : sources) {
    SCOPED_TRACE(source.substr(0, 80));
    expect_error([&] { rendered(source); }, {"chat template"});
  }
}

TEST(ChatTemplate, LimitsAreKept) {
  jinja::Limits limits;
  limits.output_bytes = 5;
  const jinja::Body five = jinja::parse("{{ 'ab' }}cde"), six = jinja::parse("abcd{{ 'ef' }}");
  EXPECT_EQ(jinja::render(five, {}, limits), "abcde");
  expect_error([&] { jinja::render(six, {}, limits); }, {"more than 5 bytes"});
  limits.work = 3;
  expect_error([&] { jinja::render(jinja::parse("{{ 1 + 1 }}"), {}, limits); }, {"within 3 steps"});
}

// ---- where templates are kept ----

TEST(ChatTemplateFolder, FindsTheTemplateAndTheTokens) {
  const testing::TemporaryFolder folder;
  const auto config = folder.path() / "tokenizer_config.json";
  EXPECT_FALSE(ChatTemplate::load(folder.path()));
  write_file(config, R"({"bos_token": "<s>", "pad_token": null})");
  EXPECT_FALSE(ChatTemplate::load(folder.path()));
  const std::vector<ChatMessage> messages = {{"user", "hi"}};
  write_file(config, R"({"bos_token": "<s>", "eos_token": {"content": "</s>", "special": true}, "x": [[[[[1]]]]],
                         "chat_template": "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}"})");
  EXPECT_EQ(ChatTemplate::load(folder.path())->render(messages, false), "<s>hi</s>");
  EXPECT_EQ(ChatTemplate::load(folder.path())->special_tokens(),
            (ChatTemplate::SpecialTokens{{"bos_token", "<s>"}, {"eos_token", "</s>"}}));
  write_file(config,
             R"({"chat_template": [{"name": "tools", "template": "t"}, {"name": "default", "template": "d"}]})");
  EXPECT_EQ(ChatTemplate::load(folder.path())->render(messages, false), "d");
  write_file(folder.path() / "chat_template.jinja", "of the file\n");
  EXPECT_EQ(ChatTemplate::load(folder.path())->render(messages, false), "of the file");
}

TEST(ChatTemplateFolder, RefusesWhatIsWrong) {
  const testing::TemporaryFolder folder;
  const auto config = folder.path() / "tokenizer_config.json";
  const std::vector<std::pair<const char*, const char*>> cases = {
      {"{", "not valid JSON"},
      {"[]", "must be a JSON object"},
      {R"({"chat_template": 1})", "must be a string or a list"},
      {R"({"chat_template": [{"name": "a", "template": "t"}, {"name": "b", "template": "t"}]})", "called default"},
      {R"({"chat_template": [{"name": "a"}]})", "must have a name and a template"},
      {R"({"bos_token": 1})", "bos_token must be a string"},
      {R"({"chat_template": "{{"})", "line 1: a tag has no end"},
  };
  for (const auto& [text, what] : cases) {
    write_file(config, text);
    expect_error([&] { ChatTemplate::load(folder.path()); }, {"tokenizer_config.json: ", what});
  }
  std::string many = "{\"chat_template\": {";  // keys: each of them would be compared with all before it
  for (int i = 0; i < 300'000; ++i) many += fmt::format("{}\"{:x}\":0", i == 0 ? "" : ",", i);
  write_file(config, many + "}}");
  expect_error([&] { ChatTemplate::load(folder.path()); }, {"must be a string or a list"});
  std::string deep(1 << 20, '[');
  write_file(config, "{\"chat_template\": " + deep);
  expect_error([&] { ChatTemplate::load(folder.path()); }, {"tokenizer_config.json: not valid JSON"});
}

}  // namespace
}  // namespace vigor
