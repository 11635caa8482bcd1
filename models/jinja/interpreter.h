#pragma once
// Runs a template. What it may spend is bounded: steps, bytes of text made on the way, and bytes of the result.
#include <string>
#include <vector>

#include "models/jinja/operations.h"
#include "models/jinja/syntax.h"

namespace vigor::jinja {

struct Limits {
  int64_t work = 1'000'000;  // evaluations, and one for each item and each 16 bytes of text that they read or make
  size_t output_bytes = kMaxTextBytes;
};

// The text of a template with the given variables. std::invalid_argument, one line, for whatever goes wrong: an
// unsupported function, filter, test or operation by its name with the template's line; the text of raise_exception();
// a limit that is exceeded.
std::string render(const Body& body, const Map& variables, const Limits& limits = {});

}  // namespace vigor::jinja
