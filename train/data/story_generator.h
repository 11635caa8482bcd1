#pragma once
// The embedded default data: an endless supply of short children's stories and small dialogues, so that training needs
// nothing but the program. Everything follows from (seed, index): no text depends on the one before it.
//
// The texts come from a context-free grammar (story_grammar.cpp) with a memory: a name, toy or place that was drawn
// once stays the same to the end of the text. It has some hundreds of words and few ways to say a thing, because it
// must be learnt by a model of a million parameters in minutes.
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vigor {

// Text `index`: a story, a dialogue ("User: ...", "Assistant: ..." on lines of their own) or a greeting. ASCII; ends
// with an empty line. No two calls share state.
std::string generate_story(uint64_t seed, uint64_t index);

// The same text as two documents: its beginning and its rest. Prompts stop anywhere, often in the middle of a chunk,
// while whole documents would show a model such a stop only at their end; so each text is tokenised in two pieces.
// Half of the cuts come within the first words, where prompts end, the others anywhere.
std::pair<std::string, std::string> generate_story_pieces(uint64_t seed, uint64_t index);

// What the grammar is made of. In a text, [a|b] picks one alternative, <name> expands a rule, {field} is the field of a
// table row drawn on first use, {Field} the same with a capital.
struct StoryRule {
  std::string_view name, text;
};
struct StoryTable {
  std::string_view fields;             // names, separated by spaces
  std::vector<std::string_view> rows;  // values, separated by "; "
};
const std::vector<StoryRule>& story_rules();
const std::vector<StoryTable>& story_tables();

// Expands one text of this notation; for tests of the grammar. std::logic_error on unknown names or open brackets.
std::string expand_story(std::string_view text, uint64_t seed, uint64_t index);

}  // namespace vigor
