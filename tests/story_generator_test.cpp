// The embedded stories: well-formed, deterministic, correct small English.
#include "train/data/story_generator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <set>
#include <sstream>
#include <stdexcept>

namespace vigor {
namespace {

TEST(StoryGenerator, TextIsAFunctionOfSeedAndIndex) {
  std::set<std::string> texts;
  for (uint64_t index = 0; index < 300; ++index) texts.insert(generate_story(1, index));
  EXPECT_GT(texts.size(), 250u);  // short talks may repeat, stories hardly ever
  const std::string later = generate_story(1, 299), other_seed = generate_story(2, 299);
  EXPECT_EQ(generate_story(1, 299), later);
  EXPECT_NE(later, other_seed);
}

TEST(StoryGenerator, TextsAreWellFormed) {
  std::set<std::string> words;
  for (uint64_t index = 0; index < 5000; ++index) {
    const std::string text = generate_story(5, index);
    ASSERT_GT(text.size(), 20u);
    ASSERT_LT(text.size(), 1500u) << text;
    ASSERT_TRUE(text.ends_with("\n\n"));
    ASSERT_TRUE(std::isupper(static_cast<unsigned char>(text[0]))) << text;
    ASSERT_EQ(text.find_first_of("[]{}<>|;"), std::string::npos) << text;
    ASSERT_EQ(text.find("  "), std::string::npos) << text;
    ASSERT_EQ(std::count(text.begin(), text.end(), '"') % 2, 0) << text;
    for (const char c : text) ASSERT_TRUE(c == '\n' || (c >= ' ' && c <= '~')) << text;
    for (size_t i = 1; i + 1 < text.size(); ++i) {  // after a full stop comes a capital, a quotation mark or the end
      if (text[i] != '.' || text[i + 1] != ' ') continue;
      ASSERT_TRUE(std::isupper(static_cast<unsigned char>(text[i + 2])) || text[i + 2] == '"') << text.substr(i);
    }
    for (const char* wrong : {" a a", " a e", " a i", " a o", " an b", " an f", " an l", " an s", "a owl"}) {
      ASSERT_EQ(text.find(wrong), std::string::npos) << wrong << " in " << text;
    }
    std::string word;
    for (const char c : text) {
      if (std::isalpha(static_cast<unsigned char>(c))) {
        word.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
      } else if (!word.empty()) {
        words.insert(word);
        word.clear();
      }
    }
  }
  EXPECT_GT(words.size(), 300u);
  EXPECT_LT(words.size(), 800u);
}

TEST(StoryGenerator, AllKindsOfTextAppear) {
  int stories = 0, dialogues = 0, greetings = 0;
  for (uint64_t index = 0; index < 1000; ++index) {
    const std::string text = generate_story(1, index);
    if (text.starts_with("User: ")) {
      ++dialogues;
      EXPECT_NE(text.find("\nAssistant: "), std::string::npos);
    } else if (text.starts_with("Hello!")) {
      ++greetings;
    } else {
      ++stories;
    }
  }
  EXPECT_GT(stories, 400);
  EXPECT_GT(dialogues, 200);
  EXPECT_GT(greetings, 50);
}

TEST(StoryGenerator, PiecesJoinToTheText) {
  int prompts = 0;
  for (uint64_t index = 0; index < 2000; ++index) {
    const auto pieces = generate_story_pieces(3, index);
    EXPECT_FALSE(pieces.first.empty());
    EXPECT_FALSE(pieces.second.empty());
    EXPECT_EQ(pieces.first + pieces.second, generate_story(3, index));
    prompts += pieces.first == "Once upon a time" || pieces.first == "User: Tell me" || pieces.first == "Hello";
  }
  EXPECT_GT(prompts, 50);  // where prompts end is seen often
}

TEST(StoryGenerator, NamesStayAndDiffer) {
  for (uint64_t index = 0; index < 500; ++index) {
    std::istringstream names(expand_story("{hero} {friend} {hero} {Hero} {friend}", 1, index));
    std::string hero, buddy, hero_again, capital, buddy_again;
    names >> hero >> buddy >> hero_again >> capital >> buddy_again;
    EXPECT_EQ(hero, hero_again);
    EXPECT_EQ(hero, capital);
    EXPECT_EQ(buddy, buddy_again);
    EXPECT_NE(hero, buddy);
  }
}

TEST(StoryGenerator, EveryRuleExpands) {
  for (const StoryRule& rule : story_rules()) {
    for (uint64_t index = 0; index < 50; ++index) EXPECT_FALSE(expand_story(rule.text, 1, index).empty()) << rule.name;
  }
  EXPECT_THROW(expand_story("<no such rule>", 1, 0), std::logic_error);
  EXPECT_THROW(expand_story("{nobody}", 1, 0), std::logic_error);
  EXPECT_THROW(expand_story("[a|b", 1, 0), std::logic_error);
}

}  // namespace
}  // namespace vigor
