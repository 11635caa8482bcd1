#include "models/hf/pickle_checkpoint.h"
#include "tests/fuzz/fuzz.h"

void vigor::fuzz_one(std::string_view input, const std::filesystem::path& folder) {
  const auto path = put_file(folder / "pytorch_model.bin", input);
  load_or_refuse([&] {
    const PickleCheckpoint checkpoint(path);
    for (const auto& entry : checkpoint.entries()) load_or_refuse([&] { clone(checkpoint.tensor(entry.name)); });
  });
}
