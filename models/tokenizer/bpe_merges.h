#pragma once
// The BPE model itself: words of bytes to ids, by merging neighbours.
//
// A word starts as one id for each byte. Of all neighbouring pairs that a merge rule knows, the one with the lowest
// rank (the earliest rule) is merged, the leftmost first among equals, until no rule applies (Sennrich, Haddow and
// Birch, "Neural Machine Translation of Rare Words with Subword Units", ACL 2016).
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vigor {

// A merge rule: the pair of ids `left`, `right` becomes `result`. Its rank is its place in the list; of two rules for
// the same pair the later one counts.
struct BpeMerge {
  int32_t left, right, result;
  bool operator==(const BpeMerge&) const = default;
};

// A pair of neighbours as one number, `left` in the upper half.
constexpr uint64_t pair_key(int32_t left, int32_t right) {
  return (static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32) | static_cast<uint32_t>(right);
}

class BpeMerges {
 public:
  // `tokens[id]`: the bytes that an id stands for. `word_ids`: the ids that a word can become; no two have the same
  // bytes. `byte_ids`: those of single bytes. With `ignore_merges`, a word that is a token as a whole becomes that
  // token even if no rules lead there.
  BpeMerges(const std::vector<std::string>& tokens, const std::vector<int32_t>& word_ids,
            const std::array<int32_t, 256>& byte_ids, const std::vector<BpeMerge>& merges, bool ignore_merges);

  // Appends the ids of one word. Most words of a text are tokens as a whole and cost one look-up; a word of n bytes
  // costs at most O(n log n).
  void encode(std::string_view word, std::vector<int32_t>& ids) const;

 private:
  struct Rule {
    uint64_t pair = kNoPair;
    uint32_t rank;
    int32_t result;
  };
  struct WholeWord {
    uint32_t begin = 0, length = 0;  // of the bytes in word_bytes_; length 0: a free place
    int32_t id = 0;
  };
  static constexpr uint64_t kNoPair = ~uint64_t{0};
  static constexpr uint32_t kNoRank = ~uint32_t{0};
  static constexpr size_t kShortWord = 48;  // bytes; longer ones are merged with a heap

  const Rule* find_rule(int32_t left, int32_t right) const;
  WholeWord& word_slot(std::string_view word);
  const WholeWord& word_slot(std::string_view word) const { return const_cast<BpeMerges*>(this)->word_slot(word); }
  void merge_short(std::string_view word, std::vector<int32_t>& ids) const;
  void merge_long(std::string_view word, std::vector<int32_t>& ids) const;

  std::array<int32_t, 256> byte_ids_;
  std::vector<Rule> rules_;             // open addressing, never more than half full
  std::vector<WholeWord> whole_words_;  // likewise
  std::string word_bytes_;
};

}  // namespace vigor
