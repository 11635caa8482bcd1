#include <nlohmann/json.hpp>

#include "models/tokenizer/content_hash.h"
#include "tests/fuzz/fuzz.h"
#include "train/checkpoint.h"

namespace {

// The input with the checksum that a writer would have given it; a wrong one where that cannot be found out.
std::string with_checksum(std::string_view input) {
  using Json = nlohmann::ordered_json;
  constexpr int kMaxDepth = 50;  // computing the checksum recurses
  bool shallow = true;
  const auto limit = [&](int depth, Json::parse_event_t, Json&) { return shallow = shallow && depth < kMaxDepth; };
  Json object = Json::parse(input, limit, false);
  if (!shallow) return "{\"checksum\":\"\"," + std::string(input.substr(1));
  if (!object.is_object()) return std::string(input);
  object.erase("checksum");
  object["checksum"] = fmt::format("{:016x}", vigor::content_hash(object.dump()));
  return object.dump();
}

}  // namespace

void vigor::fuzz_one(std::string_view input, const std::filesystem::path& folder) {
  put_file(folder / "config.json", "{}");
  for (const std::string& content : {std::string(input), with_checksum(input)}) {
    put_file(folder / "run_state.json", content);
    load_or_refuse([&] { read_run_state(folder); });
  }
}
