#include "tensor/safetensors.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "tensor/check.h"
#include "tensor/primitives.h"

static_assert(std::endian::native == std::endian::little, "the format is little endian and read without conversion");

namespace vigor {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the limit of the reference implementation
constexpr uint64_t kMaxIndexBytes = 16'000'000;    // some 100,000 tensors
constexpr size_t kLengthBytes = 8;
constexpr std::string_view kMetadataKey = "__metadata__";

struct ElementType {
  std::string_view name;
  int64_t bits;
  std::optional<Dtype> dtype;  // none: known to the format, not to us
};

constexpr std::array<ElementType, 20> kTypes{{
    {"F32", 32, Dtype::f32},   {"F64", 64, Dtype::f64},      {"BF16", 16, Dtype::bf16},    {"F16", 16, Dtype::f16},
    {"I32", 32, Dtype::i32},   {"I64", 64, Dtype::i64},      {"U8", 8, Dtype::u8},         {"BOOL", 8, Dtype::u8},
    {"I8", 8, std::nullopt},   {"I16", 16, std::nullopt},    {"U16", 16, std::nullopt},    {"U32", 32, std::nullopt},
    {"U64", 64, std::nullopt}, {"C64", 64, std::nullopt},    {"F8_E5M2", 8, std::nullopt}, {"F8_E4M3", 8, std::nullopt},
    {"F4", 4, std::nullopt},   {"F6_E2M3", 6, std::nullopt}, {"F6_E3M2", 6, std::nullopt}, {"F8_E8M0", 8, std::nullopt},
}};

const ElementType* find_type(std::string_view name) {
  const auto type = std::find_if(kTypes.begin(), kTypes.end(), [&](const ElementType& t) { return t.name == name; });
  return type == kTypes.end() ? nullptr : &*type;
}

std::string_view type_name(Dtype dtype) {
  return std::find_if(kTypes.begin(), kTypes.end(), [&](const ElementType& t) { return t.dtype == dtype; })->name;
}

struct HeaderEntry {
  std::string name;
  const ElementType* type = nullptr;
  std::optional<Shape> sizes;
  std::vector<uint64_t> offsets;  // begin, end
};

// Reads the header as a stream of JSON events, so that nothing but the expected structure is ever built.
class HeaderReader : public nlohmann::json_sax<json> {
 public:
  explicit HeaderReader(std::string where) : where_(std::move(where)) {}
  std::vector<HeaderEntry> entries;
  std::map<std::string, std::string> metadata;

  bool start_object(size_t) override {
    if (place_ == Place::outside) return go(Place::top);
    expect(place_ == Place::top, "an object is not expected here");
    if (key_ == kMetadataKey) {
      expect(!metadata_seen_, "a second __metadata__");
      metadata_seen_ = true;
      return go(Place::metadata);
    }
    entries.push_back({key_, nullptr, std::nullopt, {}});
    return go(Place::tensor);
  }

  bool end_object() override {
    if (place_ == Place::tensor) {
      const HeaderEntry& entry = entries.back();
      expect(entry.type != nullptr && entry.sizes && !entry.offsets.empty(),
             "a tensor needs dtype, shape and data_offsets");
    }
    return go(place_ == Place::top ? Place::outside : Place::top);
  }

  bool key(std::string& text) override {
    key_ = text;
    return true;
  }

  bool string(std::string& text) override {
    if (place_ == Place::metadata) {
      expect(metadata.emplace(key_, text).second, "a key of __metadata__ appears twice");
      return true;
    }
    expect(place_ == Place::tensor && key_ == "dtype", "a string is not expected here");
    expect(entries.back().type == nullptr, "dtype appears twice");
    entries.back().type = find_type(text);
    expect(entries.back().type != nullptr, "the dtype is unknown");
    return true;
  }

  bool start_array(size_t) override {
    expect(place_ == Place::tensor, "an array is not expected here");
    HeaderEntry& entry = entries.back();
    if (key_ == "shape") {
      expect(!entry.sizes, "shape appears twice");
      entry.sizes.emplace();
      return go(Place::shape);
    }
    expect(key_ == "data_offsets" && entry.offsets.empty(), "an array is not expected here");
    return go(Place::offsets);
  }

