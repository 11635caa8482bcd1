#pragma once
#include <functional>
#include <stdexcept>
#include <string>

namespace vigor::testing {

// What the std::invalid_argument that call() throws says; "no error" when it throws none.
inline std::string error_text(const std::function<void()>& call) {
  try {
    call();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace vigor::testing
