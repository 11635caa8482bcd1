// The same bytes as a .txt and as a .jsonl file: documents or an error; then through the tokenizer.
#include <cstdlib>

#include "models/tokenizer/chunk_tokenizer.h"
#include "models/tokenizer/unicode.h"
#include "tests/fuzz/fuzz.h"
#include "train/data/documents.h"

void vigor::fuzz_one(std::string_view input, const std::filesystem::path& folder) {
  for (const char* name : {"data.txt", "data.jsonl"}) {
    const auto path = put_file(folder / name, input);
    ChunkVocabularyBuilder builder;
    load_or_refuse([&] {
      const auto reader = open_documents({path.string(), std::nullopt});
      for (Document document; reader->next(document);) {
        // A byte that is not UTF-8 becomes U+FFFD, three bytes.
        if (document.text.empty() || document.text.size() > 3 * input.size()) std::abort();
        const std::string valid = valid_utf8(document.text);
        if (valid_utf8(valid) != valid) std::abort();
        builder.add(document.text);
      }
    });
    builder.build({});
  }
}
