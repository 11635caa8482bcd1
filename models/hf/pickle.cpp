#include "models/hf/pickle.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <unordered_map>

#include "tensor/check.h"
#include "tensor/file.h"

namespace vigor {
namespace {

constexpr size_t kMaxBytes = 64'000'000;
constexpr size_t kMaxObjects = 2'000'000;
constexpr size_t kMaxMarks = 10'000;

constexpr std::array<StorageType, 10> kStorageTypes{{
    {"FloatStorage", 4, Dtype::f32},
    {"DoubleStorage", 8, Dtype::f64},
    {"BFloat16Storage", 2, Dtype::bf16},
    {"HalfStorage", 2, Dtype::f16},
    {"IntStorage", 4, Dtype::i32},
    {"LongStorage", 8, Dtype::i64},
    {"ByteStorage", 1, Dtype::u8},
    {"BoolStorage", 1, Dtype::u8},
    {"CharStorage", 1, std::nullopt},
    {"ShortStorage", 2, std::nullopt},
}};

std::optional<PickledGlobal> find_global(std::string_view module, std::string_view name) {
  using Kind = PickledGlobal::Kind;
  if (module == "torch._utils" && name == "_rebuild_tensor_v2") return PickledGlobal{Kind::rebuild_tensor, nullptr};
  if (module == "torch._utils" && name == "_rebuild_parameter") return PickledGlobal{Kind::rebuild_parameter, nullptr};
  if (module == "collections" && name == "OrderedDict") return PickledGlobal{Kind::ordered_dict, nullptr};
  if (module != "torch") return std::nullopt;
  if (name == "Size") return PickledGlobal{Kind::size, nullptr};
  for (const StorageType& type : kStorageTypes)
    if (name == type.name) return PickledGlobal{Kind::storage, &type};
  return std::nullopt;
}

// The names are those of Python's pickletools.
// clang-format off
enum Opcode : uint8_t {
  kMark = '(', kStop = '.', kPop = '0', kPopMark = '1', kBinfloat = 'G', kBinint = 'J', kBinint1 = 'K', kBinint2 = 'M',
  kNone = 'N', kBinpersid = 'Q', kReduce = 'R', kBinunicode = 'X', kEmptyList = ']', kAppend = 'a', kBuild = 'b',
  kGlobal = 'c', kDict = 'd', kEmptyDict = '}', kAppends = 'e', kBinget = 'h', kLongBinget = 'j', kList = 'l',
  kBinput = 'q', kLongBinput = 'r', kSetitem = 's', kTuple = 't', kEmptyTuple = ')', kSetitems = 'u', kProto = 0x80,
  kTuple1 = 0x85, kTuple2 = 0x86, kTuple3 = 0x87, kNewtrue = 0x88, kNewfalse = 0x89, kLong1 = 0x8a,
  kShortBinunicode = 0x8c, kBinunicode8 = 0x8d, kStackGlobal = 0x93, kMemoize = 0x94, kFrame = 0x95,
};
// clang-format on

// Refused opcodes that a reader of the message may know.
// clang-format off
const char* refused_opcode_name(uint8_t opcode) {
  switch (opcode) {
    case 'i': return "INST";
    case 'o': return "OBJ";
    case 'P': return "PERSID";
    case 0x81: return "NEWOBJ";
    case 0x92: return "NEWOBJ_EX";
    case 0x82: case 0x83: case 0x84: return "EXT";
    case 'B': case 'C': case 0x8e: return "BINBYTES";
    case 'I': case 'L': case 'F': case 'S': case 'V': case 'p': case 'g': return "of the text protocol 0";
    default: return "unknown here";
  }
}
// clang-format on

class PickleMachine {
 public:
  PickleMachine(std::string_view bytes, const std::string& where) : bytes_(bytes), where_(where) {}
  Pickle run();

 private:
  template <class... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> text, Args&&... args) {
    fail("{}: pickle byte {}: {}", where_, opcode_at_, fmt::format(text, std::forward<Args>(args)...));
  }
  void require(bool ok, const char* rule) {
    if (!ok) refuse("{}", rule);
  }

  std::string_view take(uint64_t count);
  template <class T>
  T number();
  std::string_view line();

  ObjectId make(PickledObject object);
  void push(PickledObject object) { stack_.push_back(make(std::move(object))); }
  ObjectId pop();
  ObjectId& top();
  std::vector<ObjectId> pop_to_mark();
  std::vector<ObjectId> pop_count(size_t count);
  template <class T>
  T* find(ObjectId id) {
    return std::get_if<T>(&objects_[id]);
  }
  template <class T>
  T& as(ObjectId id, const char* rule);

