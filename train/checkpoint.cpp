#include "train/checkpoint.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "models/tokenizer/content_hash.h"
#include "tensor/check.h"
#include "tensor/file.h"
#include "tensor/primitives.h"
#include "tensor/safetensors.h"

namespace vigor {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;

constexpr int kFormat = 1;
constexpr size_t kMaxStateBytes = size_t{4} << 20;
constexpr int kMaxStateDepth = 8;
const char* const kConfigFile = "config.json";
const char* const kStateFile = "run_state.json";
const char* const kWeightsFile = "model.safetensors";
const char* const kOptimizerFile = "optimizer.safetensors";

std::string hash_of_file(const fs::path& path) {
  const auto file = MappedFile::open(path);
  ContentHash hash;
  hash.update(file->bytes());
  return fmt::format("{:016x}", hash.value());
}

// The hash of everything in `object` but "checksum", which keeps it.
std::string checksum_of(json object) {
  object.erase("checksum");
  return fmt::format("{:016x}", content_hash(object.dump()));
}

void write_state(const fs::path& folder, const RunState& state) {
  json files = json::object();
  for (const auto& entry : fs::directory_iterator(folder))
    files[entry.path().filename().string()] = {{"bytes", entry.file_size()}, {"hash", hash_of_file(entry.path())}};
  json object = {{"format", kFormat},
                 {"step", state.step},
                 {"tokens", state.tokens},
                 {"best_eval_loss", std::isfinite(state.best_eval_loss) ? json(state.best_eval_loss) : json(nullptr)},
                 {"gemm_plan", state.gemm_plan},
                 {"data_key", state.data_key},
                 {"run_config", state.run_config},
                 {"files", files}};
  object["checksum"] = checksum_of(object);
  write_file(folder / kStateFile, object.dump(2) + "\n");
}

// Puts one file into `out` by an atomic rename, as a link when the disk can.
void publish_file(const fs::path& file, const fs::path& out) {
  const fs::path temporary = out / (file.filename().string() + ".link");
  std::error_code error;
  fs::remove(temporary, error);
  fs::create_hard_link(file, temporary, error);
  if (error) fs::copy_file(file, temporary, fs::copy_options::overwrite_existing);
  fs::rename(temporary, out / file.filename());
}

// Puts the files of `folder` that make a model into `out`; config.json last, since a folder with it counts as a model.
void publish_model_files(const fs::path& folder, const fs::path& out) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    const fs::path name = entry.path().filename();
    if (name != kStateFile && name != kOptimizerFile && name != kConfigFile) publish_file(entry.path(), out);
  }
  publish_file(folder / kConfigFile, out);
}

template <class T>
T require(const json& object, const char* key, bool fits) {
  check(fits, "{}: '{}' is missing or of the wrong type", kStateFile, key);
  return object[key].get<T>();
}

int64_t require_count(const json& object, const char* key) {
  const bool fits = object.contains(key) && object[key].is_number_integer() && object[key].get<int64_t>() >= 0;
  return require<int64_t>(object, key, fits);
}

std::string require_text(const json& object, const char* key) {
  return require<std::string>(object, key, object.contains(key) && object[key].is_string());
}

void verify_files(const json& files, const fs::path& folder) {
  for (const auto& [name, expected] : files.items()) {
    const bool well_formed = fs::path(name).filename() == name && expected.is_object() && expected.contains("bytes") &&
                             expected["bytes"].is_number_unsigned() && expected.contains("hash") &&
                             expected["hash"].is_string();
    check(well_formed, "{}: the entry of file '{}' is not well formed", kStateFile, printable(name));
    const fs::path path = folder / name;
    check(fs::is_regular_file(path), "{} is missing", path.string());
    const auto nbytes = expected["bytes"].get<uint64_t>();
    check(fs::file_size(path) == nbytes, "{} has {} bytes; {} were written", path.string(), fs::file_size(path),
          nbytes);
    check(hash_of_file(path) == expected["hash"].get<std::string>(), "{} is not as it was written (hash)",
          path.string());
  }
}

}  // namespace

