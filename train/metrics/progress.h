#pragma once
// What a person watching a run sees. On a terminal, one line at the bottom is redrawn in place: a bar, the loss with a
// small curve of its past, and the time left; elsewhere, one plain line each time numbers are logged.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "train/metrics/metrics_log.h"

namespace vigor {

class Progress {
 public:
  Progress(std::FILE* out, int64_t total_steps);
  ~Progress();
  void step(const StepMetrics& m);        // redraws on a terminal, 20 times a second at most
  void log(const StepMetrics& m);         // a line that stays
  void message(const std::string& text);  // a line (or several) that stays

  static std::string bar(double share, int width);  // "[█████▌    ]" of `width` cells
  static std::string sparkline(const std::vector<double>& values, int width);  // newest at the right
  static std::string duration(double seconds);                                 // "1:02:33", "2:07"
  static std::string bytes(int64_t nbytes);                                    // "1.31 GB"
  static std::string count(int64_t n);                                         // "12,345"

 private:
  void clear_line();
  std::FILE* out_;
  int64_t total_steps_;
  bool terminal_;
  bool line_open_ = false;
  std::chrono::steady_clock::time_point drawn_{};  // the line at the bottom, last
  std::vector<double> losses_;
};

}  // namespace vigor
