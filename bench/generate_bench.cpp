// Generation from the layer caches.
//   generate_bench [--model i3-80m] [--new-tokens 100] [--prompt-tokens 8] [--threads N] [--window half|exact]
//       tokens a second after a prompt, also past max_seq_len
//   generate_bench --model falcon-h1-tiny-90m --positions 16 4096 [--dtype bf16] [--operations]
//       one token at given places of a text, against the time that reading the same memory takes: weights, states, and
//       the keys and values of all tokens before. The two take turns, so that whatever else the machine does strikes
//       both; --cpu-time leaves out what others had of the processor (for one thread). --operations: where it goes.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <map>
#include <nlohmann/json.hpp>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "bench/measure.h"
#include "models/families.h"
#include "models/generation.h"
#include "tensor/op_scope.h"
#include "tensor/primitives.h"
#include "train/metrics/metrics_log.h"
#include "train/profile/read_probe.h"

namespace {

using namespace vigor;

struct Settings {
  std::string preset = "i3-80m", window = "half", dtype = "f32";
  int64_t new_tokens = 100, prompt_tokens = 8, rounds = 15;
  std::vector<int64_t> positions;
  int threads = 0;
  bool operations = false, cpu_time = false;
};

double now(bool cpu_time) { return seconds_on(cpu_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC); }

void measure_generation(const LanguageModel& model, const Settings& s) {
  const std::vector<std::vector<int32_t>> prompts{std::vector<int32_t>(static_cast<size_t>(s.prompt_tokens), 5)};
  GenerateOptions options;
  options.window = s.window == "exact" ? Window::exact : Window::half;
  options.sampling.temperature = 0.8;  // as `vigor generate` does
  options.sampling.top_k = 40;
  options.max_new_tokens = 4;
  generate(model, prompts, options);  // warms up memory and threads

  options.max_new_tokens = s.new_tokens;
  const double start = now(false);
  generate(model, prompts, options);
  const double elapsed = now(false) - start;
  const double tokens_per_s = static_cast<double>(s.new_tokens) / elapsed;
  fmt::print("{}: {} tokens in {:.2f} s, {:.1f} tokens/s\n", s.preset, s.new_tokens, elapsed, tokens_per_s);
  const nlohmann::ordered_json result = {{"model", s.preset},
                                         {"new_tokens", s.new_tokens},
                                         {"tokens_per_s", tokens_per_s},
                                         {"peak_rss_bytes", peak_rss_bytes()}};
  fmt::print("{}\n", result.dump());
}

// Memory that a token reads.
struct Piece {
  const float* data;
  int64_t floats;
};

constexpr int64_t kTokensPerRound = 4;

// Tokens for which measure_position() needs a place.
int64_t capacity_of(int64_t position, const Settings& s) { return position + kTokensPerRound * (s.rounds + 3); }

// All weights but embeddings, which are only looked up, and of the caches what `position` tokens fill.
std::vector<Piece> memory_read(const LanguageModel& model, const ModelCache& cache, int64_t position) {
  std::vector<Piece> pieces;
  const void* head = model.head().weight.raw();
  const auto add = [&](const Tensor& x, int64_t rows, int64_t of) {
    pieces.push_back({static_cast<const float*>(x.raw()), static_cast<int64_t>(x.nbytes() / 4) * rows / of});
  };
  for (const ArenaSlot& slot : model.parameters().parameters()) {
    const bool embedding = (slot.tensor.rank() == 2 && slot.tensor.size(0) == model.config().vocab_size) ||
                           slot.name == "pos_embed.weight";
    if (!embedding || slot.tensor.raw() == head) add(slot.tensor, 1, 1);
  }
  for (const LayerCache& layer : cache.layers)
    for (const Tensor& x : layer.tensors)
      if (x.rank() > 1 && x.size(1) == cache.capacity) add(x, position, cache.capacity);
      else add(x, 1, 1);
  return pieces;
}

double read_all(const std::vector<Piece>& pieces, bool cpu_time) {
  const double start = now(cpu_time);
  float sum = 0;
  for (const Piece& piece : pieces) {
    if (piece.floats < (1 << 18)) {
      sum += VIGOR_PICK(read_probe)(piece.data, piece.floats);
      continue;
    }
    constexpr int64_t kParts = 16;
#pragma omp parallel for reduction(+ : sum) schedule(static)
    for (int64_t part = 0; part < kParts; ++part) {
      const int64_t begin = piece.floats * part / kParts, end = piece.floats * (part + 1) / kParts;
      sum += VIGOR_PICK(read_probe)(piece.data + begin, end - begin);
    }
  }
  [[maybe_unused]] static volatile float kept = 0;
  kept = sum;
  return now(cpu_time) - start;
}

// Seconds and calls of every operation.
class Clock : public OpListener {
 public:
  explicit Clock(bool cpu_time) : cpu_time_(cpu_time) {}
  void begin(const OpRecord&) override { start_ = now(cpu_time_); }
  void end(const OpRecord& record, std::span<const Tensor* const>) override {
    auto& [seconds, calls] = rows[record.name];
    seconds += now(cpu_time_) - start_;
    ++calls;
  }
  std::map<std::string, std::pair<double, int64_t>> rows;

