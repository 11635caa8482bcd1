#include "models/stop_strings.h"

#include <algorithm>

#include "models/tokenizer/unicode.h"
#include "tensor/check.h"
#include "tensor/file.h"

namespace vigor {

StopStrings::StopStrings(std::vector<std::string> strings) : strings_(std::move(strings)) {
  for (const std::string& string : strings_) {
    check(!string.empty(), "stop strings: a stop string must not be empty");
    if (valid_utf8(string) != string) fail("stop strings: must be UTF-8; got {}", printable(string));
  }
}

std::string StopStrings::push(std::string_view piece) {
  if (found_) return {};
  const size_t known = held_.size();
  held_ += piece;
  const std::string_view text = held_;
  for (size_t end = known + 1; end <= text.size(); ++end) {
    size_t longest = 0;
    for (const std::string& string : strings_)
      if (text.substr(0, end).ends_with(string)) longest = std::max(longest, string.size());
    if (longest == 0) continue;
    found_ = true;
    return std::exchange(held_, {}).substr(0, end - longest);
  }
  size_t held = 0;  // the longest end of the text with which a string begins
  for (const std::string& string : strings_)
    for (size_t length = std::min(string.size() - 1, text.size()); length > held; --length)
      if (text.ends_with(std::string_view(string).substr(0, length))) held = length;
  std::string certain = held_.substr(0, held_.size() - held);
  held_.erase(0, certain.size());
  return certain;
}

std::string StopStrings::finish() { return std::exchange(held_, {}); }

}  // namespace vigor
