#include "models/hf/pickle_checkpoint.h"

#include <algorithm>
#include <array>

#include "tensor/check.h"

namespace vigor {
namespace {

constexpr std::string_view kPickleName = "data.pkl";
constexpr uint64_t kMaxPickleBytes = 64'000'000;
constexpr size_t kMaxTensors = 200'000;
constexpr size_t kMaxNameLength = 1000;

// PyTorch before 1.6 wrote a bare sequence of pickles; the first byte is the PROTO opcode.
void refuse_old_format(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  if (file->bytes().empty() || file->bytes()[0] != std::byte{0x80}) return;
  fail(
      "{0}: written in PyTorch's format of before 2020, which is not read. Convert it: python -c \"import torch; "
      "torch.save(torch.load('{0}', weights_only=True), '{0}')\"",
      path.string());
}

const PickledDict* find_dict(const Pickle& pickle, const PickledDict& parent, std::string_view wanted) {
  for (const auto& item : parent.items) {
    const auto* key = std::get_if<std::string_view>(&pickle.objects[item.first]);
    if (key != nullptr && *key == wanted) return std::get_if<PickledDict>(&pickle.objects[item.second]);
  }
  return nullptr;
}

}  // namespace

PickleCheckpoint::PickleCheckpoint(const std::filesystem::path& path)
    : where_(path.string()), archive_((refuse_old_format(path), path)) {
  for (const auto& [name, entry] : archive_.entries()) {
    const size_t slash = name.rfind('/');
    if (slash == std::string::npos || name.substr(slash + 1) != kPickleName) continue;
    check(folder_.empty(), "{}: more than one {} in the archive", where_, kPickleName);
    folder_ = name.substr(0, slash + 1);
  }
  check(!folder_.empty(), "{}: no {} in the archive; not a PyTorch checkpoint", where_, kPickleName);

  const ZipArchive::Entry* order = archive_.find(folder_ + "byteorder");
  if (order != nullptr) {
    check(order->nbytes == 6, "{}: the byte order must be little", where_);
    std::array<std::byte, 6> text;
    archive_.read(*order, text);
    check(std::string_view(reinterpret_cast<const char*>(text.data()), text.size()) == "little",
          "{}: the byte order must be little", where_);
  }
  const ZipArchive::Entry& entry = record(kPickleName);
  check(entry.nbytes <= kMaxPickleBytes, "{}: {} has {} bytes; at most {} are read", where_, kPickleName, entry.nbytes,
        kMaxPickleBytes);
  pickle_bytes_.resize(entry.nbytes);
  archive_.read(entry, std::as_writable_bytes(std::span(pickle_bytes_)));
  collect(read_pickle(pickle_bytes_, where_));
}

const ZipArchive::Entry& PickleCheckpoint::record(std::string_view name) const {
  const ZipArchive::Entry* entry = archive_.find(folder_ + std::string(name));
  if (entry == nullptr) fail("{}: the archive has no {}", where_, printable(name));
  return *entry;
}

void PickleCheckpoint::collect(const Pickle& pickle) {
  const auto* dict = std::get_if<PickledDict>(&pickle.objects[pickle.root]);
  check(dict != nullptr, "{}: a dictionary of tensors is expected", where_);
  for (const char* key : {"model_state_dict", "state_dict", "model"})
    if (const PickledDict* inner = find_dict(pickle, *dict, key)) {
      dict = inner;
      break;
    }
  for (const auto& item : dict->items) {
    const auto* tensor = std::get_if<std::unique_ptr<PickledTensor>>(&pickle.objects[item.second]);
    if (tensor == nullptr) continue;  // counters and the like
    const auto* name = std::get_if<std::string_view>(&pickle.objects[item.first]);
    check(name != nullptr && name->size() <= kMaxNameLength, "{}: a tensor's name must be a string of at most {} bytes",
          where_, kMaxNameLength);
    check(entries_.size() < kMaxTensors, "{}: more than {} tensors", where_, kMaxTensors);
    const auto& storage = std::get<PickledStorage>(pickle.objects[(*tensor)->storage]);
    const ZipArchive::Entry& data = record("data/" + std::string(storage.key));
    if (static_cast<uint64_t>(storage.numel * storage.type->nbytes) != data.nbytes)
      fail("{}: the storage of {} should have {} {} elements; its record has {} bytes", where_, printable(*name),
           storage.numel, storage.type->name, data.nbytes);
    entries_.push_back({*name, **tensor, storage});
  }
  check(!entries_.empty(), "{}: no tensors by name, neither at the top nor under model_state_dict", where_);
  std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) { return a.name < b.name; });
  const auto twice = std::adjacent_find(entries_.begin(), entries_.end(),
                                        [](const Entry& a, const Entry& b) { return a.name == b.name; });
  if (twice != entries_.end()) fail("{}: tensor {} appears twice", where_, printable(twice->name));
}

const PickleCheckpoint::Entry* PickleCheckpoint::find(std::string_view name) const {
  const auto entry = std::lower_bound(entries_.begin(), entries_.end(), name,
                                      [](const Entry& e, std::string_view wanted) { return e.name < wanted; });
  return entry != entries_.end() && entry->name == name ? &*entry : nullptr;
}

Tensor PickleCheckpoint::tensor(std::string_view name) const {
  const Entry* entry = find(name);
  if (entry == nullptr) fail("{}: there is no tensor {}", where_, printable(name));
  const StorageType& type = *entry->storage.type;
  if (!type.dtype) fail("{}: {} is a {}, which is not read", where_, printable(name), type.name);
  if (last_storage_ == nullptr || last_key_ != entry->storage.key) {
    const ZipArchive::Entry& data = record("data/" + std::string(entry->storage.key));
    const auto storage = std::make_shared<Storage>(data.nbytes, kCpu);
    archive_.read(data, {storage->data(), data.nbytes});
    last_key_ = entry->storage.key;
    last_storage_ = storage;
  }
  return Tensor(last_storage_, entry->tensor.offset, entry->tensor.sizes, entry->tensor.strides, *type.dtype);
}

}  // namespace vigor
