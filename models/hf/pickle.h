#pragma once
// A reader of Python pickles that can only build tensors, dictionaries, lists, tuples, strings, numbers, booleans and
// None. A pickle is a program for a stack machine; this machine has no instruction that could run anything, and knows
// the globals that PyTorch needs for a state dict by name. Every other opcode or global is refused.
// Format: Python's pickletools.py. Protocols 2 to 5; at most 64 MB and 2 million objects.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace vigor {

// Element types by the name of PyTorch's storage class. No dtype: recognised, but it cannot be read.
struct StorageType {
  std::string_view name;  // "FloatStorage"
  int64_t nbytes;         // of an element
  std::optional<Dtype> dtype;
};

// Objects refer to one another by index into Pickle::objects, so a list that contains itself is harmless and nothing is
// destroyed recursively.
using ObjectId = uint32_t;

struct PickledStorage {
  const StorageType* type;
  std::string_view key;  // the record data/<key> of the archive
  int64_t numel;
};
struct PickledTensor {  // checked: every element lies in the storage
  ObjectId storage;
  int64_t offset;  // in elements, as the strides
  Shape sizes;
  Strides strides;
};
struct PickledTuple {
  std::vector<ObjectId> items;
};
struct PickledList {
  std::vector<ObjectId> items;
};
struct PickledDict {
  std::vector<std::pair<ObjectId, ObjectId>> items;  // in the order they were added
};
struct PickledGlobal {
  enum class Kind { rebuild_tensor, rebuild_parameter, ordered_dict, size, storage };
  Kind kind;
  const StorageType* storage;  // of Kind::storage
};
// monostate is None; strings point into the pickle.
using PickledObject = std::variant<std::monostate, bool, int64_t, double, std::string_view, PickledTuple, PickledList,
                                   PickledDict, PickledGlobal, PickledStorage, std::unique_ptr<PickledTensor>>;

struct Pickle {
  std::vector<PickledObject> objects;
  ObjectId root = 0;
};

// `bytes` must outlive the result. Throws std::invalid_argument "<where>: pickle byte N: ..." for whatever it refuses.
Pickle read_pickle(std::string_view bytes, const std::string& where);

}  // namespace vigor
