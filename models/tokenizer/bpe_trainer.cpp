#include "models/tokenizer/bpe_trainer.h"

#include <omp.h>

#include <algorithm>
#include <set>

#include "models/tokenizer/char_class.h"
#include "models/tokenizer/content_hash.h"
#include "models/tokenizer/unicode.h"
#include "tensor/check.h"
#include "tensor/file.h"

namespace vigor {
namespace {

constexpr int64_t kProgressTokens = 256;

// The state of training: words as symbols, how often each pair occurs, and a queue of the pairs that could be next.
class Trainer {
 public:
  Trainer(const std::vector<BpeWordCounter::WordCount>& words, const BpeTrainOptions& options) : options_(options) {
    make_alphabet();
    for (const auto& [word, count] : words) {
      words_.push_back({symbols_.size(), static_cast<uint32_t>(word.size()), count});
      for (const char byte : word) symbols_.push_back(byte_ids_[static_cast<uint8_t>(byte)]);
    }
    for (uint32_t w = 0; w < words_.size(); ++w) {
      const int32_t* symbols = symbols_.data() + words_[w].begin;
      for (uint32_t i = 0; i + 1 < words_[w].length; ++i) change_pair(symbols[i], symbols[i + 1], words_[w].count, w);
    }
    queue_new_pairs();
  }

  BpeVocabulary run(const BpeProgress& progress) {
    while (static_cast<int64_t>(result_.tokens.size()) < options_.vocab_size && !queue_.empty()) {
      std::pop_heap(queue_.begin(), queue_.end());
      Candidate top = std::move(queue_.back());
      queue_.pop_back();
      const int64_t count = pairs_[pair_key(top.left, top.right)].count;
      if (count != top.count) {  // it has changed since it was queued: back into the queue
        top.count = count;
        push(std::move(top));
        continue;
      }
      if (count < std::max<int64_t>(options_.min_count, 1)) break;
      const int32_t id = new_token(top.left, top.right);
      result_.merges.push_back({top.left, top.right, id});
      for (const uint32_t w : top.words) merge(w, top.left, top.right, id);
      queue_new_pairs();
      if (progress && result_.merges.size() % kProgressTokens == 0)
        progress(static_cast<int64_t>(result_.tokens.size()));
    }
    return std::move(result_);
  }

 private:
  struct Word {
    size_t begin;
    uint32_t length;
    int64_t count;
  };
  struct Pair {
    int64_t count = 0;
    std::vector<uint32_t> words;  // where it has appeared since it was last queued
  };
  struct Candidate {
    int64_t count;
    int32_t left, right;
    std::vector<uint32_t> words;
    bool operator<(const Candidate& other) const {  // the top of the heap is the most frequent pair
      if (count != other.count) return count < other.count;
      return left != other.left ? left > other.left : right > other.right;
    }
  };
  struct PairHash {
    size_t operator()(uint64_t key) const { return mix_bits(key); }
  };

  void make_alphabet() {
    result_.tokens = options_.special_tokens;
    std::array<int, 256> bytes;
    for (int byte = 0; byte < 256; ++byte) bytes[byte] = byte;
    const ByteAlphabet& alphabet = ByteAlphabet::get();
    std::sort(bytes.begin(), bytes.end(), [&](int a, int b) {
      return alphabet.point(static_cast<uint8_t>(a)) < alphabet.point(static_cast<uint8_t>(b));
    });
    for (const int byte : bytes) {
      byte_ids_[byte] = static_cast<int32_t>(result_.tokens.size());
      result_.tokens.push_back(std::string(1, static_cast<char>(byte)));
    }
  }

  // Two pairs may join to the same bytes ("ab" "c" and "a" "bc"): then there are two rules for one token.
  int32_t new_token(int32_t left, int32_t right) {
    const auto [place, is_new] =
        token_ids_.emplace(result_.tokens[left] + result_.tokens[right], static_cast<int32_t>(result_.tokens.size()));
    if (is_new) result_.tokens.push_back(place->first);
    return place->second;
  }

  void change_pair(int32_t left, int32_t right, int64_t change, uint32_t word) {
    const uint64_t key = pair_key(left, right);
    Pair& pair = pairs_[key];
    pair.count += change;
    if (change <= 0) return;
    if (pair.words.empty()) new_pairs_.push_back(key);
    if (pair.words.empty() || pair.words.back() != word) pair.words.push_back(word);
  }

  void queue_new_pairs() {
    for (const uint64_t key : new_pairs_) {
      Pair& pair = pairs_[key];
      std::vector<uint32_t> words = std::move(pair.words);
      pair.words = {};
      if (pair.count <= 0) continue;
      words.shrink_to_fit();
      push({pair.count, static_cast<int32_t>(key >> 32), static_cast<int32_t>(key), std::move(words)});
    }
    new_pairs_.clear();
  }
  void push(Candidate candidate) {
    queue_.push_back(std::move(candidate));
    std::push_heap(queue_.begin(), queue_.end());
  }