  bool end_array() override {
    expect(place_ == Place::shape || entries.back().offsets.size() == 2, "data_offsets must be [begin, end]");
    return go(Place::tensor);
  }

  bool number_unsigned(uint64_t value) override {
    HeaderEntry* entry = entries.empty() ? nullptr : &entries.back();
    if (place_ == Place::shape) {
      expect(value <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max()), "a size is too large");
      expect(entry->sizes->rank() < kMaxRank, "a tensor has too many dimensions");
      entry->sizes->push_back(static_cast<int64_t>(value));
    } else {
      expect(place_ == Place::offsets && entry->offsets.size() < 2, "a number is not expected here");
      entry->offsets.push_back(value);
    }
    return true;
  }

  bool null() override { return refuse("null"); }
  bool boolean(bool) override { return refuse("true or false"); }
  bool number_integer(int64_t) override { return refuse("a negative number"); }
  bool number_float(double, const std::string&) override { return refuse("a fraction or a huge number"); }
  bool binary(json::binary_t&) override { return refuse("binary data"); }
  bool parse_error(size_t position, const std::string&, const json::exception&) override {
    fail("{}: the header is not valid JSON at byte {}", where_, kLengthBytes + position);
  }

 private:
  enum class Place { outside, top, metadata, tensor, shape, offsets };

  bool go(Place place) {
    place_ = place;
    return true;
  }
  bool refuse(const char* what) {
    fail("{}: header, near \"{}\": {} is not expected here", where_, printable(key_), what);
  }
  void expect(bool ok, const char* rule) {
    if (!ok) fail("{}: header, near \"{}\": {}", where_, printable(key_), rule);
  }

  std::string where_;
  Place place_ = Place::outside;
  std::string key_;  // the last one read
  bool metadata_seen_ = false;
};

// Bytes of a tensor; none when the sizes do not fit in 63 bits or do not fill whole bytes.
std::optional<uint64_t> bytes_of(const ElementType& type, const Shape& sizes) {
  const int64_t count = checked_numel({sizes.begin(), sizes.end()});
  int64_t bits = 0;
  if (count < 0 || __builtin_mul_overflow(count, type.bits, &bits) || bits % 8 != 0) return std::nullopt;
  return static_cast<uint64_t>(bits / 8);
}

// The tensors must fill the bytes after the header exactly, without gap or overlap.
void check_layout(std::vector<HeaderEntry>& entries, uint64_t data_bytes, const std::string& where) {
  std::sort(entries.begin(), entries.end(),
            [](const HeaderEntry& a, const HeaderEntry& b) { return a.offsets < b.offsets; });
  uint64_t end = 0;
  for (const HeaderEntry& entry : entries) {
    const uint64_t first = entry.offsets[0];
    const uint64_t last = entry.offsets[1];
    const std::string name = printable(entry.name);
    check(first == end && last >= first,
          "{}: tensors must follow one another without gap; {} has bytes [{}, {}), after byte {}", where, name, first,
          last, end);
    check(last <= data_bytes, "{}: {} ends at byte {} of the data, which has {} (is the file cut off?)", where, name,
          last, data_bytes);
    const std::optional<uint64_t> nbytes = bytes_of(*entry.type, *entry.sizes);
    check(nbytes == last - first, "{}: {} has {} bytes, which do not fit {} {}", where, name, last - first,
          to_string(*entry.sizes), entry.type->name);
    end = last;
  }
  check(end == data_bytes, "{}: the tensors end at byte {} of the data, which has {}", where, end, data_bytes);
}

