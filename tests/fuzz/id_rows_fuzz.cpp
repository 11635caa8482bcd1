#include <cstdlib>

#include "tests/fuzz/fuzz.h"
#include "train/commands/common.h"

// The ids that `vigor eval --ids` and `vigor tokenize --decode` read.
void vigor::fuzz_one(std::string_view input, const std::filesystem::path&) {
  constexpr int64_t kVocabSize = 300;
  load_or_refuse([&] {
    const Tensor ids = parse_id_rows(input, "fuzz", kVocabSize);
    for (const int64_t id : ids.to_vector<int64_t>())
      if (id < 0 || id >= kVocabSize) std::abort();
  });
}
