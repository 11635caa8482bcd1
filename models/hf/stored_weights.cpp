#include "models/hf/stored_weights.h"

#include "models/hf/pickle_checkpoint.h"
#include "tensor/check.h"
#include "tensor/safetensors.h"

namespace vigor {
namespace {

class SafetensorsWeights : public StoredWeights {
 public:
  explicit SafetensorsWeights(std::filesystem::path path)
      : path_(std::move(path)), file_(SafetensorsFile::open(path_)) {
    for (const TensorEntry& entry : file_.entries()) {
      std::optional<Dtype> dtype;
      try {
        dtype = entry.dtype();
      } catch (const std::invalid_argument&) {  // a type that only the report needs
      }
      entries_.push_back({entry.name, entry.sizes, std::string(entry.type), dtype});
    }
  }
  const std::vector<Entry>& entries() const override { return entries_; }
  Tensor tensor(const std::string& name) const override { return file_.tensor(name); }
  void release(const std::string& name) const override { file_.release_pages(name); }
  const std::filesystem::path& path() const override { return path_; }

 private:
  std::filesystem::path path_;
  SafetensorsFile file_;
  std::vector<Entry> entries_;
};

class PickledWeights : public StoredWeights {
 public:
  explicit PickledWeights(std::filesystem::path path) : path_(std::move(path)), file_(path_) {
    for (const PickleCheckpoint::Entry& entry : file_.entries())
      entries_.push_back({std::string(entry.name), entry.tensor.sizes, std::string(entry.storage.type->name),
                          entry.storage.type->dtype});
  }
  const std::vector<Entry>& entries() const override { return entries_; }
  Tensor tensor(const std::string& name) const override { return file_.tensor(name); }
  const std::filesystem::path& path() const override { return path_; }

 private:
  std::filesystem::path path_;
  PickleCheckpoint file_;
  std::vector<Entry> entries_;
};

}  // namespace

std::unique_ptr<StoredWeights> StoredWeights::open(const std::filesystem::path& folder) {
  for (const char* name : {"model.safetensors", "model.safetensors.index.json"})
    if (std::filesystem::exists(folder / name)) return std::make_unique<SafetensorsWeights>(folder / name);
  for (const char* name : {"pytorch_model.bin", "pytorch_model_best.bin"})
    if (std::filesystem::exists(folder / name)) return std::make_unique<PickledWeights>(folder / name);
  fail(
      "{}: there are no weights: none of model.safetensors, model.safetensors.index.json, pytorch_model.bin and "
      "pytorch_model_best.bin",
      folder.string());
}

}  // namespace vigor
