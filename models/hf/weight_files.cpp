#include "models/hf/weight_files.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

#include "tensor/file.h"

namespace vigor {
namespace {

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";
const std::map<std::string, std::string> kMetadata = {{"format", "pt"}};  // without it transformers refuses the file

int64_t nbytes_of(const LazyTensor& weight) {
  return weight.sizes.numel() * static_cast<int64_t>(size_of(weight.dtype));
}

// The last weight of each shard, plus one.
std::vector<size_t> shard_ends(std::span<const LazyTensor> weights, int64_t max_shard_bytes) {
  std::vector<size_t> ends;
  int64_t filled = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    const int64_t nbytes = nbytes_of(weights[i]);
    if (filled > 0 && filled + nbytes > max_shard_bytes) {
      ends.push_back(i);
      filled = 0;
    }
    filled += nbytes;
  }
  ends.push_back(weights.size());
  return ends;
}

}  // namespace

void write_weight_files(const std::filesystem::path& folder, std::span<const LazyTensor> weights,
                        int64_t max_shard_bytes) {
  const std::vector<size_t> ends =
      max_shard_bytes > 0 ? shard_ends(weights, max_shard_bytes) : std::vector<size_t>{weights.size()};
  if (ends.size() == 1) {
    write_lazy_safetensors(folder / kSingleFile, weights, kMetadata);
    return;
  }
  nlohmann::ordered_json weight_map;
  int64_t total = 0;
  for (size_t shard = 0, begin = 0; shard < ends.size(); begin = ends[shard++]) {
    const std::string name = fmt::format("model-{:05}-of-{:05}.safetensors", shard + 1, ends.size());
    const std::span<const LazyTensor> part = weights.subspan(begin, ends[shard] - begin);
    write_lazy_safetensors(folder / name, part, kMetadata);
    for (const LazyTensor& weight : part) {
      weight_map[weight.name] = name;
      total += nbytes_of(weight);
    }
  }
  const nlohmann::ordered_json index = {{"metadata", {{"total_size", total}}}, {"weight_map", weight_map}};
  write_file(folder / kIndexFile, index.dump(2) + "\n");
}

bool is_weight_file(const std::string& name) {
  if (name == kSingleFile || name == kIndexFile) return true;
  const std::string_view shard = "model-#####-of-#####.safetensors";  // # stands for a digit
  return std::equal(name.begin(), name.end(), shard.begin(), shard.end(),
                    [](char c, char like) { return like == '#' ? c >= '0' && c <= '9' : c == like; });
}

}  // namespace vigor
