#include "train/trainer.h"

#include <chrono>
#include <cmath>

#include "autograd/anomaly.h"
#include "autograd/engine.h"
#include "autograd/variable.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/gemm/gemm_plan.h"
#include "models/generation.h"
#include "tensor/check.h"
#include "tensor/file.h"
#include "train/checkpoint.h"
#include "train/metrics/metrics_log.h"
#include "train/metrics/plot.h"
#include "train/metrics/progress.h"
#include "train/metrics/tensorboard.h"
#include "train/optimizer.h"
#include "train/run_setup.h"
#include "train/schedule.h"
#include "train/stop_signal.h"

namespace vigor {
namespace {

namespace fs = std::filesystem;

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

std::span<int32_t> values_of(const Tensor& x) { return {x.data<int32_t>(), static_cast<size_t>(x.numel())}; }

// The first elements of a contiguous buffer as a tensor of its own sizes.
Tensor front(const Tensor& buffer, const Shape& sizes) {
  return buffer.with_view({buffer.raw(), sizes, contiguous_strides(sizes), buffer.dtype(), buffer.device()});
}

class Trainer {
 public:
  explicit Trainer(RunSetup setup);
  int run();

 private:
  void announce();
  double micro_batch(int64_t micro);
  double train_step();
  [[noreturn]] void explain_non_finite(const std::string& what);
  void report(double loss);
  void evaluate();
  void sample();
  void save();
  void finish();

  RunSetup setup_;
  const RunConfig& config_ = setup_.config;
  LanguageModel& model_ = *setup_.model;
  Optimizer optimizer_;
  Schedule schedule_;
  GemmPlan plan_;
  GemmPlanScope plan_scope_{plan_};
  StepState state_;
  RunState progress_state_;
  Tensor ids_;      // i32 [B,T]
  Tensor targets_;  // i32 [B,T]

