#include "models/jinja/operations.h"

#include <algorithm>
#include <cstring>

#include "models/tokenizer/unicode.h"
#include "tensor/check.h"
#include "tensor/file.h"

namespace vigor::jinja {
namespace {

// What Python's str.strip() takes away.
bool is_space(char32_t c) {
  return (c >= 0x9 && c <= 0xD) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

enum class Side { left, right, both };

std::string stripped(std::string_view text, Side side, const std::string* characters) {
  const std::u32string points = decode_utf8(text);
  const std::u32string chosen = characters != nullptr ? decode_utf8(*characters) : std::u32string();
  const auto goes = [&](char32_t c) {
    return characters != nullptr ? chosen.find(c) != std::u32string::npos : is_space(c);
  };
  size_t begin = 0, end = points.size();
  if (side != Side::right)
    while (begin < end && goes(points[begin])) ++begin;
  if (side != Side::left)
    while (begin < end && goes(points[end - 1])) --end;
  std::string result;
  for (size_t i = begin; i < end; ++i) append_utf8(points[i], result);
  return result;
}

int64_t length_of(const Value& value) {
  if (value.text() != nullptr) return static_cast<int64_t>(decode_utf8(*value.text()).size());
  if (value.list() != nullptr) return static_cast<int64_t>(value.list()->size());
  if (value.map() != nullptr) return static_cast<int64_t>(value.map()->size());
  fail("{} has no length", value.kind());
}

// In time proportional to the sizes; std::string::find is not, and templates may come from anywhere.
size_t find_in(std::string_view whole, std::string_view part, size_t from) {
  const void* at = memmem(whole.data() + from, whole.size() - from, part.data(), part.size());
  return at == nullptr ? std::string_view::npos : static_cast<size_t>(static_cast<const char*>(at) - whole.data());
}

Value split(std::string_view text, const std::string& separator) {
  check(!separator.empty(), "split() needs a separator that is not empty");
  List parts;
  size_t begin = 0;
  for (size_t at; (at = find_in(text, separator, begin)) != std::string_view::npos; begin = at + separator.size())
    parts.push_back(std::string(text.substr(begin, at - begin)));
  parts.push_back(std::string(text.substr(begin)));
  return parts;
}

std::string checked_size(std::string text) {
  check(text.size() <= kMaxTextBytes, "a string of more than {} bytes", kMaxTextBytes);
  return text;
}

std::string replaced(std::string_view text, const std::string& old, const std::string& with) {
  check(!old.empty(), "replace() needs a text that is not empty");
  std::string result;
  size_t begin = 0;
  for (size_t at; (at = find_in(text, old, begin)) != std::string_view::npos; begin = at + old.size()) {
    result.append(text.substr(begin, at - begin)).append(with);
    check(result.size() <= kMaxTextBytes, "a string of more than {} bytes", kMaxTextBytes);
  }
  return checked_size(result.append(text.substr(begin)));
}

const std::string& text_argument(const std::string& function, const Arguments& arguments, size_t i) {
  check(i < arguments.values.size() && arguments.values[i].text() != nullptr,
        "{}: argument {} must be a string; got {}", function, i + 1,
        i < arguments.values.size() ? arguments.values[i].kind() : "none");
  return *arguments.values[i].text();
}

void expect_arguments(const std::string& function, const Arguments& arguments, size_t least, size_t most) {
  check(arguments.named.empty(), "{} takes no arguments by name here; got {}", function,
        arguments.named.empty() ? "" : printable(arguments.named[0].first, 40));
  check(arguments.values.size() >= least && arguments.values.size() <= most, "{} takes {} to {} arguments here; got {}",
        function, least, most, arguments.values.size());
}

std::string joined(const List& list, const std::string& between) {
  std::string text;
  for (size_t i = 0; i < list.size(); ++i) {
    text.append(i > 0 ? between : "").append(printed(list[i]));
    check(text.size() <= kMaxTextBytes, "a string of more than {} bytes", kMaxTextBytes);
  }
  return text;
}

Value calculated(std::string_view sign, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflow = false;
  if (sign == "+") overflow = __builtin_add_overflow(a, b, &result);
  else if (sign == "-") overflow = __builtin_sub_overflow(a, b, &result);
  else if (sign == "*") overflow = __builtin_mul_overflow(a, b, &result);
  else if (sign == "/") fail("the operator / is not supported; // is");
  else {
    check(b != 0, "division by zero");
    if (b == -1) return combine("-", int64_t{0}, sign == "//" ? a : 0);
    const int64_t rest = (a % b + b) % b;  // of the divisor's sign, as in Python
    result = sign == "%" ? rest : (a - rest) / b;
  }
  check(!overflow, "a number is too large");
  return result;
}

}  // namespace

std::string printed(const Value& value) {
  if (value.is_undefined()) return "";
  if (value.is_none()) return "None";
  if (value.is_boolean()) return value.number() != 0 ? "True" : "False";
  if (value.is_integer()) return std::to_string(value.number());
  if (value.text() == nullptr) fail("{} cannot be printed", value.kind());
  return *value.text();
}

bool equal(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return a.number() == b.number();
  if (a.text() != nullptr && b.text() != nullptr) return *a.text() == *b.text();
  if (a.is_undefined() || a.is_none()) return std::string_view(a.kind()) == b.kind();
  check(std::string_view(a.kind()) != b.kind(), "{} cannot be compared with another", a.kind());
  return false;
}

bool contains(const Value& whole, const Value& part) {
  if (whole.text() != nullptr) {
    check(part.text() != nullptr, "only a string can be in a string; got {}", part.kind());
    return part.text()->empty() || find_in(*whole.text(), *part.text(), 0) != std::string_view::npos;
  }
  if (whole.map() != nullptr) return part.text() != nullptr && find(*whole.map(), *part.text()) != nullptr;
  if (whole.list() == nullptr) fail("nothing can be in {}", whole.kind());
  for (const Value& item : *whole.list())
    if (equal(item, part)) return true;
  return false;
}

bool compare(std::string_view sign, const Value& a, const Value& b) {
  if (sign == "==") return equal(a, b);
  if (sign == "!=") return !equal(a, b);
  if (sign == "in") return contains(b, a);
  if (sign == "not in") return !contains(b, a);
  int order = 0;
  if (a.is_number() && b.is_number()) order = a.number() < b.number() ? -1 : a.number() > b.number() ? 1 : 0;
  else if (a.text() != nullptr && b.text() != nullptr) order = a.text()->compare(*b.text());  // UTF-8: by code point
  else fail("{} {} {} has no meaning", a.kind(), sign, b.kind());
  if (sign == "<") return order < 0;
  if (sign == "<=") return order <= 0;
  return sign == ">" ? order > 0 : order >= 0;
}

Value combine(std::string_view sign, const Value& a, const Value& b) {
  if (sign == "~") return checked_size(printed(a) + printed(b));
  if (a.is_number() && b.is_number()) return calculated(sign, a.number(), b.number());
  if (sign == "+" && a.text() != nullptr && b.text() != nullptr) return checked_size(*a.text() + *b.text());
  if (sign == "+" && a.list() != nullptr && b.list() != nullptr) {
    List both = *a.list();
    both.insert(both.end(), b.list()->begin(), b.list()->end());
    return both;
  }
  for (const Value* value : {&a, &b})
    if (value->is_undefined()) fail("\"{}\" is not defined", printable(value->undefined_name(), 40));
  fail("{} {} {} is not supported", a.kind(), sign, b.kind());
}

Value item_of(const Value& value, const Value& key) {
  if (value.list() != nullptr && key.is_number()) {
    const auto size = static_cast<int64_t>(value.list()->size());
    const int64_t i = key.number() < 0 ? key.number() + size : key.number();
    return i >= 0 && i < size ? (*value.list())[static_cast<size_t>(i)] : Value(Undefined{"an item of the list"});
  }
  if (key.text() != nullptr && value.text() == nullptr && value.list() == nullptr)
    return attribute_of(value, *key.text());
  if (value.is_undefined()) fail("\"{}\" is not defined", printable(value.undefined_name(), 40));
  fail("{} with {} as its index is not supported", value.kind(), key.kind());
}

Value slice_of(const Value& value, const Value& begin, const Value& end, const Value& step) {
  if (value.is_undefined()) fail("\"{}\" is not defined", printable(value.undefined_name(), 40));
  if (value.list() == nullptr) fail("a slice of {} is not supported", value.kind());
  for (const Value* bound : {&begin, &end, &step})
    check(bound->is_none() || bound->is_number(), "the bounds of a slice must be numbers; got {}", bound->kind());
  const auto size = static_cast<int64_t>(value.list()->size());
  const int64_t by = step.is_none() ? 1 : step.number();
  check(by == 1 || by == -1, "slices with a step of {} are not supported", by);
  // Bounds from the end of the list, and cut to it, as in Python.
  const int64_t least = by > 0 ? 0 : -1, most = by > 0 ? size : size - 1;
  const auto place = [&](const Value& bound, int64_t missing) {
    if (bound.is_none()) return missing;
    const int64_t i = bound.number() < 0 ? std::max(bound.number(), -size - 1) + size : bound.number();
    return std::min(std::max(i, least), most);
  };
  const int64_t first = place(begin, by > 0 ? 0 : size - 1), last = place(end, by > 0 ? size : -1);
  List part;
  for (int64_t i = first; by > 0 ? i < last : i > last; i += by)
    part.push_back((*value.list())[static_cast<size_t>(i)]);
  return part;
}

Value attribute_of(const Value& value, const std::string& name) {
  if (value.is_undefined()) fail("\"{}\" is not defined", printable(value.undefined_name(), 40));
  const Map* map = value.space() != nullptr ? value.space()->attributes.get() : value.map();
  const Value* found = map != nullptr ? find(*map, name) : nullptr;
  return found != nullptr ? *found : Value(Undefined{name});
}

Value filtered(const std::string& filter, const Value& value, const Arguments& arguments) {
  const auto takes = [&](size_t least, size_t most) { expect_arguments(filter, arguments, least, most); };
  if (filter == "trim") {
    takes(0, 1);
    return stripped(printed(value), Side::both,
                    arguments.values.empty() ? nullptr : &text_argument(filter, arguments, 0));
  }
  if (filter == "length" || filter == "count") {
    takes(0, 0);
    return length_of(value);
  }
  if (filter == "string") {
    takes(0, 0);
    return printed(value);
  }
  if (filter == "default" || filter == "d") {
    takes(1, 2);
    const bool for_false = arguments.values.size() > 1 && arguments.values[1].truth();
    return value.is_undefined() || (for_false && !value.truth()) ? arguments.values[0] : value;
  }
  if (filter == "first" || filter == "last") {
    takes(0, 0);
    check(value.list() != nullptr, "{} is for lists; got {}", filter, value.kind());
    return item_of(value, int64_t{filter == "first" ? 0 : -1});
  }
  if (filter == "join") {
    takes(0, 1);
    check(value.list() != nullptr, "join is for lists; got {}", value.kind());
    return joined(*value.list(), arguments.values.empty() ? "" : text_argument(filter, arguments, 0));
  }
  fail("the filter \"{}\" is not supported", printable(filter, 40));
}

bool passes(const std::string& test, const Value& value) {
  if (test == "defined") return !value.is_undefined();
  if (test == "undefined") return value.is_undefined();
  if (test == "none") return value.is_none();
  if (test == "string") return value.text() != nullptr;
  if (test == "number") return value.is_number();
  if (test == "integer") return value.is_integer();
  if (test == "boolean") return value.is_boolean();
  if (test == "true" || test == "false") return value.is_boolean() && (value.number() != 0) == (test == "true");
  if (test == "mapping") return value.map() != nullptr;
  if (test == "sequence" || test == "iterable")
    return value.text() != nullptr || value.list() != nullptr || value.map() != nullptr ||
           (test == "iterable" && value.is_undefined());
  fail("the test \"is {}\" is not supported", printable(test, 40));
}

Value call_method(const Value& value, const std::string& method, const Arguments& arguments) {
  const auto takes = [&](size_t least, size_t most) { expect_arguments(method + "()", arguments, least, most); };
  if (value.is_undefined()) fail("\"{}\" is not defined", printable(value.undefined_name(), 40));
  if (value.map() != nullptr && method == "get") {
    takes(1, 2);
    const Value* found = find(*value.map(), text_argument("get()", arguments, 0));
    return found != nullptr ? *found : arguments.values.size() > 1 ? arguments.values[1] : Value(None{});
  }
  if (value.text() == nullptr) fail("the method {}() of {} is not supported", printable(method, 40), value.kind());
  const std::string& text = *value.text();
  if (method == "strip" || method == "lstrip" || method == "rstrip") {
    takes(0, 1);
    const Side side = method == "strip" ? Side::both : method == "lstrip" ? Side::left : Side::right;
    return stripped(text, side, arguments.values.empty() ? nullptr : &text_argument(method, arguments, 0));
  }
  if (method == "startswith" || method == "endswith") {
    takes(1, 1);
    const std::string& part = text_argument(method, arguments, 0);
    return method == "startswith" ? text.starts_with(part) : text.ends_with(part);
  }
  if (method == "split") {
    takes(1, 1);
    return split(text, text_argument(method, arguments, 0));
  }
  if (method == "replace") {
    takes(2, 2);
    return replaced(text, text_argument(method, arguments, 0), text_argument(method, arguments, 1));
  }
  fail("the method {}() of a string is not supported", printable(method, 40));
}

}  // namespace vigor::jinja
