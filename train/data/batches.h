#pragma once
// Rows of token ids for training and evaluation. Both fill ids [B,T] and targets [B,T]: targets[b,t] is the id that
// follows ids[b,t] in the stream, so a row covers T + 1 ids of it and may cross documents.
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "train/data/token_cache.h"

namespace vigor {

struct WeightedStream {
  std::string name;  // of the source, for messages
  TokenStream tokens;
  std::optional<double> weight;  // all have one or none has; none: by number of ids, as if the streams were joined
};

// The training or the validation part of each source; parts without ids are left out.
std::vector<WeightedStream> train_streams(const std::vector<SourceTokens>& sources);
std::vector<WeightedStream> valid_streams(const std::vector<SourceTokens>& sources);

// The published sampling: each row draws its source by weight, then a window start uniformly. Row r of step s is a pure
// function of (seed, s, r), so the data position of a run is its step and nothing else.
class BatchSampler {
 public:
  // std::invalid_argument: no stream, T < 1, or a stream with fewer than T + 1 ids.
  BatchSampler(std::vector<WeightedStream> streams, uint64_t seed, int64_t seq_len);

  // Rows first_row, first_row + 1, ... of `step`; ids.size() must be a multiple of T and equal targets.size(). With
  // gradient accumulation the rows of a step go on: batch a of a step starts at row a * B.
  void sample(uint32_t step, int64_t first_row, std::span<int32_t> ids, std::span<int32_t> targets) const;
  // Has the system read from the disk, in the background, what sample() will need for the first `rows` rows of `step`.
  // Called one step ahead: rows lie anywhere in the files, and one that is not in memory would stop training for the
  // time of a disk access (0.1 ms on a solid-state disk, 10 ms on a turning one).
  void prefetch(uint32_t step, int64_t rows) const;

 private:
  struct Window {
    const TokenStream& tokens;
    int64_t start;  // of seq_len + 1 ids
  };
  Window window(uint32_t step, int64_t row) const;

  std::vector<WeightedStream> streams_;
  std::vector<double> upper_;  // cumulative share of each stream, the last is 1
  uint64_t seed_;
  int64_t seq_len_;
};

// Consecutive windows that do not overlap: every id of the streams but the first of each is predicted once. Windows
// have T ids, the last of a stream may be shorter and then comes in a batch of its own. With `max_batches`, whole
// windows only, spread evenly over all streams.
class EvaluationBatches {
 public:
  struct Size {
    int64_t rows, length;  // ids and targets are [rows, length] at the front of the buffers
  };
  // std::invalid_argument: B or T < 1, or no stream with two ids (one window of T, with `max_batches`).
  EvaluationBatches(std::vector<WeightedStream> streams, int64_t batch_size, int64_t seq_len, int64_t max_batches = 0);

  // The next batch into buffers of at least B * T; nothing after the last one.
  std::optional<Size> next(std::span<int32_t> ids, std::span<int32_t> targets);
  void reset() { position_ = 0; }
  int64_t token_count() const;  // targets of a whole pass
  int64_t batch_size() const { return batch_size_; }
  int64_t seq_len() const { return seq_len_; }

 private:
  struct Window {
    size_t stream;
    int64_t start, length;
  };
  Window window(int64_t number) const;

  std::vector<WeightedStream> streams_;
  std::vector<int64_t> first_window_;  // per stream, plus the total
  int64_t batch_size_, seq_len_;
  int64_t taken_;  // windows in a pass
  bool whole_only_;
  int64_t position_ = 0;  // windows already returned
};

}  // namespace vigor