  bool step_literal(uint8_t opcode);
  bool step_container(uint8_t opcode);
  bool step_memo(uint8_t opcode);
  bool step_object(uint8_t opcode);
  int64_t long1();
  void mark();
  void append(const std::vector<ObjectId>& items);
  void make_dict(const std::vector<ObjectId>& items);  // key, value, key, value, ...
  void set_items(const std::vector<ObjectId>& items);
  void store(uint64_t index);
  void load(uint64_t index);
  void global_by_line();
  void global_by_stack();
  void global(std::string_view module, std::string_view name);
  void reduce();
  void build();
  void persistent_storage();
  std::unique_ptr<PickledTensor> rebuild_tensor(const PickledTuple& arguments);
  Shape integers(ObjectId tuple);

  std::string_view bytes_;
  const std::string& where_;
  size_t position_ = 0;
  size_t opcode_at_ = 0;
  std::vector<PickledObject> objects_;
  std::vector<ObjectId> stack_;
  std::vector<size_t> marks_;  // heights of the stack
  std::unordered_map<uint64_t, ObjectId> memo_;
};

// ---- reading the bytes ----

std::string_view PickleMachine::take(uint64_t count) {
  require(count <= bytes_.size() - position_, "the pickle ends in the middle of an instruction");
  const std::string_view taken = bytes_.substr(position_, static_cast<size_t>(count));
  position_ += static_cast<size_t>(count);
  return taken;
}

template <class T>
T PickleMachine::number() {  // little endian
  T value;
  std::memcpy(&value, take(sizeof value).data(), sizeof value);
  return value;
}

std::string_view PickleMachine::line() {
  const size_t end = bytes_.find('\n', position_);
  require(end != std::string_view::npos, "the pickle ends in the middle of an instruction");
  const std::string_view text = take(end - position_);
  ++position_;
  return text;
}

int64_t PickleMachine::long1() {
  const std::string_view digits = take(number<uint8_t>());  // two's complement, little endian
  require(digits.size() <= 8, "an integer of more than 64 bits");
  if (digits.empty()) return 0;
  uint64_t value = (static_cast<unsigned char>(digits.back()) & 0x80) != 0 ? ~uint64_t{0} : 0;
  for (size_t i = digits.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(digits[i]);
  return static_cast<int64_t>(value);
}

// ---- the stack ----

ObjectId PickleMachine::make(PickledObject object) {
  require(objects_.size() < kMaxObjects, "too many objects for a checkpoint");
  objects_.push_back(std::move(object));
  return static_cast<ObjectId>(objects_.size() - 1);
}

ObjectId& PickleMachine::top() {
  require(stack_.size() > (marks_.empty() ? 0 : marks_.back()), "the stack is empty");
  return stack_.back();
}

ObjectId PickleMachine::pop() {
  const ObjectId id = top();
  stack_.pop_back();
  return id;
}

std::vector<ObjectId> PickleMachine::pop_count(size_t count) {
  std::vector<ObjectId> items(count);
  for (size_t i = count; i-- > 0;) items[i] = pop();
  return items;
}

std::vector<ObjectId> PickleMachine::pop_to_mark() {
  require(!marks_.empty(), "there is no mark on the stack");
  std::vector<ObjectId> items(stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back()), stack_.end());
  stack_.resize(marks_.back());
  marks_.pop_back();
  return items;
}

template <class T>
T& PickleMachine::as(ObjectId id, const char* rule) {
  T* object = find<T>(id);
  if (object == nullptr) refuse("{}", rule);
  return *object;
}

// ---- instructions ----

Pickle PickleMachine::run() {
  check(bytes_.size() <= kMaxBytes, "{}: the pickle has {} bytes; at most {} are read", where_, bytes_.size(),
        kMaxBytes);
  for (;;) {
    opcode_at_ = position_;
    const uint8_t opcode = number<uint8_t>();
    if (opcode == kStop) break;
    if (!step_literal(opcode) && !step_container(opcode) && !step_memo(opcode) && !step_object(opcode))
      refuse("opcode 0x{:02x} ({}) is not allowed", opcode, refused_opcode_name(opcode));
  }
  const ObjectId root = pop();
  return {std::move(objects_), root};
}

// clang-format off
bool PickleMachine::step_literal(uint8_t opcode) {
  switch (opcode) {
    case kProto: require(number<uint8_t>() <= 5, "the protocol is unknown"); return true;
    case kFrame: require(number<uint64_t>() <= bytes_.size() - position_, "a frame longer than the pickle"); return true;
    case kNone: push(std::monostate{}); return true;
    case kNewtrue: push(true); return true;
    case kNewfalse: push(false); return true;
    case kBinint: push(int64_t{number<int32_t>()}); return true;
    case kBinint1: push(int64_t{number<uint8_t>()}); return true;
    case kBinint2: push(int64_t{number<uint16_t>()}); return true;
    case kLong1: push(long1()); return true;
    case kBinfloat: push(std::bit_cast<double>(__builtin_bswap64(number<uint64_t>()))); return true;
    case kShortBinunicode: push(take(number<uint8_t>())); return true;
    case kBinunicode: push(take(number<uint32_t>())); return true;
    case kBinunicode8: push(take(number<uint64_t>())); return true;
    default: return false;
  }
}

bool PickleMachine::step_container(uint8_t opcode) {
  switch (opcode) {
    case kMark: mark(); return true;
    case kPop: pop(); return true;
    case kPopMark: pop_to_mark(); return true;
    case kEmptyTuple: push(PickledTuple{}); return true;
    case kTuple1: push(PickledTuple{pop_count(1)}); return true;
    case kTuple2: push(PickledTuple{pop_count(2)}); return true;
    case kTuple3: push(PickledTuple{pop_count(3)}); return true;
    case kTuple: push(PickledTuple{pop_to_mark()}); return true;
    case kEmptyList: push(PickledList{}); return true;
    case kList: push(PickledList{pop_to_mark()}); return true;
    case kAppend: append(pop_count(1)); return true;
    case kAppends: append(pop_to_mark()); return true;
    case kEmptyDict: push(PickledDict{}); return true;
    case kDict: make_dict(pop_to_mark()); return true;
    case kSetitem: set_items(pop_count(2)); return true;
    case kSetitems: set_items(pop_to_mark()); return true;
    default: return false;
  }
}

bool PickleMachine::step_memo(uint8_t opcode) {
  switch (opcode) {
    case kBinput: store(number<uint8_t>()); return true;
    case kLongBinput: store(number<uint32_t>()); return true;
    case kMemoize: store(memo_.size()); return true;
    case kBinget: load(number<uint8_t>()); return true;
    case kLongBinget: load(number<uint32_t>()); return true;
    default: return false;
  }
}

bool PickleMachine::step_object(uint8_t opcode) {
  switch (opcode) {
    case kGlobal: global_by_line(); return true;
    case kStackGlobal: global_by_stack(); return true;
    case kBinpersid: persistent_storage(); return true;
    case kReduce: reduce(); return true;
    case kBuild: build(); return true;
    default: return false;
  }
}
// clang-format on

void PickleMachine::mark() {
  require(marks_.size() < kMaxMarks, "marks are nested too deeply");
  marks_.push_back(stack_.size());
}

void PickleMachine::append(const std::vector<ObjectId>& items) {
  std::vector<ObjectId>& list = as<PickledList>(top(), "items may be appended to a list only").items;
  list.insert(list.end(), items.begin(), items.end());
}

void PickleMachine::make_dict(const std::vector<ObjectId>& items) {
  push(PickledDict{});
  set_items(items);
}

void PickleMachine::set_items(const std::vector<ObjectId>& items) {
  require(items.size() % 2 == 0, "a dictionary needs a value for every key");
  auto& dict = as<PickledDict>(top(), "items may be set in a dictionary only").items;
  for (size_t i = 0; i < items.size(); i += 2) dict.emplace_back(items[i], items[i + 1]);
}

void PickleMachine::store(uint64_t index) {
  require(memo_.size() < kMaxObjects, "too many objects for a checkpoint");
  memo_[index] = top();
}

void PickleMachine::load(uint64_t index) {
  const auto found = memo_.find(index);
  require(found != memo_.end(), "an object is fetched that was never stored");
  stack_.push_back(found->second);
}

void PickleMachine::global_by_line() {
  const std::string_view module = line();
  global(module, line());
}

void PickleMachine::global_by_stack() {
  const auto name = as<std::string_view>(pop(), "a global's name must be a string");
  const auto module = as<std::string_view>(pop(), "a global's module must be a string");
  global(module, name);
}

void PickleMachine::global(std::string_view module, std::string_view name) {
  const std::optional<PickledGlobal> found = find_global(module, name);
  if (!found) refuse("global {}.{} is not allowed in a checkpoint", printable(module), printable(name));
  push(*found);
}

// BUILD would set attributes of an object. PyTorch uses it to hang "_metadata" on a state dict, which is not needed.
void PickleMachine::build() {
  pop();
  as<PickledDict>(top(), "attributes may be set on a dictionary only");
}

// REDUCE would call a function: the few that are known are done here.
void PickleMachine::reduce() {
  const ObjectId arguments_id = pop();
  const PickledTuple& arguments = as<PickledTuple>(arguments_id, "arguments must be a tuple");
  const PickledGlobal function = as<PickledGlobal>(pop(), "only a global can be called");
  switch (function.kind) {
    case PickledGlobal::Kind::rebuild_tensor:
      push(rebuild_tensor(arguments));
      return;
    case PickledGlobal::Kind::rebuild_parameter:  // (tensor, requires_grad, hooks)
      require(!arguments.items.empty(), "_rebuild_parameter needs a tensor");
      as<std::unique_ptr<PickledTensor>>(arguments.items[0], "_rebuild_parameter needs a tensor");
      stack_.push_back(arguments.items[0]);
      return;
    case PickledGlobal::Kind::ordered_dict:
      require(arguments.items.empty(), "OrderedDict must be called without arguments");
      push(PickledDict{});
      return;
    case PickledGlobal::Kind::size:
      require(arguments.items.size() == 1, "torch.Size needs one tuple");
      as<PickledTuple>(arguments.items[0], "torch.Size needs one tuple");
      stack_.push_back(arguments.items[0]);
      return;
    case PickledGlobal::Kind::storage:
      refuse("a storage type cannot be called");
  }
}

// ("storage", storage type, key, location, number of elements)
void PickleMachine::persistent_storage() {
  constexpr const char* kRule = "a persistent id must be ('storage', type, key, location, numel)";
  const std::vector<ObjectId> id = as<PickledTuple>(pop(), kRule).items;
  require(id.size() == 5 && as<std::string_view>(id[0], kRule) == "storage", kRule);
  const PickledGlobal type = as<PickledGlobal>(id[1], kRule);
  require(type.kind == PickledGlobal::Kind::storage, kRule);
  const std::string_view key = as<std::string_view>(id[2], kRule);
  const int64_t numel = as<int64_t>(id[4], kRule);
  int64_t nbytes = 0;
  require(numel >= 0 && !__builtin_mul_overflow(numel, type.storage->nbytes, &nbytes), "a storage of impossible size");
  push(PickledStorage{type.storage, key, numel});
}

Shape PickleMachine::integers(ObjectId tuple) {
  constexpr const char* kRule = "sizes and strides must be tuples of integers";
  const std::vector<ObjectId>& items = as<PickledTuple>(tuple, kRule).items;
  if (items.size() > static_cast<size_t>(kMaxRank)) refuse("a tensor may have {} dimensions at most", kMaxRank);
  Shape values;
  for (ObjectId item : items) values.push_back(as<int64_t>(item, kRule));
  return values;
}

// (storage, offset, sizes, strides, requires_grad, hooks[, metadata])
std::unique_ptr<PickledTensor> PickleMachine::rebuild_tensor(const PickledTuple& arguments) {
  const std::vector<ObjectId>& items = arguments.items;
  require(items.size() == 6 || items.size() == 7, "_rebuild_tensor_v2 needs 6 or 7 arguments");
  const PickledStorage& storage = as<PickledStorage>(items[0], "a tensor needs a storage");
  const int64_t offset = as<int64_t>(items[1], "a tensor's offset must be an integer");
  const Shape sizes = integers(items[2]);
  const Shape strides = integers(items[3]);
  const int64_t numel = checked_numel({sizes.begin(), sizes.end()});
  require(sizes.rank() == strides.rank() && numel >= 0 && offset >= 0, "a tensor of impossible sizes");
  require(numel <= storage.numel, "a tensor has more elements than its storage");
  if (numel > 0) {
    int64_t last = offset;  // position of the last element in the storage
    for (int dim = 0; dim < sizes.rank(); ++dim) {
      int64_t step = 0;
      require(strides[dim] >= 0 && !__builtin_mul_overflow(sizes[dim] - 1, strides[dim], &step) &&
                  !__builtin_add_overflow(last, step, &last),
              "a tensor of impossible strides");
    }
    require(last < storage.numel, "a tensor reaches beyond its storage");
  }
  return std::make_unique<PickledTensor>(PickledTensor{items[0], offset, sizes, strides});
}

}  // namespace

Pickle read_pickle(std::string_view bytes, const std::string& where) { return PickleMachine(bytes, where).run(); }

}  // namespace vigor
