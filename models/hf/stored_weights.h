#pragma once
// The weights of a model folder, whichever file holds them.
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace vigor {

class StoredWeights {
 public:
  struct Entry {
    std::string name;  // as in the file
    Shape sizes;
    std::string type;            // the file's name of the element type
    std::optional<Dtype> dtype;  // none when elements of this type cannot be read
  };

  virtual ~StoredWeights() = default;
  virtual const std::vector<Entry>& entries() const = 0;     // sorted by name
  virtual Tensor tensor(const std::string& name) const = 0;  // of an entry with a dtype
  // The entry's tensor is not wanted any more (nor are tensors that share its memory); it can still be asked for.
  virtual void release(const std::string& /*name*/) const {}
  virtual const std::filesystem::path& path() const = 0;

  // The first that `folder` has of model.safetensors, model.safetensors.index.json, pytorch_model.bin and
  // pytorch_model_best.bin; std::invalid_argument when there is none or it is malformed.
  static std::unique_ptr<StoredWeights> open(const std::filesystem::path& folder);
};

}  // namespace vigor
