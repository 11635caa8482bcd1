// How long a training step waits for its data: sampling a batch from a mapped file of token ids, with the file in
// memory, with none of it in memory, and with none of it in memory but each batch prefetched one step ahead, as the
// trainer does. Between two batches the program counts, on one thread, for the length of a step. Prints a table and, as
// its last line, JSON. The file, of random ids, is made in --folder (not on a file system in memory) and removed.
//   data_bench [--ids 268435456] [--batch 8 4] [--seq 192 256] [--step-ms 16 1650] [--seconds 8] [--folder .]
#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "bench/measure.h"
#include "tensor/check.h"
#include "tensor/philox.h"
#include "train/data/batches.h"

namespace vigor {
namespace {

namespace fs = std::filesystem;

// A file of `count` random u16 ids that goes with its object.
class IdFile {
 public:
  IdFile(const fs::path& folder, int64_t count) : path_(folder / fmt::format("data_bench-{}.ids", ::getpid())) {
    AtomicFile file(path_);
    std::vector<uint16_t> block(1 << 20);
    for (int64_t written = 0; written < count; written += static_cast<int64_t>(block.size())) {
      for (size_t i = 0; i < block.size(); ++i)
        block[i] =
            static_cast<uint16_t>(random_bits({1, RandomStream::data, 0, 0}, static_cast<uint64_t>(written) + i));
      block.resize(static_cast<size_t>(std::min(count - written, static_cast<int64_t>(block.size()))));
      file.write(std::as_bytes(std::span(block)));
    }
    file.commit();
  }
  ~IdFile() { fs::remove(path_); }
  IdFile(const IdFile&) = delete;
  IdFile& operator=(const IdFile&) = delete;

  const fs::path& path() const { return path_; }
  void read_into_memory() const {
    std::vector<std::byte> block(1 << 20);
    const int descriptor = ::open(path_.c_str(), O_RDONLY);
    while (::read(descriptor, block.data(), block.size()) > 0) continue;
    ::close(descriptor);
  }
  void drop_from_memory() const {  // no page of it may be mapped
    const int descriptor = ::open(path_.c_str(), O_RDONLY);
    ::fsync(descriptor);
    ::posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED);
    ::close(descriptor);
  }

 private:
  fs::path path_;
};

enum class Pages { in_memory, on_disk, prefetched };
constexpr const char* kNames[] = {"in memory", "on disk", "on disk, prefetched"};

struct Case {
  int64_t batch, seq;
  double step_ms;
};

nlohmann::ordered_json measure(const IdFile& ids, int64_t count, const Case& c, Pages pages, double seconds) {
  if (pages == Pages::in_memory) ids.read_into_memory();
  else ids.drop_from_memory();
  const BatchSampler sampler({{"ids", TokenStream(MappedFile::open(ids.path()), count, 2), std::nullopt}}, 1, c.seq);
  std::vector<int32_t> in(static_cast<size_t>(c.batch * c.seq)), out(in.size());
  std::vector<double> waits;
  const auto steps = static_cast<uint32_t>(std::max(3.0, seconds * 1e3 / c.step_ms));
  for (uint32_t step = 0; step < steps; ++step) {
    const double start = seconds_on(CLOCK_MONOTONIC);
    sampler.sample(step, 0, in, out);
    if (pages != Pages::on_disk) sampler.prefetch(step + 1, c.batch);
    if (step > 0) waits.push_back(seconds_on(CLOCK_MONOTONIC) - start);  // nobody could prefetch the first batch
    while (seconds_on(CLOCK_MONOTONIC) - start < c.step_ms * 1e-3) continue;
  }
  const double middle = median(waits) * 1e3, longest = *std::max_element(waits.begin(), waits.end()) * 1e3;
  fmt::print("{:2} x {:<4} {:8.1f} ms a step   {:20} {:8.4f} {:7.3f} {:9.2f}\n", c.batch, c.seq, c.step_ms,
             kNames[static_cast<int>(pages)], middle, 100 * middle / c.step_ms, longest);
  return {{"batch", c.batch},     {"seq", c.seq},
          {"step_ms", c.step_ms}, {"pages", kNames[static_cast<int>(pages)]},
          {"median_ms", middle},  {"longest_ms", longest},
          {"steps", waits.size()}};
}

int run(int argc, char** argv) {
  std::vector<int64_t> batches{8, 4}, lengths{192, 256};
  std::vector<double> step_ms{16, 1650};
  int64_t count = int64_t{1} << 28;
  double seconds = 8;
  std::string folder = ".";
  CLI::App app{"How long a training step waits for its data"};
  app.add_option("--ids", count, "token ids in the file, 2 bytes each")->check(CLI::Range(1 << 20, INT32_MAX));
  app.add_option("--batch", batches, "rows of a batch, a number for each case");
  app.add_option("--seq", lengths, "tokens in a row, a number for each case");
  app.add_option("--step-ms", step_ms, "milliseconds of a step, a number for each case");
  app.add_option("--seconds", seconds, "for each line");
  app.add_option("--folder", folder, "where the file is made")->check(CLI::ExistingDirectory);
  CLI11_PARSE(app, argc, argv);
  check(batches.size() == lengths.size() && batches.size() == step_ms.size(),
        "data_bench: --batch, --seq and --step-ms must have as many numbers");
  const IdFile ids(folder, count);
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  fmt::print("{:41} {:>8} {:>7} {:>9}\n", "data phase of a step", "ms", "% step", "longest");
  for (size_t i = 0; i < batches.size(); ++i)
    for (const Pages pages : {Pages::in_memory, Pages::on_disk, Pages::prefetched})
      results.push_back(measure(ids, count, {batches[i], lengths[i], step_ms[i]}, pages, seconds));
  fmt::print("{}\n", results.dump());
  return 0;
}

}  // namespace
}  // namespace vigor

int main(int argc, char** argv) {
  try {
    return vigor::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "data_bench: {}\n", error.what());
    return 1;
  }
}
