// Runs a fuzz target without libFuzzer: replay SEEDS_FOLDER MUTATIONS. Every seed as it is, then mutations of the
// seeds from a fixed random sequence. Memory is limited, so a loader that believes a huge count fails here.
#include <sys/resource.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr rlim_t kMaxAddressSpace = rlim_t{2} << 30;
constexpr size_t kMaxLength = 1 << 16;

void run(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

std::vector<std::string> read_seeds(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());  // the order must not depend on the file system
  std::vector<std::string> seeds;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    seeds.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return seeds;
}

class Mutator {
 public:
  explicit Mutator(const std::vector<std::string>& seeds) : seeds_(seeds) {}

  std::string next() {
    std::string text = seeds_[below(seeds_.size())];
    for (size_t changes = 1 + below(4); changes > 0; --changes) mutate(text);
    text.resize(std::min(text.size(), kMaxLength));
    return text;
  }

 private:
  size_t below(size_t limit) { return static_cast<size_t>(random_() % std::max<size_t>(limit, 1)); }

  void mutate(std::string& text) {
    const size_t at = below(text.size());
    const size_t length = std::min(below(32), text.size() - std::min(at, text.size()));
    switch (below(8)) {
      case 0:
        text.resize(at);
        return;  // cut off
      case 1:
        text.erase(at, length);
        return;
      case 2:
        text.insert(at, text.substr(at, length));
        return;  // doubled
      case 3:
        text.insert(at, std::string(below(64), static_cast<char>(random_())));
        return;
      case 4:
        text.insert(at, seeds_[below(seeds_.size())]);
        return;  // another seed in the middle
      case 5:
        overwrite_integer(text, at);
        return;
      default:
        if (!text.empty()) text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
    }
  }

  void overwrite_integer(std::string& text, size_t at) {
    constexpr uint64_t kEdges[] = {
        0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff, ~uint64_t{0} >> 1, ~uint64_t{0}};
    const uint64_t value = kEdges[below(std::size(kEdges))];
    const size_t width = size_t{1} << below(4);
    for (size_t i = 0; i < width && at + i < text.size(); ++i) text[at + i] = static_cast<char>(value >> (8 * i));
  }

  const std::vector<std::string>& seeds_;
  std::mt19937_64 random_{20240501};
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s SEEDS_FOLDER MUTATIONS\n", argv[0]);
    return 2;
  }
#ifndef __SANITIZE_ADDRESS__  // its shadow memory needs the whole address space
  const rlimit limit{kMaxAddressSpace, kMaxAddressSpace};
  ::setrlimit(RLIMIT_AS, &limit);
#endif
  const std::vector<std::string> seeds = read_seeds(argv[1]);
  if (seeds.empty()) {
    std::fprintf(stderr, "no seeds in %s\n", argv[1]);
    return 1;
  }
  run("");
  run(std::string(100000, '['));  // deep nesting, for readers that recurse
  run("{\"a\":" + std::string(100000, '[') + std::string(100000, ']') + "}");
  for (const std::string& seed : seeds) run(seed);
  Mutator mutator(seeds);
  const long count = std::atol(argv[2]);
  for (long i = 0; i < count; ++i) run(mutator.next());
  std::printf("%zu seeds and %ld mutations\n", seeds.size(), count);
  return 0;
}
