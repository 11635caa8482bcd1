// Random bytes as a config.json: refused in words, or a configuration whose text reads back as itself and whose model
// can be declared.
#include <cstdlib>

#include "models/families.h"
#include "tests/fuzz/fuzz.h"

namespace vigor {

void fuzz_one(std::string_view input, const std::filesystem::path&) {
  load_or_refuse([&] {
    const auto config = parse_config(input, "fuzz");
    const std::string text = config->to_json();
    const auto again = parse_config(text, "again");
    if (again->to_json() != text || again->layer_count() != config->layer_count()) std::abort();
    if (make_model(*config)->parameter_count() <= 0) std::abort();
  });
}

}  // namespace vigor
