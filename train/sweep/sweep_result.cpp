#include "train/sweep/sweep_result.h"

#include <fmt/core.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "models/families.h"
#include "models/tokenizer/content_hash.h"
#include "tensor/file.h"

namespace vigor {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr size_t kMaxResultBytes = size_t{16} << 20;

}  // namespace

std::string fingerprint_of(const SweepEntry& entry, int64_t seed) {
  RunConfig config = entry.config;
  config.seed = seed;
  config.threads = 0;  // these do not change what is computed
  config.cache_dir = "";
  return fmt::format("{:016x}", content_hash(to_json(config) + "\n" + entry.model + "\n" + entry.inline_config));
}

std::vector<SweepPoint> read_curve(const fs::path& metrics_file, int64_t tokens_per_step) {
  std::vector<SweepPoint> curve;
  std::ifstream in(metrics_file);
  double before = 0, seconds = 0;  // of earlier processes; of this one
  for (std::string line; std::getline(in, line);) {
    const Json object = Json::parse(line, nullptr, false);
    if (!object.is_object()) continue;
    if (object.contains("seconds") && object["seconds"].is_number()) {
      const double now = object["seconds"].get<double>();
      if (now < seconds) before += seconds;
      seconds = now;
    }
    if (!object.contains("eval_loss") || !object["eval_loss"].is_number() || !object.contains("step")) continue;
    curve.push_back(
        {object["step"].get<int64_t>() * tokens_per_step, before + seconds, object["eval_loss"].get<double>()});
  }
  return curve;
}

void write_result(const fs::path& file, const SweepResult& result) {
  Json object = {{"fingerprint", result.fingerprint},
                 {"parameters", result.parameters},
                 {"block_parameters", result.block_parameters},
                 {"curve", Json::array()}};
  for (const SweepPoint& point : result.curve)
    object["curve"].push_back({{"tokens", point.tokens}, {"seconds", point.seconds}, {"loss", point.loss}});
  if (!result.failure.empty()) object["failure"] = result.failure;
  write_file(file, object.dump(2) + "\n");
}

std::optional<SweepResult> read_result(const fs::path& file) {
  if (!fs::exists(file)) return std::nullopt;
  try {
    const Json object = Json::parse(read_text(file, kMaxResultBytes));
    SweepResult result;
    object.at("fingerprint").get_to(result.fingerprint);
    object.at("parameters").get_to(result.parameters);
    object.at("block_parameters").get_to(result.block_parameters);
    for (const Json& point : object.at("curve"))
      result.curve.push_back(
          {point.at("tokens").get<int64_t>(), point.at("seconds").get<double>(), point.at("loss").get<double>()});
    result.failure = object.value("failure", "");
    if (result.curve.empty() && result.failure.empty()) return std::nullopt;
    return result;
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

Spread spread_of(const std::vector<double>& values) {
  Spread spread;
  spread.count = values.size();
  for (const double value : values) spread.mean += value / static_cast<double>(values.size());
  double squares = 0;
  for (const double value : values) squares += (value - spread.mean) * (value - spread.mean);
  if (values.size() > 1) spread.deviation = std::sqrt(squares / static_cast<double>(values.size() - 1));
  return spread;
}

}  // namespace vigor