// The weight_map of a model.safetensors.index.json: file name by tensor name.
std::map<std::string, std::string> read_weight_map(const fs::path& path) {
  const std::string where = path.string();
  const std::string text = read_text(path, kMaxIndexBytes);
  const auto limit_depth = [&](int depth, json::parse_event_t, json&) {
    check(depth <= 8, "{}: the JSON is nested too deeply", where);
    return true;
  };
  json index;
  try {
    index = json::parse(text, limit_depth);
  } catch (const json::exception&) {
    fail("{}: not valid JSON", where);
  }
  check(index.is_object() && index.contains("weight_map") && index["weight_map"].is_object(),
        "{}: an object with \"weight_map\" is expected", where);
  std::map<std::string, std::string> files;
  for (const auto& [name, file] : index["weight_map"].items()) {
    check(file.is_string(), "{}: weight_map must name a file for each tensor", where);
    const std::string& file_name = file.get_ref<const std::string&>();
    check(!file_name.empty() && file_name != "." && file_name != ".." &&
              file_name.find_first_of(std::string_view("/\0", 2)) == std::string::npos,
          "{}: weight_map may name files in the same folder only; got \"{}\"", where, printable(file_name));
    files.emplace(name, file_name);
  }
  return files;
}

}  // namespace

Dtype TensorEntry::dtype() const {
  const ElementType* element = find_type(type);
  check(element->dtype.has_value(),
        "safetensors: {} has type {}; F32, F64, BF16, F16, I32, I64, U8 and BOOL can be read", printable(name), type);
  return *element->dtype;
}

SafetensorsFile SafetensorsFile::open(const fs::path& path) {
  SafetensorsFile result;
  if (path.extension() != ".json") {
    result.add_file(path);
    result.sort_entries(path);
    return result;
  }
  const std::map<std::string, std::string> weight_map = read_weight_map(path);
  std::set<std::string> files;
  for (const auto& [name, file] : weight_map) files.insert(file);
  for (const std::string& file : files) result.add_file(path.parent_path() / file);
  result.sort_entries(path);
  for (const auto& [name, file] : weight_map)
    check(result.find(name) != nullptr, "{}: weight_map names {}, which no file holds", path.string(), printable(name));
  return result;
}

void SafetensorsFile::add_file(const fs::path& path) {
  const std::string where = path.string();
  const auto file = MappedFile::open(path);
  const std::span<const std::byte> bytes = file->bytes();
  check(bytes.size() >= kLengthBytes, "{}: {} bytes are too few for a safetensors file", where, bytes.size());
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), kLengthBytes);
  check(header_bytes <= kMaxHeaderBytes && header_bytes <= bytes.size() - kLengthBytes,
        "{}: the header says it has {} bytes, in a file of {}; not a safetensors file, or cut off", where, header_bytes,
        bytes.size());
  const auto* header = reinterpret_cast<const char*>(bytes.data()) + kLengthBytes;
  check(header_bytes > 0 && header[0] == '{', "{}: the header does not begin with {{", where);

  HeaderReader reader(where);
  json::sax_parse(header, header + header_bytes, &reader);
  const std::span<const std::byte> data = bytes.subspan(kLengthBytes + header_bytes);
  check_layout(reader.entries, data.size(), where);

  for (HeaderEntry& entry : reader.entries)
    entries_.push_back({std::move(entry.name), entry.type->name, *entry.sizes,
                        data.subspan(entry.offsets[0], entry.offsets[1] - entry.offsets[0]), file});
  metadata_.merge(reader.metadata);
}

void SafetensorsFile::sort_entries(const fs::path& path) {
  std::sort(entries_.begin(), entries_.end(),
            [](const TensorEntry& a, const TensorEntry& b) { return a.name < b.name; });
  const auto twice = std::adjacent_find(entries_.begin(), entries_.end(),
                                        [](const TensorEntry& a, const TensorEntry& b) { return a.name == b.name; });
  if (twice != entries_.end()) fail("{}: tensor {} appears twice", path.string(), printable(twice->name));
}

const TensorEntry* SafetensorsFile::find(std::string_view name) const {
  const auto entry = std::lower_bound(entries_.begin(), entries_.end(), name,
                                      [](const TensorEntry& e, std::string_view wanted) { return e.name < wanted; });
  return entry != entries_.end() && entry->name == name ? &*entry : nullptr;
}

Tensor SafetensorsFile::tensor(std::string_view name) const {
  const TensorEntry* entry = find(name);
  check(entry != nullptr, "safetensors: there is no tensor {}", printable(name));
  const Dtype dtype = entry->dtype();
  auto* data = const_cast<std::byte*>(entry->bytes.data());  // the mapping is private and writable
  if (reinterpret_cast<uintptr_t>(data) % size_of(dtype) == 0)
    return from_memory(data, entry->sizes, dtype, entry->file);
  Tensor copied = empty(entry->sizes, dtype);
  std::memcpy(copied.raw(), data, entry->bytes.size());
  return copied;
}

