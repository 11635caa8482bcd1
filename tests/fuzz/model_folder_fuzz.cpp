#include "models/hf/model_folder.h"
#include "tests/fuzz/fuzz.h"

// Up to the first zero byte the input is config.json, after it model.safetensors. Without a zero byte the weights are
// those of a fixture, in PyTorch's format.
void vigor::fuzz_one(std::string_view input, const std::filesystem::path& folder) {
  namespace fs = std::filesystem;
  const fs::path weights = folder / "model.safetensors";
  const fs::path fixture = fs::path(VIGOR_SOURCE_DIR) / "tests" / "fixtures" / "i3" / "pickled_prefixed";
  fs::copy_file(fixture / "pytorch_model.bin", folder / "pytorch_model.bin", fs::copy_options::skip_existing);
  fs::remove(weights);

  const size_t end = input.find('\0');
  put_file(folder / "config.json", input.substr(0, end));
  if (end != std::string_view::npos) put_file(weights, input.substr(end + 1));
  LoadOptions options;
  options.need_tokenizer = false;
  load_or_refuse([&] { load_model_folder(folder, options); });
}