  // Joins the pair wherever it stands in the word, from the left, and corrects the counts of the neighbouring pairs.
  void merge(uint32_t w, int32_t left, int32_t right, int32_t joined) {
    Word& word = words_[w];
    int32_t* symbols = symbols_.data() + word.begin;
    uint32_t length = 0;  // of the new word, written over the old one
    for (uint32_t i = 0; i < word.length;) {
      if (i + 1 == word.length || symbols[i] != left || symbols[i + 1] != right) {
        symbols[length++] = symbols[i++];
        continue;
      }
      if (length > 0) {
        change_pair(symbols[length - 1], left, -word.count, w);
        change_pair(symbols[length - 1], joined, word.count, w);
      }
      i += 2;
      if (i < word.length) {
        change_pair(right, symbols[i], -word.count, w);
        change_pair(joined, symbols[i], word.count, w);
      }
      symbols[length++] = joined;
    }
    word.length = length;
  }

  const BpeTrainOptions& options_;
  BpeVocabulary result_;
  std::array<int32_t, 256> byte_ids_;
  std::vector<int32_t> symbols_;  // of all words
  std::vector<Word> words_;
  std::unordered_map<uint64_t, Pair, PairHash> pairs_;
  std::vector<uint64_t> new_pairs_;
  std::vector<Candidate> queue_;
  std::unordered_map<std::string, int32_t> token_ids_;  // of merged tokens
};

}  // namespace

void BpeTrainOptions::check() const {
  const auto least = static_cast<int64_t>(256 + special_tokens.size());
  vigor::check(vocab_size >= least && vocab_size <= static_cast<int64_t>(BpeFile::kMaxTokens),
               "tokenizer: vocab_size must be from {} (256 bytes and {} special tokens) to {}; got {}", least,
               special_tokens.size(), BpeFile::kMaxTokens, vocab_size);
  vigor::check(min_count >= 1, "tokenizer: min_count must be at least 1; got {}", min_count);
  vigor::check(!words.latex || words.one_symbol, "tokenizer: LaTeX commands as words need punctuation split");
  std::set<std::string_view> seen;
  for (const std::string& token : special_tokens) {
    if (token.size() < 2 || token.size() > AddedToken::kMaxBytes || valid_utf8(token) != token)
      fail("tokenizer: a special token is UTF-8 of 2 to {} bytes; got \"{}\"", AddedToken::kMaxBytes, printable(token));
    if (!seen.insert(token).second) fail("tokenizer: the special token \"{}\" is given twice", printable(token));
  }
}

size_t BpeWordCounter::Hash::operator()(std::string_view word) const { return content_hash(word); }

BpeWordCounter::BpeWordCounter(const BpeTrainOptions& options) : pattern_(options.words) {
  options.check();
  std::vector<AddedToken> tokens;
  for (const std::string& content : options.special_tokens) {
    AddedToken token;
    token.content = content;
    tokens.push_back(std::move(token));
  }
  special_tokens_ = AddedTokenMatcher(std::move(tokens));
}

void BpeWordCounter::add(std::span<const std::string> documents) {
  counts_.resize(std::max<size_t>(counts_.size(), static_cast<size_t>(omp_get_max_threads())));
#pragma omp parallel for schedule(dynamic)
  for (size_t i = 0; i < documents.size(); ++i) count(documents[i], counts_[omp_get_thread_num()]);
}

void BpeWordCounter::count(std::string_view document, Counts& counts) const {
  std::string buffer;
  std::vector<TextPart> parts;
  special_tokens_.split(valid_utf8(document, buffer), parts);
  for (const auto& [text, id] : parts) {
    for (size_t begin = 0; id < 0 && begin < text.size();) {
      const size_t end = pattern_.match(text, begin);
      const std::string_view word = text.substr(begin, end - begin);
      if (const auto found = counts.find(word); found != counts.end()) ++found->second;
      else counts.emplace(word, 1);
      begin = end;
    }
  }
}

std::vector<BpeWordCounter::WordCount> BpeWordCounter::words() const {
  std::vector<WordCount> all;
  for (const Counts& counts : counts_)
    for (const auto& [word, count] : counts) all.push_back({word, count});
  std::sort(all.begin(), all.end(), [](const WordCount& a, const WordCount& b) { return a.word < b.word; });
  std::vector<WordCount> words;
  for (WordCount& each : all) {
    if (!words.empty() && words.back().word == each.word) words.back().count += each.count;
    else words.push_back(std::move(each));
  }
  return words;
}

BpeVocabulary train_bpe(const std::vector<BpeWordCounter::WordCount>& words, const BpeTrainOptions& options,
                        const BpeProgress& progress) {
  options.check();
  return Trainer(words, options).run(progress);
}

}  // namespace vigor
