// A chunk vocabulary file: refused, or a tokenizer that works and is written as it was read.
#include <cstdlib>

#include "models/tokenizer/chunk_tokenizer.h"
#include "tests/fuzz/fuzz.h"

void vigor::fuzz_one(std::string_view input, const std::filesystem::path&) {
  load_or_refuse([&] {
    const auto tokenizer = ChunkTokenizer::parse(input, "fuzz");
    for (const int32_t id : tokenizer->encode(input)) {
      if (id < 0 || id >= tokenizer->vocab_size()) std::abort();
    }
    if (ChunkTokenizer::parse(tokenizer->to_json(), "again")->fingerprint() != tokenizer->fingerprint()) std::abort();
  });
}
