#include "tensor/safetensors.h"

#include "tests/fuzz/fuzz.h"

void vigor::fuzz_one(std::string_view input, const std::filesystem::path& folder) {
  const auto path = put_file(folder / "model.safetensors", input);
  load_or_refuse([&] {
    const SafetensorsFile file = SafetensorsFile::open(path);
    for (const TensorEntry& entry : file.entries()) load_or_refuse([&] { clone(file.tensor(entry.name)); });
  });
}
