// A tokenizer.json: refused, or a byte-level BPE that works and is written as it was read. The text to encode is what
// stands behind the first zero byte of the input, or else the file itself; so seeds can bring text along.
#include <cstdlib>

#include "models/tokenizer/bpe_tokenizer.h"
#include "models/tokenizer/char_class.h"
#include "tests/fuzz/fuzz.h"

namespace vigor {
namespace {

// A vocabulary must hold all 256 bytes, which no fuzzer finds: "BYTES" in the input stands for them, ids 0 to 255.
std::string with_bytes(std::string_view json) {
  static const std::string bytes = [] {
    std::string list;
    for (int byte = 0; byte < 256; ++byte) {
      const char c = static_cast<char>(byte);
      const std::string token = to_byte_alphabet({&c, 1});
      list += std::string(byte == 0 ? "" : ",") + "\"" + (token == "\"" || token == "\\" ? "\\" : "") + token +
              "\":" + std::to_string(byte);
    }
    return list;
  }();
  constexpr std::string_view kMark = "BYTES";
  const size_t at = json.find(kMark);
  if (at == json.npos) return std::string(json);
  return std::string(json.substr(0, at)) + bytes + std::string(json.substr(at + kMark.size()));
}

}  // namespace
}  // namespace vigor

void vigor::fuzz_one(std::string_view input, const std::filesystem::path&) {
  const size_t zero = input.find('\0');
  const std::string_view json = input.substr(0, zero);
  const std::string_view text = (zero == input.npos ? input : input.substr(zero + 1)).substr(0, 2000);
  load_or_refuse([&] {
    const auto tokenizer =
        BpeTokenizer::parse(with_bytes(json), "fuzz", {{"tokenizer_config.json", R"({"eos_token": "<|endoftext|>"})"}});
    const std::vector<int32_t> ids = tokenizer->encode(text);
    for (const int32_t id : ids) {
      if (id < 0 || id >= tokenizer->vocab_size()) std::abort();
    }
    tokenizer->decode(ids);
    if (BpeTokenizer::parse(tokenizer->json(), "again", tokenizer->companions())->encode(text) != ids) std::abort();
  });
}
