// One whole training step of a preset: forward, backward, clipping and AdamW, on random ids. Prints a table for people
// and, as its last line, JSON for bench/peers/run.
//   step_bench [--model i3-80m] [--batch 4] [--seq 256] [--steps 5] [--warmup 2] [--threads N] [--recompute]
//              [--activations bf16] [--moments bf16] [--filter-gradients X]
// The last skips all but the targets here: on random ids the softmax stays flat. In training it keeps a share of the
// blocks that metrics.jsonl has as kept_gradients.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "autograd/engine.h"
#include "bench/measure.h"
#include "models/families.h"
#include "tensor/simd.h"
#include "train/metrics/metrics_log.h"
#include "train/optimizer.h"

namespace {

using Clock = std::chrono::steady_clock;
double seconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

int main(int argc, char** argv) {
  std::string preset = "i3-80m";
  int64_t batch = 4, seq = 256, steps = 5, warmup = 2, vocab_size = 0;
  int threads = 0;
  bool recompute = false;
  std::string activations = "f32", moments = "f32";
  double filter = 0;
  CLI::App app{"One training step, measured"};
  app.add_option("--model", preset, "preset");
  app.add_option("--batch", batch, "sequences");
  app.add_option("--seq", seq, "tokens in a sequence");
  app.add_option("--vocab-size", vocab_size, "0: the preset's");
  app.add_option("--steps", steps, "measured steps")->check(CLI::PositiveNumber);
  app.add_option("--warmup", warmup, "steps before measuring");
  app.add_option("--threads", threads, "0: all cores");
  app.add_flag("--recompute", recompute, "recompute activations");
  app.add_option("--activations", activations, "dtype beside f32 weights")->check(CLI::IsMember({"f32", "bf16"}));
  app.add_option("--moments", moments, "dtype of AdamW's moments")->check(CLI::IsMember({"f32", "bf16"}));
  app.add_option("--filter-gradients", filter, "skip the head's gradients below it")->check(CLI::Range(0.0, 1.0));
  CLI11_PARSE(app, argc, argv);
#ifdef _OPENMP
  if (threads > 0) omp_set_num_threads(threads);
  threads = omp_get_max_threads();
#endif

  using namespace vigor;
  auto config = preset_config(preset);
  apply_overrides(*config, {.vocab_size = vocab_size, .max_seq_len = std::max(config->max_seq_len, seq)});
  const auto model = make_model(*config);
  model->allocate();
  model->parameters().initialize(1);
  model->parameters().allocate_gradients();
  OptimizerOptions options;
  options.clip_norm = 1;
  options.bf16_moments = moments == "bf16";
  Optimizer optimizer(model->parameters(), options);

  const Tensor ids = empty({batch, seq}, Dtype::i32);
  const Tensor targets = empty({batch, seq}, Dtype::i32);
  ForwardContext context;
  context.recompute = recompute;
  context.bf16_activations = activations == "bf16";
  FilterCount blocks;
  context.filter = {filter, &blocks};
  std::vector<double> whole, forward, back, update;
  double loss_value = 0;
  for (int64_t step = 0; step < warmup + steps; ++step) {
    for (int64_t i = 0; i < ids.numel(); ++i) {
      const RandomKey key{1, RandomStream::data, 0, static_cast<uint32_t>(step)};
      ids.data<int32_t>()[i] =
          static_cast<int32_t>(random_bits(key, static_cast<uint64_t>(2 * i)) % config->vocab_size);
      targets.data<int32_t>()[i] =
          static_cast<int32_t>(random_bits(key, static_cast<uint64_t>(2 * i + 1)) % config->vocab_size);
    }
    StepState state = optimizer.inputs(step, 3e-4);
    const auto t0 = Clock::now();
    model->parameters().zero_gradients();
    const Tensor loss = model->loss(ids, targets, context);
    loss_value = loss.item<float>();
    const auto t1 = Clock::now();
    backward(loss);
    const auto t2 = Clock::now();
    optimizer.measure(&state);
    optimizer.update(&state);
    const auto t3 = Clock::now();
    if (step < warmup) continue;
    whole.push_back(seconds(t0, t3));
    forward.push_back(seconds(t0, t1));
    back.push_back(seconds(t1, t2));
    update.push_back(seconds(t2, t3));
  }

  const double step_s = median(whole);
  const double tokens = static_cast<double>(batch * seq);
  const double flops = model->training_flops_per_token(seq) * tokens;
  fmt::print("{} batch {} x {}, {} threads, {}: median of {} steps\n", preset, batch, seq, threads,
             name_of(current_isa()), steps);
  fmt::print("  step {:.3f} s (forward {:.3f}, backward {:.3f}, clip + AdamW {:.3f}); fastest {:.3f}\n", step_s,
             median(forward), median(back), median(update), *std::min_element(whole.begin(), whole.end()));
  fmt::print("  {:.0f} tokens/s, {:.1f} GFLOP/s, tensors' peak {:.2f} GB, process peak {:.2f} GB, loss {:.4f}\n",
             tokens / step_s, flops / step_s * 1e-9, static_cast<double>(allocator_of(kCpu).stats().peak_bytes) * 1e-9,
             static_cast<double>(peak_rss_bytes()) * 1e-9, loss_value);
  if (blocks.all > 0)
    fmt::print("  the head's products had {:.2f} % of the columns\n",
               100 * static_cast<double>(blocks.kept) / static_cast<double>(blocks.all));
  const nlohmann::ordered_json result = {{"model", preset},
                                         {"batch", batch},
                                         {"seq", seq},
                                         {"vocab_size", config->vocab_size},
                                         {"threads", threads},
                                         {"step_s", step_s},
                                         {"forward_s", median(forward)},
                                         {"backward_s", median(back)},
                                         {"optimizer_s", median(update)},
                                         {"tokens_per_s", tokens / step_s},
                                         {"peak_tensor_bytes", allocator_of(kCpu).stats().peak_bytes},
                                         {"peak_rss_bytes", peak_rss_bytes()}};
  fmt::print("{}\n", result.dump());
  return 0;
}
