#include "models/hf/model_folder.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <map>

#include "models/config_fields.h"
#include "models/families.h"
#include "models/hf/stored_weights.h"
#include "models/hf/weight_files.h"
#include "tensor/check.h"
#include "tensor/primitives.h"
#include "tensor/safetensors.h"

namespace vigor {
namespace {

constexpr const char* kConfigFile = "config.json";

// Stored weights by the model's names, that is without the family's prefix.
using WeightsByName = std::map<std::string, const StoredWeights::Entry*, std::less<>>;

WeightsByName by_model_name(const StoredWeights& stored, std::string_view prefix) {
  WeightsByName weights;
  for (const StoredWeights::Entry& entry : stored.entries()) {
    const bool prefixed = !prefix.empty() && entry.name.compare(0, prefix.size(), prefix) == 0;
    const std::string name = prefixed ? entry.name.substr(prefix.size()) : entry.name;
    if (!weights.emplace(name, &entry).second)
      fail("{}: {} is there with and without the prefix {}", stored.path().string(), printable(name), prefix);
  }
  return weights;
}

// One kind of complaint; a hostile file could otherwise make a message as long as itself.
class Complaints {
 public:
  explicit Complaints(const char* title) : title_(title) {}
  void add(std::string text) {
    if (++count_ <= kMaxListed) texts_.push_back(std::move(text));
  }
  void append_to(std::vector<std::string>& parts) const {
    if (count_ == 0) return;
    const std::string more = count_ > kMaxListed ? fmt::format(" and {} more", count_ - kMaxListed) : "";
    parts.push_back(fmt::format("{} {}: {}{}", count_, title_, fmt::join(texts_, ", "), more));
  }

 private:
  static constexpr size_t kMaxListed = 500;
  const char* title_;
  size_t count_ = 0;
  std::vector<std::string> texts_;
};

// Throws unless the weights are exactly those of the model.
void compare(const LanguageModel& model, const WeightsByName& weights, const std::filesystem::path& path) {
  Complaints missing("missing"), unexpected("unexpected"), misshapen("of a wrong shape"),
      unreadable("of a wrong dtype");
  std::map<std::string_view, bool> known;
  const std::vector<NamedParameter> parameters = model.named_parameters();
  for (const NamedParameter& parameter : parameters) {
    known[parameter.name] = true;
    const auto found = weights.find(parameter.name);
    if (found == weights.end()) {
      missing.add(parameter.name);
      continue;
    }
    const StoredWeights::Entry& entry = *found->second;
    if (!(entry.sizes == parameter.sizes))
      misshapen.add(
          fmt::format("{} is {} and must be {}", parameter.name, to_string(entry.sizes), to_string(parameter.sizes)));
    if (!entry.dtype || !is_floating(*entry.dtype))
      unreadable.add(fmt::format("{} is {} and must be floating-point", parameter.name, entry.type));
  }
  for (const auto& [name, entry] : weights)
    if (known.count(name) == 0 && !model.ignores_weight(name)) unexpected.add(printable(name));
  std::vector<std::string> parts;
  for (const Complaints* complaints : {&missing, &unexpected, &misshapen, &unreadable}) complaints->append_to(parts);
  if (!parts.empty())
    fail("{}: the weights do not fit the model of config.json: {}", path.string(), fmt::join(parts, "; "));
}

void check_vocabulary(const Tokenizer& tokenizer, const ModelConfig& config, const std::filesystem::path& folder) {
  const int64_t spare = config.vocab_size - tokenizer.vocab_size();
  if (spare < 0 || (spare > 0 && !config.may_have_spare_ids()))
    fail("{}: the tokenizer has {} tokens, but vocab_size in config.json is {}", folder.string(),
         tokenizer.vocab_size(), config.vocab_size);
}

bool has_tokenizer_file(const std::filesystem::path& folder) {
  for (const char* name : {"chunk_vocab_combined.json", "tokenizer.json", "vocab.json"})
    if (std::filesystem::exists(folder / name)) return true;
  return false;
}

std::string config_text(const ModelConfig& config, Dtype dtype) {
  ConfigFields fields(config.to_json(), kConfigFile);
  const char* key = fields.has("dtype") ? "dtype" : "torch_dtype";  // transformers' names of today and before
  if (dtype == Dtype::bf16 || fields.has(key)) fields.set(key, dtype == Dtype::bf16 ? "bfloat16" : "float32");
  return fields.to_json();
}

}  // namespace

ModelFolder load_model_folder(const std::filesystem::path& path, const LoadOptions& options) {
  const std::filesystem::path folder = find_folder(path);
  const std::unique_ptr<ModelConfig> config = read_config(folder / kConfigFile);
  if (options.rope_compat && !config->use_float32_rope_angles())
    fail("{}: rope_compat is for models with rotary positions; {} has none", folder.string(), config->model_type());
  ModelFolder result;
  // The vocabulary before the weights: it is the cheaper one to be wrong about.
  if (options.need_tokenizer || has_tokenizer_file(folder)) {
    result.tokenizer = load_tokenizer(folder);
    check_vocabulary(*result.tokenizer, *config, folder);
  }
  const std::unique_ptr<StoredWeights> stored = StoredWeights::open(folder);
  const WeightsByName weights = by_model_name(*stored, family_of(*config).weight_prefix);
  result.warnings = config->adopt_shapes([&](const std::string& name) -> const Shape* {
    const auto found = weights.find(name);
    return found == weights.end() ? nullptr : &found->second->sizes;
  });
  result.model = make_model(*config);
  compare(*result.model, weights, stored->path());
  result.model->allocate(options.arena);
  // In the file's order: a pickle keeps only the storage it read last. Of a mapped file, only the tensor at hand stays
  // in memory, so loading needs hardly more than the model.
  for (const auto& [name, entry] : weights) {
    const Tensor* parameter = result.model->parameters().find(name);
    if (parameter == nullptr) continue;  // one that the model ignores
    copy(*parameter, stored->tensor(entry->name));
    parameter->storage()->bump_version();
    stored->release(entry->name);
  }
  return result;
}

void write_model_files(const std::filesystem::path& folder, const LanguageModel& model, const Tokenizer* tokenizer,
                       const SaveOptions& options) {
  const Dtype dtype = options.dtype;
  check(dtype == Dtype::f32 || dtype == Dtype::bf16, "model folder: weights are saved as f32 or bf16; got {}",
        name_of(dtype));
  check(options.max_shard_bytes >= 0, "model folder: max_shard_bytes must be 0 or above; got {}",
        options.max_shard_bytes);
  if (tokenizer != nullptr) check_vocabulary(*tokenizer, model.config(), folder);
  std::vector<LazyTensor> weights;
  for (const ArenaSlot& slot : model.parameters().parameters()) {
    const auto values = [&options, &slot, dtype] {
      const Tensor own = options.value_of ? options.value_of(slot) : slot.tensor;
      if (own.dtype() == dtype && own.device().is_cpu()) return own;
      const Tensor converted = empty(own.shape(), dtype);
      copy(converted, own);
      return converted;
    };
    weights.push_back({slot.name, slot.tensor.shape(), dtype, values});
  }
  write_weight_files(folder, weights, options.max_shard_bytes);
  if (tokenizer != nullptr) tokenizer->save(folder);
  write_file(folder / kConfigFile, config_text(model.config(), dtype));
}

void save_model_folder(const std::filesystem::path& folder, const LanguageModel& model, const Tokenizer* tokenizer,
                       const SaveOptions& options) {
  AtomicFolder replacement(folder);
  write_model_files(replacement.path(), model, tokenizer, options);
  replacement.commit();
}

}  // namespace vigor
