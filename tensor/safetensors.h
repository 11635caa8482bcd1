#pragma once
// The safetensors format: 8 bytes header length (little endian), a JSON header, then the tensors' bytes.
//   {"__metadata__": {"format": "pt"}, "head.weight": {"dtype": "F32", "shape": [V, C], "data_offsets": [begin, end]}}
// Offsets count from the end of the header. https://github.com/huggingface/safetensors#format
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/file.h"
#include "tensor/tensor.h"

namespace vigor {

// One tensor of a file. `type` is the format's name of the element type: F32 F64 BF16 F16 I32 I64 U8 BOOL can be read
// (BOOL as u8); a tensor of another type (I8, F8_E4M3, ...) may be present but not be asked for its dtype or values.
struct TensorEntry {
  std::string name;
  std::string_view type;
  Shape sizes;
  std::span<const std::byte> bytes;  // row-major, in the mapping of `file`
  std::shared_ptr<const MappedFile> file;
  Dtype dtype() const;  // throws std::invalid_argument for a type that cannot be read
};

// A memory-mapped .safetensors file, or several: a path that ends in .json is taken as `model.safetensors.index.json`,
// whose weight_map names the files beside it. The file is not trusted: everything is checked in open(), which throws
// std::invalid_argument saying what is wrong with it, and costs time and memory in proportion to the header only.
class SafetensorsFile {
 public:
  static SafetensorsFile open(const std::filesystem::path& path);

  const std::vector<TensorEntry>& entries() const { return entries_; }  // sorted by name
  const TensorEntry* find(std::string_view name) const;                 // nullptr when absent
  // Without a copy when the bytes are aligned for the dtype, as in files written here. The tensor keeps the mapping.
  Tensor tensor(std::string_view name) const;
  // Gives the memory of this tensor's pages back to the system, which reads them again if they are asked for: for those
  // who copy a large file tensor by tensor and do not want it in memory beside the copies.
  void release_pages(std::string_view name) const;
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  void add_file(const std::filesystem::path& path);
  void sort_entries(const std::filesystem::path& path);

  std::vector<TensorEntry> entries_;
  std::map<std::string, std::string> metadata_;
};

struct NamedView {
  std::string name;
  TensorView view;  // any strides, in CPU memory
};

// A tensor that exists only while it is written: `values` is called once, when its turn comes.
struct LazyTensor {
  std::string name;
  Shape sizes;
  Dtype dtype;
  std::function<Tensor()> values;  // in CPU memory, with these sizes and this dtype
};

// Both write atomically (tensor/file.h). Tensors lie in the file by descending element size, so that each is aligned.
// Throw std::invalid_argument for a repeated or reserved name, std::runtime_error when the disk refuses.
void write_lazy_safetensors(const std::filesystem::path& path, std::span<const LazyTensor> tensors,
                            const std::map<std::string, std::string>& metadata = {});
void write_safetensors(const std::filesystem::path& path, std::span<const NamedView> tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace vigor
