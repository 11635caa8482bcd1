#include "tensor/safetensors.h"
#include "tests/fuzz/fuzz.h"

// The index is the input; the two files that the seeds name are good ones.
void vigor::fuzz_one(std::string_view input, const std::filesystem::path& folder) {
  static const bool written = [&] {
    for (const char* name : {"a", "b"}) {
      const Tensor x = full({2}, 1.0);
      write_safetensors(folder / (name + std::string(".safetensors")), std::vector<NamedView>{{name, x}});
    }
    return true;
  }();
  static_cast<void>(written);
  const auto path = put_file(folder / "model.safetensors.index.json", input);
  load_or_refuse([&] {
    const SafetensorsFile file = SafetensorsFile::open(path);
    for (const TensorEntry& entry : file.entries()) file.tensor(entry.name);
  });
}
