// How fast a tokenizer encodes a text, on one core, in CPU time: the documents of a file one after the other.
//   tokenizer_bench --tokenizer PATH --data FILE [--megabytes 20] [--rounds 5]
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <vector>

#include "bench/measure.h"
#include "models/tokenizer/tokenizer.h"
#include "train/data/documents.h"

int main(int argc, char** argv) {
  using namespace vigor;
  constexpr clockid_t kClock = CLOCK_PROCESS_CPUTIME_ID;
  CLI::App app{"Speed of encoding"};
  std::string path, data;
  double megabytes = 20;
  int rounds = 5;
  app.add_option("--tokenizer", path, "folder or file")->required();
  app.add_option("--data", data, "text")->required();
  app.add_option("--megabytes", megabytes, "of the text at most")->capture_default_str();
  app.add_option("--rounds", rounds, "of which median and spread are taken")->check(CLI::Range(1, 1000));
  CLI11_PARSE(app, argc, argv);

  const double before = seconds_on(kClock);
  const auto tokenizer = load_tokenizer(path);
  fmt::print("loaded in {:.3f} s\n", seconds_on(kClock) - before);
  std::vector<std::string> documents;
  double nbytes = 0;
  const auto reader = open_documents(parse_data_source(data));
  for (Document document; nbytes < megabytes * 1e6 && reader->next(document);) {
    nbytes += static_cast<double>(document.text.size());
    documents.push_back(std::move(document.text));
  }
  std::vector<double> speeds;
  std::vector<int32_t> ids;
  for (int round = 0; round <= rounds; ++round) {
    ids.clear();
    const double begin = seconds_on(kClock);
    for (const std::string& document : documents) tokenizer->encode(document, ids);
    if (round > 0) speeds.push_back(nbytes / 1e6 / (seconds_on(kClock) - begin));  // the first one warms up
  }
  const auto [slowest, fastest] = std::minmax_element(speeds.begin(), speeds.end());
  fmt::print(
      "{} tokenizer, vocabulary {}: {:.1f} MB/s of one core (median of {}; {:.1f} to {:.1f}), {:.3f} bytes/token\n",
      tokenizer->name(), tokenizer->vocab_size(), median(speeds), rounds, *slowest, *fastest,
      nbytes / static_cast<double>(ids.size()));
  return 0;
}