void SafetensorsFile::release_pages(std::string_view name) const {
  const TensorEntry* entry = find(name);
  check(entry != nullptr, "safetensors: there is no tensor {}", printable(name));
  // Whole pages; one that this tensor shares with the next goes when both are released, or stays.
  const uintptr_t page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const uintptr_t begin = reinterpret_cast<uintptr_t>(entry->bytes.data()), end = begin + entry->bytes.size();
  const uintptr_t first = begin / page * page, last = end / page * page;
  // The mapping is private and nobody writes to it, so nothing is lost.
  if (first < last) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

namespace {

std::string header_of(std::span<const LazyTensor> tensors, const std::map<std::string, std::string>& metadata,
                      std::span<const size_t> order) {
  std::string header = "{";
  try {
    if (!metadata.empty()) header += fmt::format("{}:{}", json(kMetadataKey).dump(), json(metadata).dump());
    uint64_t offset = 0;
    for (size_t index : order) {
      const LazyTensor& tensor = tensors[index];
      const uint64_t nbytes = static_cast<uint64_t>(tensor.sizes.numel()) * size_of(tensor.dtype);
      if (header.size() > 1) header += ',';
      header += fmt::format(R"({}:{{"dtype":"{}","shape":{},"data_offsets":[{},{}]}})", json(tensor.name).dump(),
                            type_name(tensor.dtype), to_string(tensor.sizes), offset, offset + nbytes);
      offset += nbytes;
    }
  } catch (const json::exception&) {
    fail("write_safetensors: names and metadata must be UTF-8");
  }
  header += '}';
  header.resize((header.size() + 7) / 8 * 8, ' ');  // so that the data is aligned
  check(header.size() <= kMaxHeaderBytes, "write_safetensors: the header may have {} bytes; got {}", kMaxHeaderBytes,
        header.size());
  return header;
}

}  // namespace

void write_lazy_safetensors(const fs::path& path, std::span<const LazyTensor> tensors,
                            const std::map<std::string, std::string>& metadata) {
  std::set<std::string_view> names{kMetadataKey};
  std::vector<size_t> order;
  for (const LazyTensor& tensor : tensors) {
    check(names.insert(tensor.name).second, "write_safetensors: {} may not be a tensor's name, or appears twice",
          printable(tensor.name));
    order.push_back(order.size());
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return size_of(tensors[a].dtype) > size_of(tensors[b].dtype); });

  const std::string header = header_of(tensors, metadata, order);
  const uint64_t header_bytes = header.size();
  AtomicFile file(path);
  file.write(std::as_bytes(std::span(&header_bytes, 1)));
  file.write(header);
  for (size_t index : order) {
    const LazyTensor& tensor = tensors[index];
    Tensor values = tensor.values();
    check(values.shape() == tensor.sizes && values.dtype() == tensor.dtype,
          "write_safetensors: {} must be {} {}; got {}", printable(tensor.name), to_string(tensor.sizes),
          name_of(tensor.dtype), describe(values));
    if (!values.device().is_cpu()) unsupported_device("write_safetensors", values.device());
    if (!values.is_contiguous()) values = clone(values);
    file.write({static_cast<const std::byte*>(values.raw()), values.nbytes()});
  }
  file.commit();
}

void write_safetensors(const fs::path& path, std::span<const NamedView> tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<LazyTensor> lazy;
  for (const NamedView& tensor : tensors) {
    const TensorView& view = tensor.view;
    if (!view.device.is_cpu()) unsupported_device("write_safetensors", view.device);
    lazy.push_back({tensor.name, view.sizes, view.dtype, [view] {
                      if (view.is_contiguous()) return from_memory(view.data, view.sizes, view.dtype, nullptr);
                      const Tensor contiguous = empty(view.sizes, view.dtype);
                      copy(contiguous, view);
                      return contiguous;
                    }});
  }
  write_lazy_safetensors(path, lazy, metadata);
}

}  // namespace vigor
