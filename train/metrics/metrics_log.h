#pragma once
// The numbers of a run as JSON lines: one object a logged step, and one an evaluation. Readable while the run goes on.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>

namespace vigor {

struct StepMetrics {
  int64_t step = 0;       // steps done, from 1
  double loss = 0;        // mean over the steps since the last line, nats a token
  double perplexity = 0;  // exp(loss)
  double lr = 0;
  double grad_norm = 0;      // of the last step, before clipping
  double tokens_per_s = 0;   // since the last line
  int64_t tokens = 0;        // trained on so far
  double seconds = 0;        // of training in this process
  int64_t memory_bytes = 0;  // peak of tensors
  int64_t rss_bytes = 0;     // peak resident size of the process
  std::optional<double>
      kept_gradients;  // share of the head's gradient blocks that the filter kept, since the last line
  double seconds_left = 0;
};

struct EvalMetrics {
  int64_t step = 0;
  double eval_loss = 0;
  double eval_perplexity = 0;
  int64_t eval_tokens = 0;
  bool best = false;
};

std::string to_json(const StepMetrics& m);
std::string to_json(const EvalMetrics& m);

class MetricsLog {
 public:
  // Appends to `path`. On resume, lines of steps after `from_step` (written by the run that was cut off) are dropped
  // first, so that the file holds every step once.
  MetricsLog(const std::filesystem::path& path, int64_t from_step);
  ~MetricsLog();
  MetricsLog(const MetricsLog&) = delete;
  MetricsLog& operator=(const MetricsLog&) = delete;
  void write(const std::string& json_line);  // std::runtime_error when the disk refuses

 private:
  std::filesystem::path path_;
  std::FILE* file_ = nullptr;
};

int64_t peak_rss_bytes();  // of this process, from the system

}  // namespace vigor
