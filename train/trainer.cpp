#include "train/trainer.h"

#include <chrono>
#include <cmath>

#include "autograd/anomaly.h"
#include "kernels/attention/attention_backend.h"
#include "models/generation.h"
#include "tensor/check.h"
#include "tensor/cuda_graph.h"
#include "tensor/file.h"
#include "tensor/primitives.h"
#include "train/checkpoint.h"
#include "train/evaluation.h"
#include "train/metrics/metrics_log.h"
#include "train/metrics/plot.h"
#include "train/metrics/progress.h"
#include "train/metrics/tensorboard.h"
#include "train/run_setup.h"
#include "train/schedule.h"
#include "train/stop_signal.h"
#include "train/training_step.h"

namespace vigor {
namespace {

namespace fs = std::filesystem;

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

class Trainer {
 public:
  explicit Trainer(RunSetup setup);
  int run();

 private:
  void announce();
  void load_batches(int64_t step);
  void enqueue_step();
  void train_step();
  StepState finished_step();
  [[noreturn]] void explain_non_finite(const std::string& what);
  void report();
  void evaluate();
  void sample();
  void save();
  void finish();

  RunSetup setup_;
  const RunConfig& config_ = setup_.config;
  LanguageModel& model_ = *setup_.model;
  TrainingStep step_;
  Schedule schedule_;
  GemmPlanScope plan_scope_{setup_.gemm_plan};
  AttentionBackendScope attention_{attention_backend_of(config_.attention)};
  RunState progress_state_;
  Tensor line_losses_;                // f32 [], sum over the steps since the last line
  std::shared_ptr<CudaGraph> graph_;  // of a whole step, once it is captured
  int64_t eager_steps_ = 0;

