#pragma once
// Argument checks. The library reports by exception only; `main` turns them into one line and an exit code.
//   std::invalid_argument  bad input: a shape, dtype, device, file or option that breaks a stated rule
//   std::logic_error       misuse of the library: a second backward, a tensor written while saved
//   std::runtime_error     the outside world failed: a file, memory, a device
// Message form: "operation: rule; what arrived".
#include <fmt/core.h>

#include <stdexcept>
#include <utility>

namespace vigor {

// Throws std::invalid_argument with the formatted text unless `ok`. The text is only built on failure, but its
// arguments are evaluated: pass cheap ones (sizes, or describe() inside an explicit `if`).
template <class... Args>
inline void check(bool ok, fmt::format_string<Args...> text, Args&&... args) {
  if (!ok) [[unlikely]]
    throw std::invalid_argument(fmt::format(text, std::forward<Args>(args)...));
}

template <class... Args>
[[noreturn]] inline void fail(fmt::format_string<Args...> text, Args&&... args) {
  throw std::invalid_argument(fmt::format(text, std::forward<Args>(args)...));
}

}  // namespace vigor
