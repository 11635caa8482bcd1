#pragma once
// Finds the end of a text that comes in pieces: the first place where one of several strings is complete, wherever the
// borders of the pieces lie. What may be the beginning of such a string is held back until it is known not to be one.
//
//   StopStrings stop({"\nuser:"});
//   print(stop.push("hello\nus"));   // "hello": the rest may belong to the string
//   print(stop.push("ually"));       // "\nusually"
//   print(stop.finish());
#include <string>
#include <string_view>
#include <vector>

namespace vigor {

class StopStrings {
 public:
  StopStrings() = default;
  // std::invalid_argument for an empty string or one that is not UTF-8.
  explicit StopStrings(std::vector<std::string> strings);

  // The part of the text that is certain with this piece: no stop string begins in it. Of strings that are complete at
  // the same place the longest counts. After the end nothing comes any more.
  std::string push(std::string_view piece);
  bool found() const { return found_; }
  std::string finish();  // what was held back, when the text ended by itself

 private:
  std::vector<std::string> strings_;
  std::string held_;  // shorter than the longest string
  bool found_ = false;
};

}  // namespace vigor
