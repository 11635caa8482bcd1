#pragma once
// Weights in PyTorch's own file format: pytorch_model.bin, a zip archive of
//   <folder>/data.pkl    a pickle (pickle.h) of a state dict, or of a dictionary that holds one under
//                        "model_state_dict", "state_dict" or "model"
//   <folder>/data/<key>  the bytes of each storage
// The file is not trusted and nothing in it is executed. Throws std::invalid_argument saying what is wrong with it.
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "models/hf/pickle.h"
#include "models/hf/zip_archive.h"
#include "tensor/tensor.h"

namespace vigor {

class PickleCheckpoint {
 public:
  struct Entry {
    std::string_view name;
    PickledTensor tensor;
    PickledStorage storage;
  };

  explicit PickleCheckpoint(const std::filesystem::path& path);
  PickleCheckpoint(const PickleCheckpoint&) = delete;  // entries point into it
  PickleCheckpoint& operator=(const PickleCheckpoint&) = delete;

  const std::vector<Entry>& entries() const { return entries_; }  // the tensors of the state dict, sorted by name
  const Entry* find(std::string_view name) const;                 // nullptr when absent
  // Reads the storage and verifies its checksum. Strided as it was saved (a transposed weight stays transposed);
  // booleans come as u8. The last storage read is kept, so tensors in one storage share it. One thread at a time.
  Tensor tensor(std::string_view name) const;

 private:
  const ZipArchive::Entry& record(std::string_view name) const;
  void collect(const Pickle& pickle);

  std::string where_;
  ZipArchive archive_;
  std::string folder_;  // of the archive, with a slash at its end
  std::string pickle_bytes_;
  std::vector<Entry> entries_;
  mutable std::string last_key_;
  mutable std::shared_ptr<Storage> last_storage_;
};

}  // namespace vigor