  Progress progress_;
  MetricsLog metrics_;
  std::optional<TensorBoardLog> board_;
  Clock::time_point started_ = Clock::now();
  Clock::time_point line_started_ = Clock::now();
  double paused_ = 0;  // seconds of evaluation, samples and saving since the last line
  double line_loss_ = 0;
  int64_t line_steps_ = 0;
  int64_t first_step_ = 0;
  double step_seconds_ = 0;  // of training alone, since the start of this process
  StepMetrics last_;
};

Trainer::Trainer(RunSetup setup)
    : setup_(std::move(setup)),
      optimizer_(model_.parameters(), {config_.beta1, config_.beta2, config_.eps, config_.weight_decay}, config_.clip),
      schedule_{config_.lr, config_.min_lr_ratio, config_.warmup, config_.steps},
      plan_(setup_.resumed ? GemmPlan::from_string(setup_.resumed->state.gemm_plan) : GemmPlan()),
      ids_(empty({config_.batch_size, config_.seq_len}, Dtype::i32)),
      targets_(empty({config_.batch_size, config_.seq_len}, Dtype::i32)),
      progress_(config_.json ? stderr : stdout, config_.steps),
      metrics_(fs::path(config_.out) / "metrics.jsonl", setup_.resumed ? setup_.resumed->state.step : 0) {
  if (setup_.resumed) {
    progress_state_ = setup_.resumed->state;
    load_optimizer(setup_.resumed->folder, optimizer_);
  }
  progress_state_.run_config = to_json(config_);
  progress_state_.gemm_plan = plan_.to_string();
  progress_state_.data_key = setup_.data_key;
  first_step_ = progress_state_.step;
  if (config_.tensorboard) board_.emplace(fs::path(config_.out) / "tensorboard", first_step_);
}

// Loss of one batch with its gradients added to the arena.
double Trainer::micro_batch(int64_t micro) {
  setup_.batches->sample(static_cast<uint32_t>(progress_state_.step), micro * config_.batch_size, values_of(ids_),
                         values_of(targets_));
  ForwardContext context;
  context.dropout = config_.dropout;
  context.seed = static_cast<uint64_t>(config_.seed);
  context.step = static_cast<uint32_t>(progress_state_.step);
  context.micro_batch = static_cast<uint32_t>(micro);
  context.recompute = config_.recompute;
  const Tensor loss = model_.loss(ids_, targets_, context);
  const double value = loss.item<float>();
  if (!std::isfinite(value) && !anomaly_mode()) explain_non_finite("the loss");
  backward(config_.accumulate == 1 ? loss : mul(loss, 1.0 / static_cast<double>(config_.accumulate)));
  return value;
}

double Trainer::train_step() {
  state_.step = progress_state_.step;
  state_.learning_rate = static_cast<float>(schedule_.at(progress_state_.step));
  model_.parameters().zero_gradients();
  double loss = 0;
  for (int64_t micro = 0; micro < config_.accumulate; ++micro) loss += micro_batch(micro);
  optimizer_.measure(state_);
  if (!std::isfinite(state_.grad_norm)) explain_non_finite("the gradient norm");
  optimizer_.update(state_);
  ++progress_state_.step;
  progress_state_.tokens += config_.accumulate * ids_.numel();
  return loss / static_cast<double>(config_.accumulate);
}

// Replays the step in anomaly mode, which names the first operation and parameter that are not finite. The weights were
// not touched by the step, and neither was any checkpoint.
void Trainer::explain_non_finite(const std::string& what) {
  std::string cause = "the replay in anomaly mode found every value finite";
  try {
    const AnomalyScope anomaly;
    model_.parameters().zero_gradients();
    for (int64_t micro = 0; micro < config_.accumulate; ++micro) micro_batch(micro);
  } catch (const std::runtime_error& error) {
    cause = error.what();
  }
  throw std::runtime_error(fmt::format("step {}: {} is not finite; {}. {}", progress_state_.step + 1, what, cause,
                                       has_checkpoint(config_.out)
                                           ? "The last good checkpoint is " + (fs::path(config_.out) / "last").string()
                                           : std::string("No checkpoint had been written yet")));
}

void Trainer::report(double loss) {
  line_loss_ += loss;
  ++line_steps_;
  const double seconds = seconds_since(line_started_) - paused_;
  const double tokens_per_step = static_cast<double>(config_.accumulate * ids_.numel());
  const int64_t done = progress_state_.step;
  StepMetrics m;
  m.step = done;
  m.loss = line_loss_ / static_cast<double>(line_steps_);
  m.perplexity = std::exp(m.loss);
  m.lr = state_.learning_rate;
  m.grad_norm = state_.grad_norm;
  m.tokens = progress_state_.tokens;
  m.tokens_per_s = static_cast<double>(line_steps_) * tokens_per_step / std::max(seconds, 1e-9);
  m.seconds = step_seconds_ + seconds;
  m.memory_bytes = static_cast<int64_t>(allocator_of(kCpu).stats().peak_bytes);
  m.rss_bytes = peak_rss_bytes();
  const int64_t end = config_.stop_at > 0 ? config_.stop_at : config_.steps;
  m.seconds_left = m.seconds / static_cast<double>(done - first_step_) * static_cast<double>(end - done);
  last_ = m;
  if (done % config_.log_every != 0 && done != end) {
    progress_.step(m);
    return;
  }
  progress_.step(m);
  progress_.log(m);
  metrics_.write(to_json(m));
  if (config_.json) fmt::print("{}\n", to_json(m));
  if (config_.json) std::fflush(stdout);
  if (board_)
    board_->scalars(
        done, {{"loss/train", m.loss}, {"lr", m.lr}, {"grad_norm", m.grad_norm}, {"tokens_per_s", m.tokens_per_s}});
  step_seconds_ = m.seconds;
  line_started_ = Clock::now();
  paused_ = 0;
  line_loss_ = 0;
  line_steps_ = 0;
}

void Trainer::evaluate() {
  if (!setup_.held_out) return;  // announced at the start
  const NoGrad no_grad;
  double total = 0;
  EvalMetrics m;
  setup_.held_out->reset();
  while (const auto size = setup_.held_out->next(values_of(ids_), values_of(targets_))) {
    const Shape sizes{size->rows, size->length};
    const int64_t tokens = sizes.numel();
    total += model_.loss(front(ids_, sizes), front(targets_, sizes)).item<float>() * static_cast<double>(tokens);
    m.eval_tokens += tokens;
  }
  m.step = progress_state_.step;
  m.eval_loss = total / static_cast<double>(m.eval_tokens);
  m.eval_perplexity = std::exp(m.eval_loss);
  m.best = m.eval_loss < progress_state_.best_eval_loss;
  progress_.message(fmt::format("held out at step {}: loss {:.4f}  perplexity {:.2f}{}", m.step, m.eval_loss,
                                m.eval_perplexity, m.best ? "  (best so far)" : ""));
  metrics_.write(to_json(m));
  if (config_.json) fmt::print("{}\n", to_json(m));
  if (board_) board_->scalars(m.step, {{"loss/held_out", m.eval_loss}});
  if (m.best) {
    progress_state_.best_eval_loss = m.eval_loss;
    save_best(config_.out, setup_.model_writer());
  }
}

void Trainer::sample() {
  GenerateOptions options;
  options.max_new_tokens = config_.sample_tokens;
  options.sampling.temperature = 0.8;
  options.sampling.top_k = 40;
  options.seed = static_cast<uint64_t>(config_.seed);
  for (const std::string& prompt : config_.prompts)
    progress_.message("  | " + prompt + generate_text(model_, *setup_.tokenizer, prompt, options));
}

void Trainer::save() { save_checkpoint(config_.out, setup_.model_writer(), optimizer_, progress_state_); }

void Trainer::announce() {
  for (const std::string& line : setup_.notes) progress_.message(line);
  progress_.message(fmt::format(
      "{} parameters in {} layers; batches of {} x {} tokens{}; {} threads", Progress::count(model_.parameter_count()),
      model_.config().layer_count(), config_.batch_size, config_.seq_len,
      config_.accumulate > 1 ? fmt::format(" x {}", config_.accumulate) : std::string(), config_.threads));
}

void Trainer::finish() {
  write_file(fs::path(config_.out) / "training.svg",
             training_plot_svg(fs::path(config_.out) / "metrics.jsonl", "Training loss, " + config_.out));
}

int Trainer::run() {
  announce();
  const StopSignal stop;
  const int64_t end = config_.stop_at > 0 ? config_.stop_at : config_.steps;
  const auto due = [&](int64_t every) { return every > 0 && progress_state_.step % every == 0; };
  bool saved = false;
  started_ = line_started_ = Clock::now();
  while (progress_state_.step < end && !StopSignal::requested()) {
    const double loss = train_step();
    report(loss);
    const Clock::time_point pause = Clock::now();
    if (due(config_.eval_every)) evaluate();
    if (due(config_.sample_every)) sample();
    saved = due(config_.save_every);
    if (saved) save();
    paused_ += seconds_since(pause);
  }
  if (!saved) save();
  finish();
  if (StopSignal::requested()) {
    progress_.message(fmt::format("stopped at step {}; saved. Continue with: vigor train --out {} --resume",
                                  progress_state_.step, config_.out));
    return 130;
  }
  progress_.message(fmt::format(
      "done: step {} in {}; the model is in {} (curve: {}/training.svg)\n"
      "talk to it: vigor generate --model {}",
      progress_state_.step, Progress::duration(seconds_since(started_)), config_.out, config_.out, config_.out));
  return 0;
}

}  // namespace

int train(RunConfig config, const std::set<std::string>& given) {
  std::FILE* out = config.json ? stderr : stdout;  // standard output is for JSON then
  const auto note = [out](const std::string& line) {
    fmt::print(out, "{}\n", line);
    std::fflush(out);
  };
  return Trainer(prepare_run(std::move(config), given, note)).run();
}

}  // namespace vigor
