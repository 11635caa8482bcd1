#pragma once
// What the configurations of all families have in common, for their .cpp files: limits, and what check() finds wrong,
// kept until finish(), so that one message names it all.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tensor/check.h"

namespace vigor {

// Limits of every family: far above any sensible model, and low enough that no product of two of them overflows.
inline constexpr int64_t kMaxVocab = int64_t{1} << 24, kMaxSequence = int64_t{1} << 24, kMaxLayers = 1024;

// The kinds of `layers` layers, each that of the layer at the same relative depth of `kinds`.
template <class Kinds>
Kinds at_same_depth(const Kinds& kinds, int64_t layers) {
  const int64_t before = static_cast<int64_t>(kinds.size());
  Kinds chosen;
  for (int64_t i = 0; i < layers; ++i) chosen.push_back(kinds[static_cast<size_t>(i * before / layers)]);
  return chosen;
}

class ConfigRules {
 public:
  // `name` begins the message: "i3 config".
  explicit ConfigRules(const char* name) : name_(name) {}

  template <class... Args>
  void require(bool holds, fmt::format_string<Args...> message, Args&&... args) {
    if (!holds) complaints_.push_back(fmt::format(message, std::forward<Args>(args)...));
  }
  template <class T>
  void range(const char* key, T value, std::type_identity_t<T> low, std::type_identity_t<T> high) {
    require(value >= low && value <= high, "{} must be in {}..{}; got {}", key, low, high, value);  // false of a NaN
  }
  // A divisor below 1 is for range() to report.
  void divides(const char* divisor_key, int64_t divisor, const char* key, int64_t value) {
    require(divisor < 1 || value % divisor == 0, "{} must divide {}; got {} and {}", divisor_key, key, divisor, value);
  }
  void finite(const char* key, double value) { require(std::isfinite(value), "{} must be finite; got {}", key, value); }

  void finish() const {  // std::invalid_argument with all complaints, if there are any
    if (!complaints_.empty()) fail("{}: {}", name_, fmt::join(complaints_, "; "));
  }

 private:
  const char* name_;
  std::vector<std::string> complaints_;
};

}  // namespace vigor
