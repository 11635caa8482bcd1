#pragma once
// What values of the template language can do: operators, filters, tests and methods of strings and dictionaries, as in
// Python and Jinja. Errors are std::invalid_argument without the line, which the interpreter knows.
#include <string>
#include <string_view>

#include "models/jinja/value.h"

namespace vigor::jinja {

inline constexpr size_t kMaxTextBytes = size_t{16} << 20;  // of a string that an operation makes

// Arguments of a call, with and without names.
struct Arguments {
  List values;
  Map named;
};

std::string printed(const Value& value);  // strings, numbers, truth values, none, nothing
bool equal(const Value& a, const Value& b);
bool contains(const Value& whole, const Value& part);                  // part in whole
bool compare(std::string_view sign, const Value& a, const Value& b);   // == != < <= > >= in, not in
Value combine(std::string_view sign, const Value& a, const Value& b);  // + - * // % ~
Value item_of(const Value& value, const Value& key);                   // value[key]
Value slice_of(const Value& value, const Value& begin, const Value& end, const Value& step);  // none where not given
Value attribute_of(const Value& value, const std::string& name);                              // value.name
Value filtered(const std::string& filter, const Value& value, const Arguments& arguments);
bool passes(const std::string& test, const Value& value);
Value call_method(const Value& value, const std::string& method, const Arguments& arguments);

}  // namespace vigor::jinja