void save_checkpoint(const fs::path& out, const ModelWriter& write_model, const Optimizer& optimizer,
                     const RunState& state) {
  fs::create_directories(out);
  AtomicFolder folder(out / "last");
  write_model(folder.path());
  std::vector<NamedView> moments;
  std::vector<Tensor> on_host;  // keeps them until they are written
  for (const auto& [name, tensor] : optimizer.named_state()) {
    on_host.push_back(to_device(tensor, kCpu));
    moments.push_back({name, on_host.back().view()});
  }
  write_safetensors(folder.path() / kOptimizerFile, moments);
  write_state(folder.path(), state);

  // `last` steps back to `previous`; a kill between the two renames leaves `previous`, which is complete.
  if (has_folder(out / "last")) {
    const fs::path last = find_folder(out / "last");
    fs::remove_all(out / "previous");
    fs::rename(last, out / "previous");
  }
  folder.commit();
  publish_model_files(out / "last", out);
}

void save_best(const fs::path& out, const ModelWriter& write_model) {
  AtomicFolder folder(out / "best");
  write_model(folder.path());
  folder.commit();
}

RunState read_run_state(const fs::path& folder) {
  // Values nested deeper than a state is are dropped while reading: copying and writing a document recurse.
  const auto shallow = [](int depth, json::parse_event_t, json&) { return depth <= kMaxStateDepth; };
  const json object = json::parse(read_text(folder / kStateFile, kMaxStateBytes), shallow, false);
  check(object.is_object(), "{}: not a JSON object", (folder / kStateFile).string());
  const std::string checksum = require_text(object, "checksum");
  check(checksum == checksum_of(object), "{} is not as it was written (checksum)", (folder / kStateFile).string());
  const int64_t format = require_count(object, "format");
  check(format == kFormat, "{}: format {} is not known here", kStateFile, format);
  RunState state;
  state.step = require_count(object, "step");
  state.tokens = require_count(object, "tokens");
  state.gemm_plan = require_text(object, "gemm_plan");
  state.data_key = require_text(object, "data_key");
  state.run_config = require_text(object, "run_config");
  if (object.contains("best_eval_loss") && object["best_eval_loss"].is_number())
    state.best_eval_loss = object["best_eval_loss"].get<double>();
  check(object.contains("files") && object["files"].is_object(), "{}: 'files' is missing", kStateFile);
  verify_files(object["files"], folder);
  return state;
}

bool has_checkpoint(const fs::path& out) { return has_folder(out / "last") || fs::is_directory(out / "previous"); }

Checkpoint find_checkpoint(const fs::path& out, const std::function<void(const std::string&)>& warn) {
  std::vector<fs::path> candidates;
  if (has_folder(out / "last")) candidates.push_back(find_folder(out / "last"));
  if (fs::is_directory(out / "previous")) candidates.push_back(out / "previous");
  for (const fs::path& folder : candidates) {
    try {
      return {folder, read_run_state(folder)};
    } catch (const std::exception& error) {
      warn(fmt::format("the checkpoint {} is damaged and passed over: {}", folder.string(), error.what()));
    }
  }
  throw std::runtime_error(fmt::format("there is no usable checkpoint in {}", out.string()));
}

void load_optimizer(const fs::path& folder, Optimizer& optimizer) {
  const SafetensorsFile weights = SafetensorsFile::open(folder / kWeightsFile);
  optimizer.set_masters([&](const std::string& name) { return weights.tensor(name); });
  const SafetensorsFile file = SafetensorsFile::open(folder / kOptimizerFile);
  for (const auto& [name, tensor] : optimizer.named_state()) {
    const TensorEntry* entry = file.find(name);
    if (entry == nullptr || !(entry->sizes == tensor.shape()))
      fail("{}: '{}' must be {}; the file has {}", (folder / kOptimizerFile).string(), name, to_string(tensor.shape()),
           entry == nullptr ? "no such tensor" : to_string(entry->sizes));
    copy(tensor, file.tensor(name));
  }
}

}  // namespace vigor
