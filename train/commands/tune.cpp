// vigor tune: which library computes each matrix product of a training step fastest on this machine.
#include <fmt/core.h>
#include <omp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "autograd/engine.h"
#include "kernels/gemm/gemm_plan.h"
#include "models/families.h"
#include "tensor/simd.h"
#include "train/commands/common.h"
#include "train/gemm_plan_file.h"

namespace vigor {
namespace {

namespace fs = std::filesystem;

struct TuneCall {
  std::string model = "i3-80m";
  ConfigOverrides overrides;
  int64_t batch_size = 4;
  int64_t seq_len = 0;  // 0: as `vigor train`
  int64_t threads = 0;  // 0: all cores
  std::string out;      // empty: the default file
};

std::unique_ptr<ModelConfig> config_of(const std::string& model) {
  if (is_preset(model) && !fs::exists(model)) return preset_config(model);
  return read_config(fs::is_regular_file(model) ? fs::path(model) : model_folder_of(model, "tune") / "config.json");
}

// How often a step of training computes which product. The step runs for real, on made-up ids, so whatever the model
// consists of is counted.
GemmCounts products_of_step(const ModelConfig& config, int64_t batch, int64_t seq_len) {
  const std::unique_ptr<LanguageModel> model = make_model(config);
  model->allocate();
  model->parameters().initialize(1);
  model->parameters().allocate_gradients();
  const Tensor ids = empty({batch, seq_len}, Dtype::i32);
  for (int64_t i = 0; i < ids.numel(); ++i) ids.data<int32_t>()[i] = static_cast<int32_t>(i % config.vocab_size);
  GemmCounts counts;
  const GemmCountScope scope(counts);
  backward(model->loss(ids, ids));
  return counts;
}

double gflop(const GemmShape& s) {
  return 2e-9 * static_cast<double>(s.m) * static_cast<double>(s.n) * static_cast<double>(s.k);
}

// Times all products, prints a line for each, and puts the choices into `plan`.
void measure(const GemmCounts& counts, GemmPlan& plan) {
  std::string head = fmt::format("  {:<22} {:>7}", "product", "calls");
  for (GemmBackend backend : kGemmBackends)
    if (is_available(backend)) head += fmt::format(" {:>9}", name_of(backend));
  write_standard_output(head + "  choice\n");
  double work = 0, own = 0, chosen = 0;  // GFLOP and seconds of all of them
  for (const auto& [shape, calls] : counts) {
    const GemmTiming timing = time_backends(shape);
    plan.set(shape, timing.choice);
    std::string line = fmt::format("  {:<22} {:>7}", to_string(shape), calls);
    for (const auto& [backend, seconds] : timing.seconds) line += fmt::format(" {:>9.1f}", gflop(shape) / seconds);
    write_standard_output(fmt::format("{}  {}\n", line, name_of(timing.choice)));
    const double times = static_cast<double>(calls);
    work += times * gflop(shape);
    own += times * timing.seconds.at(GemmBackend::own);
    chosen += times * timing.seconds.at(timing.choice);
  }
  write_standard_output(fmt::format("all of a step: {:.1f} GFLOP in {:.3f} s by our own kernels, {:.3f} s as chosen\n",
                                    work, own, chosen));
}

// What the file has for this machine, so that plans for several models add up; nothing when it cannot be followed here.
GemmPlan plan_so_far(const fs::path& path) {
  if (!has_gemm_plan(path)) return {};
  try {
    return read_gemm_plan(path);
  } catch (const std::invalid_argument& error) {
    print_warning(fmt::format("{}; it will be replaced", error.what()));
    return {};
  }
}

int run_tune(const TuneCall& call) {
  const std::unique_ptr<ModelConfig> config = config_of(call.model);
  apply_overrides(*config, call.overrides);
  const int64_t T = call.seq_len > 0 ? call.seq_len : std::min<int64_t>(config->max_seq_len, kDefaultSeqLen);
  if (T > config->max_seq_len)
    throw UsageError(fmt::format("tune: --seq-len {} is above the model's max_seq_len {}", T, config->max_seq_len));
  if (call.threads > 0) omp_set_num_threads(static_cast<int>(call.threads));
  const fs::path out = call.out.empty() ? default_gemm_plan_file() : fs::path(call.out);
  GemmPlan plan = plan_so_far(out);

  write_standard_output(fmt::format("matrix products of a step of {}, V = {}, batch {} x {}, in GFLOP/s\n{}\n\n",
                                    call.model, config->vocab_size, call.batch_size, T, machine_key()));
  const GemmCounts counts = products_of_step(*config, call.batch_size, T);
  measure(counts, plan);
  write_gemm_plan(out, plan);
  write_standard_output(fmt::format("wrote {}\n", out.string()));
  return 0;
}

}  // namespace

void add_tune_command(CLI::App& app, CommandRun& run) {
  CLI::App* command = app.add_subcommand("tune", "find the fastest library for each matrix product of a training step");
  auto call = std::make_shared<TuneCall>();
  command->add_option("--model", call->model, "preset, model folder or config.json")
      ->type_name("NAME")
      ->capture_default_str()
      ->group("Model");
  add_number(*command, "--vocab-size", call->overrides.vocab_size, 1, "V of the run, if it is not the preset's",
             "Model");
  add_number(*command, "--batch-size", call->batch_size, 1, "sequences in a batch", "Model")->capture_default_str();
  add_number(*command, "--seq-len", call->seq_len, 1,
             "tokens in a sequence; default: 256, or max_seq_len if that is less", "Model");
  add_number(*command, "--threads", call->threads, 0, "CPU threads; 0: all cores", "Run")->capture_default_str();
  command->add_option("--out", call->out, "the file of plans; default: ~/.cache/vigor/gemm_plans.txt")
      ->type_name("FILE")
      ->group("Run");
  command->footer(
      "The file holds a plan for each machine and number of threads; products that were measured before are kept.\n"
      "`vigor train` follows the default file, or --gemm-plan FILE, and stores the plan in its checkpoints.\n"
      "Examples:\n"
      "  vigor tune --model i3-80m --batch-size 4 --seq-len 256\n"
      "  vigor tune --model runs/demo --batch-size 8 --threads 1 --out plans.txt\n"
      "      the vocabulary is that of the run's own text, so give the run and not its preset");
  command->callback([call, &run] { run = [call] { return run_tune(*call); }; });
}

}  // namespace vigor
