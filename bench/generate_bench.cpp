// Generation from the layer caches: tokens a second after a short prompt, also past max_seq_len.
//   generate_bench [--model i3-80m] [--new-tokens 100] [--prompt-tokens 8] [--threads N] [--window half|exact]
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <nlohmann/json.hpp>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "models/families.h"
#include "models/generation.h"
#include "train/metrics/metrics_log.h"

int main(int argc, char** argv) {
  std::string preset = "i3-80m", window = "half";
  int64_t new_tokens = 100, prompt_tokens = 8;
  int threads = 0;
  CLI::App app{"Generation, measured"};
  app.add_option("--model", preset, "preset");
  app.add_option("--new-tokens", new_tokens, "tokens to generate")->check(CLI::PositiveNumber);
  app.add_option("--prompt-tokens", prompt_tokens, "tokens of the prompt")->check(CLI::PositiveNumber);
  app.add_option("--threads", threads, "0: all cores");
  app.add_option("--window", window, "half or exact")->check(CLI::IsMember({"half", "exact"}));
  CLI11_PARSE(app, argc, argv);
#ifdef _OPENMP
  if (threads > 0) omp_set_num_threads(threads);
#endif

  using namespace vigor;
  const auto model = make_model(*preset_config(preset));
  model->allocate();
  model->parameters().initialize(1);
  const std::vector<std::vector<int32_t>> prompts{std::vector<int32_t>(static_cast<size_t>(prompt_tokens), 5)};
  GenerateOptions options;
  options.window = window == "exact" ? Window::exact : Window::half;
  options.sampling.temperature = 0.8;  // as `vigor generate` does
  options.sampling.top_k = 40;
  options.max_new_tokens = 4;
  generate(*model, prompts, options);  // warms up memory and threads

  options.max_new_tokens = new_tokens;
  const auto start = std::chrono::steady_clock::now();
  generate(*model, prompts, options);
  const double elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const double tokens_per_s = static_cast<double>(new_tokens) / elapsed;
  const double bytes_per_s =
      static_cast<double>(model->parameter_count() - model->config().vocab_size * model->config().d_model) * 4 *
      tokens_per_s;
  fmt::print("{}: {} tokens in {:.2f} s, {:.1f} tokens/s, weights read at {:.1f} GB/s\n", preset, new_tokens, elapsed,
             tokens_per_s, bytes_per_s * 1e-9);
  const nlohmann::ordered_json result = {{"model", preset},
                                         {"new_tokens", new_tokens},
                                         {"tokens_per_s", tokens_per_s},
                                         {"peak_rss_bytes", peak_rss_bytes()}};
  fmt::print("{}\n", result.dump());
  return 0;
}
