#include "train/data/batches.h"

#include <algorithm>

#include "tensor/check.h"
#include "tensor/op_scope.h"
#include "tensor/philox.h"

namespace vigor {
namespace {

uint64_t join(uint32_t low, uint32_t high) { return uint64_t{high} << 32 | low; }

// A number in 0..count-1 from 64 random bits: the high half of their product (bias below count / 2^64).
int64_t scale(uint64_t bits, int64_t count) {
  return static_cast<int64_t>(static_cast<unsigned __int128>(bits) * static_cast<uint64_t>(count) >> 64);
}

// One row of ids and its targets, from the length + 1 ids at `start`.
void read_row(const TokenStream& tokens, int64_t start, std::span<int32_t> ids, std::span<int32_t> targets) {
  tokens.read(start, ids);
  std::copy(ids.begin() + 1, ids.end(), targets.begin());
  tokens.read(start + static_cast<int64_t>(ids.size()), targets.last(1));
}

template <class Part>
std::vector<WeightedStream> streams_of(const std::vector<SourceTokens>& sources, Part part) {
  std::vector<WeightedStream> streams;
  for (const SourceTokens& source : sources) {
    if ((source.*part).size() > 0) streams.push_back({source.source.path, source.*part, source.source.weight});
  }
  return streams;
}

}  // namespace

std::vector<WeightedStream> train_streams(const std::vector<SourceTokens>& sources) {
  return streams_of(sources, &SourceTokens::train);
}

std::vector<WeightedStream> valid_streams(const std::vector<SourceTokens>& sources) {
  return streams_of(sources, &SourceTokens::valid);
}

BatchSampler::BatchSampler(std::vector<WeightedStream> streams, uint64_t seed, int64_t seq_len)
    : streams_(std::move(streams)), seed_(seed), seq_len_(seq_len) {
  check(seq_len >= 1, "data: the sequence length must be at least 1; got {}", seq_len);
  check(!streams_.empty(), "data: at least one source with text is needed; got none");
  double total = 0;
  for (const WeightedStream& stream : streams_) {
    check(stream.tokens.size() > seq_len, "data: a sequence of {} needs {} ids; {} has only {}", seq_len, seq_len + 1,
          stream.name, stream.tokens.size());
    total += stream.weight.value_or(static_cast<double>(stream.tokens.size()));
    upper_.push_back(total);
  }
  for (double& bound : upper_) bound /= total;
}

BatchSampler::Window BatchSampler::window(uint32_t step, int64_t row) const {
  const RandomKey key{seed_, RandomStream::data, /*salt=*/0, step};
  const PhiloxWords random = random_block(key, static_cast<uint64_t>(row));
  const double share = static_cast<double>(join(random.word[0], random.word[1]) >> 11) * 0x1p-53;  // [0, 1)
  const size_t source = std::upper_bound(upper_.begin(), upper_.end() - 1, share) - upper_.begin();
  const TokenStream& tokens = streams_[source].tokens;
  return {tokens, scale(join(random.word[2], random.word[3]), tokens.size() - seq_len_)};
}

void BatchSampler::sample(uint32_t step, int64_t first_row, std::span<int32_t> ids, std::span<int32_t> targets) const {
  const size_t length = static_cast<size_t>(seq_len_);
  check(ids.size() == targets.size() && ids.size() % length == 0,
        "data: ids and targets must be [B,T] with T = {}; got {} and {} numbers", seq_len_, ids.size(), targets.size());
  const PhaseScope phase(Phase::data);
  const OpScope scope("sample_batch", {}, 0, static_cast<double>(ids.size_bytes() + targets.size_bytes()));
  for (size_t row = 0; row < ids.size() / length; ++row) {
    const Window w = window(step, first_row + static_cast<int64_t>(row));
    read_row(w.tokens, w.start, ids.subspan(row * length, length), targets.subspan(row * length, length));
  }
}

void BatchSampler::prefetch(uint32_t step, int64_t rows) const {
  for (int64_t row = 0; row < rows; ++row) {
    const Window w = window(step, row);
    w.tokens.prefetch(w.start, seq_len_ + 1);
  }
}

EvaluationBatches::EvaluationBatches(std::vector<WeightedStream> streams, int64_t batch_size, int64_t seq_len,
                                     int64_t max_batches)
    : streams_(std::move(streams)), batch_size_(batch_size), seq_len_(seq_len), whole_only_(max_batches > 0) {
  check(batch_size >= 1 && seq_len >= 1 && max_batches >= 0,
        "data: batch size and sequence length must be at least 1; got {} and {}", batch_size, seq_len);
  int64_t windows = 0;
  for (const WeightedStream& stream : streams_) {
    first_window_.push_back(windows);
    const int64_t targets = std::max<int64_t>(stream.tokens.size() - 1, 0);
    windows += whole_only_ ? targets / seq_len : (targets + seq_len - 1) / seq_len;
  }
  first_window_.push_back(windows);
  check(windows > 0, "data: evaluation needs a text of at least {} ids; there is none", whole_only_ ? seq_len + 1 : 2);
  taken_ = whole_only_ ? std::min(windows, max_batches * batch_size) : windows;
}

EvaluationBatches::Window EvaluationBatches::window(int64_t number) const {
  const int64_t windows = first_window_.back();
  const int64_t chosen = static_cast<int64_t>(static_cast<__int128>(number) * windows / taken_);
  const size_t stream =
      std::upper_bound(first_window_.begin(), first_window_.end(), chosen) - first_window_.begin() - 1;
  const int64_t start = (chosen - first_window_[stream]) * seq_len_;
  return {stream, start, std::min(seq_len_, streams_[stream].tokens.size() - 1 - start)};
}

std::optional<EvaluationBatches::Size> EvaluationBatches::next(std::span<int32_t> ids, std::span<int32_t> targets) {
  check(static_cast<int64_t>(std::min(ids.size(), targets.size())) >= batch_size_ * seq_len_,
        "data: evaluation buffers must hold {} x {} ids; got {} and {}", batch_size_, seq_len_, ids.size(),
        targets.size());
  if (position_ == taken_) return std::nullopt;
  Size size{0, window(position_).length};
  while (size.rows < batch_size_ && position_ < taken_) {
    const Window row = window(position_);
    if (row.length != size.length) break;
    const size_t offset = static_cast<size_t>(size.rows * size.length);
    read_row(streams_[row.stream].tokens, row.start, ids.subspan(offset, row.length),
             targets.subspan(offset, row.length));
    ++size.rows;
    ++position_;
  }
  return size;
}

int64_t EvaluationBatches::token_count() const {
  if (whole_only_) return taken_ * seq_len_;
  int64_t count = 0;
  for (const WeightedStream& stream : streams_) count += std::max<int64_t>(stream.tokens.size() - 1, 0);
  return count;
}

}  // namespace vigor
