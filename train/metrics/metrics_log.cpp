#include "train/metrics/metrics_log.h"

#include <sys/resource.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "tensor/check.h"
#include "tensor/file.h"

namespace vigor {
namespace {

using json = nlohmann::ordered_json;

// JSON has no infinity or NaN.
json number(double value) { return std::isfinite(value) ? json(value) : json(nullptr); }

std::string system_error(const std::filesystem::path& path) {
  return fmt::format("cannot write {}: {}", path.string(), std::strerror(errno));
}

}  // namespace

std::string to_json(const StepMetrics& m) {
  json line{{"step", m.step},
            {"loss", number(m.loss)},
            {"perplexity", number(m.perplexity)},
            {"lr", m.lr},
            {"grad_norm", number(m.grad_norm)},
            {"tokens_per_s", m.tokens_per_s},
            {"tokens", m.tokens},
            {"seconds", m.seconds},
            {"memory_bytes", m.memory_bytes},
            {"rss_bytes", m.rss_bytes}};
  if (m.kept_gradients) line["kept_gradients"] = *m.kept_gradients;
  return line.dump();
}

std::string to_json(const EvalMetrics& m) {
  return json{{"step", m.step},
              {"eval_loss", number(m.eval_loss)},
              {"eval_perplexity", number(m.eval_perplexity)},
              {"eval_tokens", m.eval_tokens},
              {"best", m.best}}
      .dump();
}

MetricsLog::MetricsLog(const std::filesystem::path& path, int64_t from_step) : path_(path) {
  std::string kept;
  if (from_step > 0 && std::filesystem::exists(path)) {
    std::ifstream in(path);
    for (std::string line; std::getline(in, line);) {
      const json object = json::parse(line, nullptr, false);
      if (object.is_object() && object.contains("step") && object["step"].is_number_integer() &&
          object["step"].get<int64_t>() <= from_step)
        kept += line + "\n";
    }
  }
  write_file(path, kept);
  file_ = std::fopen(path.c_str(), "a");
  if (file_ == nullptr) throw std::runtime_error(system_error(path));
}

MetricsLog::~MetricsLog() { std::fclose(file_); }

void MetricsLog::write(const std::string& json_line) {
  if (std::fprintf(file_, "%s\n", json_line.c_str()) < 0 || std::fflush(file_) != 0)
    throw std::runtime_error(system_error(path_));
}

int64_t peak_rss_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;  // Linux counts in KiB
}

}  // namespace vigor