  Progress progress_;
  MetricsLog metrics_;
  std::optional<TensorBoardLog> board_;
  Clock::time_point started_ = Clock::now();
  Clock::time_point line_started_ = Clock::now();
  double paused_ = 0;  // seconds of evaluation, samples and saving since the last line
  int64_t line_steps_ = 0;
  int64_t first_step_ = 0;
  double step_seconds_ = 0;  // of training alone, since the start of this process
  StepMetrics last_;
};

Trainer::Trainer(RunSetup setup)
    : setup_(std::move(setup)),
      step_(model_, config_, setup_.device),
      schedule_{config_.lr, config_.min_lr_ratio, config_.warmup, config_.steps},
      line_losses_(zeros({}, Dtype::f32, setup_.device)),
      progress_(config_.json ? stderr : stdout, config_.steps),
      metrics_(fs::path(config_.out) / "metrics.jsonl", setup_.resumed ? setup_.resumed->state.step : 0) {
  if (setup_.resumed) {
    progress_state_ = setup_.resumed->state;
    load_optimizer(setup_.resumed->folder, step_.optimizer());
  }
  progress_state_.run_config = to_json(config_);
  progress_state_.gemm_plan = setup_.gemm_plan.to_string();
  progress_state_.data_key = setup_.data_key;
  first_step_ = progress_state_.step;
  if (config_.tensorboard) board_.emplace(fs::path(config_.out) / "tensorboard", first_step_);
}

void Trainer::load_batches(int64_t step) {
  step_.load([&](int64_t micro, std::span<int32_t> ids, std::span<int32_t> targets) {
    setup_.batches->sample(static_cast<uint32_t>(step), micro * config_.batch_size, ids, targets);
  });
}

void Trainer::enqueue_step() {
  step_.run();
  accumulate(line_losses_, step_.loss());
}

void Trainer::train_step() {
  constexpr int64_t kEagerSteps = 2;  // before a capture: they make everything that is made on first use
  load_batches(progress_state_.step);
  setup_.batches->prefetch(static_cast<uint32_t>(progress_state_.step + 1), config_.accumulate * config_.batch_size);
  step_.set_inputs(progress_state_.step, schedule_.at(progress_state_.step));
  if (config_.cuda_graph && eager_steps_ == kEagerSteps && !graph_) {
    if constexpr (kCudaBuild) {
      graph_ = std::make_shared<CudaGraph>();
      allocator_of(setup_.device).release_unused();  // what the eager steps used: the graph has memory of its own
      graph_->capture([this] { enqueue_step(); });
    }
  }
  if (graph_) {
    if constexpr (kCudaBuild) graph_->replay();
  } else {
    enqueue_step();
    ++eager_steps_;
  }
  ++progress_state_.step;
  progress_state_.tokens += step_.tokens();
  if (setup_.device.is_cpu()) finished_step();
}

// Waits for the last step. On a GPU, which is not waited for at every step, a failure shows some steps late; AdamW has
// done nothing since.
StepState Trainer::finished_step() {
  const StepState state = step_.state();
  if (state.failed_step < 0) return state;
  progress_state_.step = state.failed_step;
  const bool by_loss = state.step == state.failed_step && !std::isfinite(step_.loss().item<float>());
  explain_non_finite(by_loss ? "the loss" : "the gradient norm");
}

// Replays the step in anomaly mode, which names the first operation and parameter that are not finite. The weights were
// not touched by the step, and neither was any checkpoint.
void Trainer::explain_non_finite(const std::string& what) {
  std::string cause = "the replay in anomaly mode found every value finite";
  try {
    const AnomalyScope anomaly;
    load_batches(progress_state_.step);
    step_.set_inputs(progress_state_.step, 0);
    step_.compute_gradients();
  } catch (const std::runtime_error& error) {
    cause = error.what();
  }
  throw NonFiniteLoss(fmt::format("step {}: {} is not finite; {}. {}", progress_state_.step + 1, what, cause,
                                  has_checkpoint(config_.out)
                                      ? "The last good checkpoint is " + (fs::path(config_.out) / "last").string()
                                      : std::string("No checkpoint had been written yet")));
}

void Trainer::report() {
  ++line_steps_;
  const int64_t done = progress_state_.step;
  const int64_t end = config_.stop_at > 0 ? config_.stop_at : config_.steps;
  const bool line_due = done % config_.log_every == 0 || done == end;
  if (!line_due && !setup_.device.is_cpu()) return;  // nothing is read from a GPU between lines
  const StepState state = finished_step();
  const double seconds = seconds_since(line_started_) - paused_;
  StepMetrics m;
  m.step = done;
  m.loss = static_cast<double>(line_losses_.item<float>()) / static_cast<double>(line_steps_);
  m.perplexity = std::exp(m.loss);
  m.lr = state.learning_rate;
  m.grad_norm = state.grad_norm;
  m.tokens = progress_state_.tokens;
  m.tokens_per_s = static_cast<double>(line_steps_ * step_.tokens()) / std::max(seconds, 1e-9);
  m.seconds = step_seconds_ + seconds;
  m.memory_bytes = static_cast<int64_t>(allocator_of(setup_.device).stats().peak_bytes);
  m.rss_bytes = peak_rss_bytes();
  const FilterCount& count = step_.filter_count();
  if (count.all > 0) m.kept_gradients = static_cast<double>(count.kept) / static_cast<double>(count.all);
  m.seconds_left = m.seconds / static_cast<double>(done - first_step_) * static_cast<double>(end - done);
  last_ = m;
  progress_.step(m);
  if (!line_due) return;
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
  fill(line_losses_, 0);
  line_steps_ = 0;
  step_.forget_filter_count();
}

void Trainer::evaluate() {
  if (!setup_.held_out) return;  // announced at the start
  finished_step();
  const Evaluation result = vigor::evaluate(model_, *setup_.held_out);
  EvalMetrics m;
  m.step = progress_state_.step;
  m.eval_tokens = result.tokens;
  m.eval_loss = result.loss;
  m.eval_perplexity = std::exp(m.eval_loss);
  m.best = m.eval_loss < progress_state_.best_eval_loss;
  progress_.message(fmt::format("held out at step {}: loss {:.4f}  perplexity {:.2f}{}", m.step, m.eval_loss,
                                m.eval_perplexity, m.best ? "  (best so far)" : ""));
  metrics_.write(to_json(m));
  if (config_.json) fmt::print("{}\n", to_json(m));
  if (board_) board_->scalars(m.step, {{"loss/held_out", m.eval_loss}});
  if (m.best) {
    progress_state_.best_eval_loss = m.eval_loss;
    save_best(config_.out, setup_.model_writer(step_.optimizer()));
  }
}

void Trainer::sample() {
  GenerateOptions options;
  options.max_new_tokens = config_.sample_tokens;
  options.sampling.temperature = 0.8;
  options.sampling.top_k = 40;
  options.seed = static_cast<uint64_t>(config_.seed);
  for (const std::string& prompt : config_.prompts)
    progress_.message("  | " + prompt + generate_text(model_, *setup_.tokenizer, prompt, options).text);
}

void Trainer::save() {
  finished_step();
  save_checkpoint(config_.out, setup_.model_writer(step_.optimizer()), step_.optimizer(), progress_state_);
}

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
    train_step();
    report();
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
