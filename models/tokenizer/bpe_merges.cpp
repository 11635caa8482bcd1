#include "models/tokenizer/bpe_merges.h"

#include <bit>
#include <cstring>
#include <queue>

#include "models/tokenizer/content_hash.h"

namespace vigor {
namespace {

size_t table_size(size_t entries) { return std::bit_ceil(2 * entries + 16); }

uint64_t word_hash(std::string_view word) {
  uint64_t hash = word.size();
  const char* bytes = word.data();
  size_t left = word.size();
  for (; left >= 8; left -= 8, bytes += 8) {
    uint64_t eight;
    std::memcpy(&eight, bytes, 8);
    hash = mix_bits(hash ^ eight);
  }
  uint64_t rest = 0;
  for (size_t i = 0; i < left; ++i) rest |= static_cast<uint64_t>(static_cast<uint8_t>(bytes[i])) << (8 * i);
  return mix_bits(hash ^ rest);
}

}  // namespace

BpeMerges::BpeMerges(const std::vector<std::string>& tokens, const std::vector<int32_t>& word_ids,
                     const std::array<int32_t, 256>& byte_ids, const std::vector<BpeMerge>& merges, bool ignore_merges)
    : byte_ids_(byte_ids), rules_(table_size(merges.size())), whole_words_(table_size(word_ids.size())) {
  for (uint32_t rank = 0; rank < merges.size(); ++rank) {
    const BpeMerge& merge = merges[rank];
    const uint64_t key = pair_key(merge.left, merge.right);
    size_t index = mix_bits(key) & (rules_.size() - 1);
    while (rules_[index].pair != kNoPair && rules_[index].pair != key) index = (index + 1) & (rules_.size() - 1);
    rules_[index] = {key, rank, merge.result};
  }
  // A token is put into the table of whole words only if merging its bytes gives just this token.
  std::vector<int32_t> ids;
  for (const int32_t id : word_ids) {
    const std::string& token = tokens[id];
    if (!ignore_merges) {
      ids.clear();
      token.size() <= kShortWord ? merge_short(token, ids) : merge_long(token, ids);
      if (ids.size() != 1 || ids[0] != id) continue;
    }
    WholeWord& slot = word_slot(token);
    if (slot.length == 0) {
      slot.begin = static_cast<uint32_t>(word_bytes_.size());
      slot.length = static_cast<uint32_t>(token.size());
      word_bytes_ += token;
    }
    slot.id = id;
  }
}

const BpeMerges::Rule* BpeMerges::find_rule(int32_t left, int32_t right) const {
  const uint64_t key = pair_key(left, right);
  size_t index = mix_bits(key) & (rules_.size() - 1);
  while (rules_[index].pair != key) {
    if (rules_[index].pair == kNoPair) return nullptr;
    index = (index + 1) & (rules_.size() - 1);
  }
  return &rules_[index];
}

BpeMerges::WholeWord& BpeMerges::word_slot(std::string_view word) {
  size_t index = word_hash(word) & (whole_words_.size() - 1);
  while (true) {
    WholeWord& slot = whole_words_[index];
    if (slot.length == 0) return slot;
    if (slot.length == word.size() && std::memcmp(word_bytes_.data() + slot.begin, word.data(), word.size()) == 0)
      return slot;
    index = (index + 1) & (whole_words_.size() - 1);
  }
}

void BpeMerges::encode(std::string_view word, std::vector<int32_t>& ids) const {
  if (const WholeWord& whole = word_slot(word); whole.length > 0) ids.push_back(whole.id);
  else if (word.size() <= kShortWord) merge_short(word, ids);
  else merge_long(word, ids);
}

// The rule of every pair in an array; the best is searched anew each time, which is fast for some ten symbols.
void BpeMerges::merge_short(std::string_view word, std::vector<int32_t>& ids) const {
  std::array<int32_t, kShortWord> symbols;
  std::array<uint32_t, kShortWord> ranks;  // of the pair (i, i + 1)
  std::array<int32_t, kShortWord> results;
  size_t count = word.size();
  for (size_t i = 0; i < count; ++i) symbols[i] = byte_ids_[static_cast<uint8_t>(word[i])];
  const auto look_up = [&](size_t i) {
    const Rule* rule = i + 1 < count ? find_rule(symbols[i], symbols[i + 1]) : nullptr;
    ranks[i] = rule == nullptr ? kNoRank : rule->rank;
    results[i] = rule == nullptr ? 0 : rule->result;
  };
  for (size_t i = 0; i < count; ++i) look_up(i);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i)
      if (ranks[i] < ranks[best]) best = i;
    if (ranks[best] == kNoRank) break;
    symbols[best] = results[best];
    --count;
    for (size_t i = best + 1; i < count; ++i) {
      symbols[i] = symbols[i + 1];
      ranks[i] = ranks[i + 1];
      results[i] = results[i + 1];
    }
    look_up(best);
    if (best > 0) look_up(best - 1);
  }
  ids.insert(ids.end(), symbols.begin(), symbols.begin() + count);
}

// A linked list of symbols, and a heap of the pairs that rules know; entries whose pair has changed are skipped.
void BpeMerges::merge_long(std::string_view word, std::vector<int32_t>& ids) const {
  struct Symbol {
    int32_t id;
    size_t previous, next;
  };
  struct Candidate {
    uint32_t rank;
    size_t position;
    int32_t left, right, result;
    bool operator<(const Candidate& other) const {  // the top of the heap is the lowest rank, then the leftmost
      return rank != other.rank ? rank > other.rank : position > other.position;
    }
  };
  constexpr int32_t kMerged = -1;
  const size_t end = word.size();
  std::vector<Symbol> symbols(end);
  std::priority_queue<Candidate> heap;
  const auto push = [&](size_t position) {
    const size_t next = symbols[position].next;
    if (next == end) return;
    const int32_t left = symbols[position].id, right = symbols[next].id;
    if (const Rule* rule = find_rule(left, right)) heap.push({rule->rank, position, left, right, rule->result});
  };
  for (size_t i = 0; i < end; ++i) symbols[i] = {byte_ids_[static_cast<uint8_t>(word[i])], i - 1, i + 1};
  for (size_t i = 0; i < end; ++i) push(i);
  while (!heap.empty()) {
    const Candidate top = heap.top();
    heap.pop();
    Symbol& symbol = symbols[top.position];
    if (symbol.id != top.left || symbol.next == end || symbols[symbol.next].id != top.right) continue;
    Symbol& right = symbols[symbol.next];
    symbol.id = top.result;
    right.id = kMerged;
    symbol.next = right.next;
    if (symbol.next != end) symbols[symbol.next].previous = top.position;
    push(top.position);
    if (top.position > 0) push(symbol.previous);
  }
  for (size_t i = 0; i < end; i = symbols[i].next) ids.push_back(symbols[i].id);
}

}  // namespace vigor
