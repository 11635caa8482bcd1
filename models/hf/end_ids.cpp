#include "models/hf/end_ids.h"

#include <algorithm>

#include "models/config_fields.h"
#include "tensor/file.h"

namespace vigor {

std::vector<int32_t> end_ids_of(const std::filesystem::path& folder, const Tokenizer& tokenizer) {
  constexpr size_t kMaxBytes = size_t{1} << 20;
  std::vector<int32_t> ids;
  const auto add = [&ids](int64_t id) {
    const bool possible = id >= 0 && id <= INT32_MAX;
    if (possible && std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(static_cast<int32_t>(id));
  };
  for (const char* name : {"generation_config.json", "config.json"}) {
    const std::filesystem::path file = folder / name;
    if (!std::filesystem::exists(file)) continue;
    ConfigFields fields(read_text(file, kMaxBytes), file.string());
    for (const int64_t id : fields.integers("eos_token_id")) add(id);
    fields.finish();
  }
  if (const std::optional<int32_t> id = tokenizer.end_id()) add(*id);
  return ids;
}

}  // namespace vigor