 private:
  bool cpu_time_;
  double start_ = 0;
};

void print_operations(const LanguageModel& model, ModelCache& cache, const Tensor& id, const Settings& s) {
  constexpr int kTokens = 8;
  Clock clock(s.cpu_time);
  const int32_t one = 1;
  const double start = now(s.cpu_time);
  {
    const OpListenerScope scope(clock);
    for (int i = 0; i < kTokens; ++i) model.extend(id, {&one, 1}, cache);
  }
  const double whole = now(s.cpu_time) - start;
  double sum = 0;
  for (const auto& [name, row] : clock.rows) sum += row.first;
  for (const auto& [name, row] : clock.rows)
    fmt::print("  {:<24} {:4} calls {:8.3f} ms\n", name, row.second / kTokens, row.first * 1e3 / kTokens);
  fmt::print("  {:<24}            {:8.3f} ms\n", "between operations", (whole - sum) * 1e3 / kTokens);
}

void measure_position(const LanguageModel& model, int64_t position, const Settings& s) {
  ModelCache cache = model.make_cache(1, capacity_of(position, s));
  uint32_t salt = 0;
  for (const LayerCache& layer : cache.layers)
    for (const Tensor& x : layer.tensors) copy(x, normal(x.shape(), 0, 0.1, {1, RandomStream::data, salt++, 0}));
  cache.lengths = {static_cast<int32_t>(position)};
  const Tensor id = full({1, 1}, 5, Dtype::i32);
  const int32_t one = 1;
  std::vector<double> token_s, read_s, shares;
  const std::vector<Piece> pieces = memory_read(model, cache, position);
  double bytes = 0;
  for (const Piece& piece : pieces) bytes += 4.0 * static_cast<double>(piece.floats);
  for (int64_t round = -1; round < s.rounds; ++round) {  // the first is to warm up
    const double start = now(s.cpu_time);
    for (int64_t i = 0; i < kTokensPerRound; ++i)
      sample(model.extend(id, {&one, 1}, cache), {}, {1, RandomStream::sampling, 0, static_cast<uint32_t>(i)});
    const double token = (now(s.cpu_time) - start) / kTokensPerRound, read = read_all(pieces, s.cpu_time);
    if (round < 0) continue;
    token_s.push_back(token);
    read_s.push_back(read);
    shares.push_back(read / token);
  }
  const double tokens_per_s = 1 / median(token_s);
  fmt::print(
      "{} {} at {}: {:.1f} tokens/s, {:.0f} MB a token at {:.1f} GB/s; reading alone {:.1f} GB/s; share {:.2f}\n",
      s.preset, s.dtype, position, tokens_per_s, bytes * 1e-6, bytes * tokens_per_s * 1e-9,
      bytes / median(read_s) * 1e-9, median(shares));
  if (s.operations) print_operations(model, cache, id, s);
  const nlohmann::ordered_json result = {{"model", s.preset},
                                         {"dtype", s.dtype},
                                         {"position", position},
                                         {"tokens_per_s", tokens_per_s},
                                         {"bytes_per_token", bytes},
                                         {"read_s", median(read_s)},
                                         {"share_of_bandwidth", median(shares)}};
  fmt::print("{}\n", result.dump());
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  CLI::App app{"Generation, measured"};
  app.add_option("--model", s.preset, "preset");
  app.add_option("--new-tokens", s.new_tokens, "tokens to generate")->check(CLI::PositiveNumber);
  app.add_option("--prompt-tokens", s.prompt_tokens, "tokens of the prompt")->check(CLI::PositiveNumber);
  app.add_option("--threads", s.threads, "0: all cores");
  app.add_option("--window", s.window, "half or exact")->check(CLI::IsMember({"half", "exact"}));
  app.add_option("--dtype", s.dtype, "f32 or bf16")->check(CLI::IsMember({"f32", "bf16"}));
  app.add_option("--positions", s.positions, "tokens before the one that is measured")->check(CLI::PositiveNumber);
  app.add_option("--rounds", s.rounds, "of four tokens and a reading")->check(CLI::PositiveNumber);
  app.add_flag("--operations", s.operations, "the time of every operation");
  app.add_flag("--cpu-time", s.cpu_time, "processor time in place of the clock's");
  CLI11_PARSE(app, argc, argv);
#ifdef _OPENMP
  if (s.threads > 0) omp_set_num_threads(s.threads);
#endif
  const auto config = preset_config(s.preset);
  for (const int64_t position : s.positions)
    config->max_seq_len = std::max(config->max_seq_len, capacity_of(position, s));
  const auto model = make_model(*config);
  ArenaOptions options;
  options.dtype = s.dtype == "bf16" ? Dtype::bf16 : Dtype::f32;
  model->allocate(options);
  model->parameters().initialize(1);
  if (s.positions.empty()) measure_generation(*model, s);
  for (const int64_t position : s.positions) measure_position(*model, position, s);
  return 0;
}
