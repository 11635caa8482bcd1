// What Tensor, graph and modules cost: a training step of i3-tiny through LanguageModel, backward() and Optimizer,
// against the same launchers called by hand, in the same order and with the same shapes and threads, on memory that is
// allocated once. The loss and the weights must be equal to the last bit after three steps; then both are timed in
// turn. Prints a line for each batch and, as its last line, JSON.
//   overhead_bench [--model i3-tiny] [--batch 8 1] [--seq 192 32] [--rounds 15] [--threads N] [--check]
#include <fmt/core.h>
#include <omp.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstring>
#include <deque>
#include <nlohmann/json.hpp>

#include "autograd/engine.h"
#include "bench/measure.h"
#include "kernels/adamw/adamw_kernels.h"
#include "kernels/attention/attention_kernels.h"
#include "kernels/block_sums.h"
#include "kernels/cross_entropy/cross_entropy_kernels.h"
#include "kernels/elementwise/elementwise_kernels.h"
#include "kernels/embedding/embedding_kernels.h"
#include "kernels/gelu/gelu_kernels.h"
#include "kernels/global_norm/global_norm_kernels.h"
#include "kernels/hybrid_mixer/hybrid_mixer_kernels.h"
#include "kernels/layer_norm/layer_norm_kernels.h"
#include "kernels/linear/linear_kernels.h"
#include "kernels/linear_cross_entropy/linear_cross_entropy_kernels.h"
#include "models/i3/i3_model.h"
#include "tensor/check.h"
#include "tensor/primitives.h"
#include "train/optimizer.h"

namespace vigor {
namespace {

constexpr double kNormEps = 1e-5;
constexpr double kLearningRate = 1e-3;

OptimizerOptions optimizer_options() {
  OptimizerOptions options;
  options.clip_norm = 1;
  return options;
}

// Token ids [B,T] and the targets beside them.
struct Batch {
  Tensor ids, targets;  // i32

  Batch(int64_t B, int64_t T, int64_t vocab_size, uint32_t number)
      : ids(empty({B, T}, Dtype::i32)), targets(empty({B, T}, Dtype::i32)) {
    const RandomKey key{1, RandomStream::data, 0, number};
    const auto count = static_cast<uint64_t>(ids.numel());
    const auto random_id = [&](uint64_t i) {
      return static_cast<int32_t>(random_bits(key, i) % static_cast<uint64_t>(vocab_size));
    };
    for (uint64_t i = 0; i < count; ++i) {
      ids.data<int32_t>()[i] = random_id(i);
      targets.data<int32_t>()[i] = random_id(count + i);
    }
  }
};

// ---- through the library ----

struct LibraryStep {
  I3Model model;
  std::unique_ptr<Optimizer> optimizer;

  explicit LibraryStep(const I3Config& config) : model(config) {
    model.allocate();
    model.parameters().initialize(1);
    model.parameters().allocate_gradients();
    optimizer = std::make_unique<Optimizer>(model.parameters(), optimizer_options());
  }

  float run(const Batch& batch, StepState state) {
    model.parameters().zero_gradients();
    const Tensor loss = model.loss(batch.ids, batch.targets, {});
    const float value = *loss.data<float>();
    backward(loss);
    optimizer->measure(&state);
    optimizer->update(&state);
    return value;
  }
};

// ---- by hand ----

struct Parameter {
  TensorView value;
  GradientView gradient;
};

// Each part of the model: its views of the memory that it reads and writes, and its launches. dx is written.
struct Norm {
  Parameter weight, bias;
  TensorView x, y, mean, rstd, dx, sums;

  void forward() const { layer_norm_forward_cpu(y, mean, rstd, x, weight.value, bias.value, kNormEps); }
  void backward(const TensorView& dy) const {
    layer_norm_backward_cpu(dx, weight.gradient, bias.gradient, sums, dy, x, weight.value, mean, rstd);
  }
};

struct Product {
  Parameter weight, bias;
  TensorView x, y, dx;  // [rows,in], [rows,out]
  TensorView pre;       // what goes into the GELU of linear_gelu

  void forward() const {
    if (pre.defined()) linear_gelu_forward_cpu(y, pre, x, weight.value, bias.value);
    else linear_forward_cpu(y, x, weight.value, bias.value);
  }
  void backward(const TensorView& dy) const {
    if (pre.defined()) gelu_backward_cpu(dy, dy, pre, GeluKind::erf);
    linear_backward_cpu(dx, weight.gradient, bias.gradient, dy, x, weight.value);
  }
};

struct Mixer {
  virtual ~Mixer() = default;
  virtual void forward() const = 0;
  virtual void backward(const TensorView& dy) const = 0;
  TensorView y, dx;
};

struct Hybrid : Mixer {
  HybridMixerInputs in;
  HybridMixerOutputs out;
  HybridMixerGradients grads;

  void forward() const override { hybrid_mixer_forward_cpu(in, out); }
  void backward(const TensorView& dy) const override {
    HybridMixerGradients with_dy = grads;
    with_dy.dy = dy;
    hybrid_mixer_backward_cpu(in, with_dy);
  }
};

struct SelfAttention : Mixer {
  Product qkv, out_proj;
  AttentionInputs in;
  AttentionGradients grads;  // y and lse are also where the forward pass writes
  TensorView dqkv, forward_scratch, backward_scratch;

  void forward() const override {
    qkv.forward();
    attention_forward_cpu(in, grads.y, grads.lse, forward_scratch);
    out_proj.forward();
  }
  void backward(const TensorView& dy) const override {
    out_proj.backward(dy);
    attention_backward_cpu(in, grads, backward_scratch);
    qkv.backward(dqkv);
  }
};

struct Layer {
  Norm ln1, ln2;
  std::unique_ptr<Mixer> mixer;
  Product up, down;
  TensorView x, mixed, out;  // mixed = x + mixer(ln1(x)), out = mixed + ffn(ln2(mixed))

  void forward() const {
    ln1.forward();
    mixer->forward();
    binary_forward_cpu(Binary::add, mixed, x, mixer->y);
    ln2.forward();
    up.forward();
    down.forward();
    binary_forward_cpu(Binary::add, out, mixed, down.y);
  }
  // dy becomes the gradient of x.
  void backward(const TensorView& dy) const {
    down.backward(dy);
    up.backward(down.dx);
    ln2.backward(up.dx);
    accumulate(dy, ln2.dx);
    mixer->backward(dy);
    ln1.backward(mixer->dx);
    accumulate(dy, ln1.dx);
  }
};

class HandwrittenStep {
 public:
  // Starts from the values that `arena`, of an i3 model in f32, has now.
  HandwrittenStep(const I3Config& config, const ParameterArena& arena, int64_t B, int64_t T);

  float run(const Batch& batch, StepState state);
  const float* values() const { return values_.as<float>(); }  // laid out as in the arena

 private:
  TensorView buffer(const Shape& sizes, Dtype dtype = Dtype::f32);
  TensorView rows(int64_t columns) { return buffer({B_ * T_, columns}); }
  Parameter parameter(const std::string& name) const;
  Norm norm(const std::string& name, const TensorView& x);
  Product product(const std::string& name, const TensorView& x);
  std::unique_ptr<Mixer> hybrid(const std::string& name, const TensorView& x);
  std::unique_ptr<Mixer> attention(const std::string& name, const TensorView& x);
  void make_layers();
  void make_head();

  const I3Config& config_;
  const ArenaGroup& group_;
  int64_t B_, T_;
  std::deque<Storage> memory_;
  TensorView values_, gradients_, exp_avg_, exp_avg_sq_, squares_;
  TensorView ids_, position_ids_, order_, embedded_;
  Parameter embed_, pos_embed_, head_weight_, head_bias_;
  std::vector<Layer> layers_;
  Norm ln_f_;
  LinearCrossEntropyViews head_;
  TensorView loss_, dloss_;
};

TensorView HandwrittenStep::buffer(const Shape& sizes, Dtype dtype) {
  const size_t nbytes = static_cast<size_t>(sizes.numel()) * size_of(dtype);
  memory_.emplace_back(nbytes, kCpu);
  std::memset(memory_.back().data(), 0, nbytes);
  return {memory_.back().data(), sizes, contiguous_strides(sizes), dtype, kCpu};
}

Parameter HandwrittenStep::parameter(const std::string& name) const {
  for (const ArenaSlot& slot : group_.slots) {
    if (slot.name != name) continue;
    TensorView value = slot.tensor, gradient = value;
    value.data = values_.as<float>() + slot.offset;
    gradient.data = gradients_.as<float>() + slot.offset;
    return {value, {gradient, false}};
  }
  fail("overhead_bench: the model has no parameter {}", name);
}

Norm HandwrittenStep::norm(const std::string& name, const TensorView& x) {
  const int64_t N = B_ * T_, d = config_.d_model;
  return {parameter(name + ".weight"),  parameter(name + ".bias"), x, rows(d), buffer({N}), buffer({N}), rows(d),
          buffer({sum_blocks(N), 2, d})};
}

Product HandwrittenStep::product(const std::string& name, const TensorView& x) {
  const Parameter weight = parameter(name + ".weight");
  return {weight, parameter(name + ".bias"), x, rows(weight.value.sizes[0]), rows(weight.value.sizes[1]), {}};
}

std::unique_ptr<Mixer> HandwrittenStep::hybrid(const std::string& name, const TensorView& x) {
  const int64_t d = config_.d_model, n = config_.d_state;
  const auto sequences = [&](const TensorView& view) { return *reshaped(view, {B_, T_, d}); };
  const auto part = [&](const char* letter) { return parameter(name + "." + letter); };
  const TensorView packed = buffer({n, hybrid_mixer_packed_columns(n)}), s = buffer({B_, T_, n});
  auto mixer = std::make_unique<Hybrid>();
  mixer->y = rows(d);
  mixer->dx = rows(d);
  mixer->in.x = sequences(x);
  mixer->in.w_mix = part("w_mix").value;
  mixer->in.ssm_a = part("A").value;
  mixer->in.ssm_b = part("B").value;
  mixer->in.ssm_c = part("C").value;
  mixer->in.skip_d = part("D").value;
  mixer->out = {sequences(mixer->y), buffer({B_, d}), buffer({B_, n}), s, packed};
  mixer->grads.s = s;
  mixer->grads.dx = sequences(mixer->dx);
  mixer->grads.dw_mix = part("w_mix").gradient;
  mixer->grads.da = part("A").gradient;
  mixer->grads.db = part("B").gradient;
  mixer->grads.dc = part("C").gradient;
  mixer->grads.dskip_d = part("D").gradient;
  mixer->grads.g = buffer({B_, T_, n});
  mixer->grads.s_previous = buffer({B_, T_, n});
  mixer->grads.h = buffer({T_, d});
  mixer->grads.a_packed = packed;
  return mixer;
}

std::unique_ptr<Mixer> HandwrittenStep::attention(const std::string& name, const TensorView& x) {
  const int64_t d = config_.d_model, H = config_.n_heads, P = d / H;
  auto mixer = std::make_unique<SelfAttention>();
  mixer->qkv = product(name + ".qkv", x);
  mixer->dqkv = rows(3 * d);
  const auto heads = [&](const TensorView& rows_of_heads, int64_t first) {
    return sliced(*reshaped(rows_of_heads, {B_, T_, rows_of_heads.sizes[1] / P, P}), 2, first, first + H, 1, "heads");
  };
  mixer->in = {heads(mixer->qkv.y, 0),
               heads(mixer->qkv.y, H),
               heads(mixer->qkv.y, 2 * H),
               {},
               {},
               1 / std::sqrt(static_cast<double>(P)),
               true};
  const TensorView y = rows(d);
  mixer->out_proj = product(name + ".out_proj", y);
  mixer->grads = {heads(y, 0),           buffer({B_, H, T_}),   heads(mixer->out_proj.dx, 0), {},
                  heads(mixer->dqkv, 0), heads(mixer->dqkv, H), heads(mixer->dqkv, 2 * H)};
  mixer->forward_scratch = buffer({attention_forward_scratch(mixer->in)});
  mixer->backward_scratch = buffer({attention_backward_scratch(mixer->in)});
  mixer->y = mixer->out_proj.y;
  mixer->dx = mixer->qkv.dx;
  return mixer;
}

void HandwrittenStep::make_layers() {
  const int64_t d = config_.d_model;
  TensorView x = embedded_;
  for (int64_t i = 0; i < config_.layer_count(); ++i) {
    const std::string name = fmt::format("layers.{}", i);
    Layer layer;
    layer.x = x;
    layer.mixed = rows(d);
    layer.ln1 = norm(name + ".ln1", x);
    layer.mixer = config_.layer_kinds[static_cast<size_t>(i)] == I3LayerKind::hybrid
                      ? hybrid(name + ".hybrid", layer.ln1.y)
                      : attention(name + ".attn", layer.ln1.y);
    layer.ln2 = norm(name + ".ln2", layer.mixed);
    layer.up = product(name + ".ffn.0", layer.ln2.y);
    layer.up.pre = rows(layer.up.y.sizes[1]);
    layer.down = product(name + ".ffn.2", layer.up.y);
    layer.out = x = rows(d);
    layers_.push_back(std::move(layer));
  }
}

void HandwrittenStep::make_head() {
  const int64_t N = B_ * T_, d = config_.d_model, V = config_.vocab_size;
  ln_f_ = norm("ln_f", layers_.back().out);
  head_weight_ = parameter("head.weight");
  head_bias_ = parameter("head.bias");
  head_ = {ln_f_.y, head_weight_.value, head_bias_.value, buffer({N}, Dtype::i64), -100,       buffer({}, Dtype::f64),
           rows(V), buffer({N}),        rows(d),          buffer({V, d}),          buffer({V})};
  *head_.loss_weight.as<double>() = 1.0 / static_cast<double>(N);
  loss_ = buffer({});
  dloss_ = buffer({});
  *dloss_.as<float>() = 1;
}

HandwrittenStep::HandwrittenStep(const I3Config& config, const ParameterArena& arena, int64_t B, int64_t T)
    : config_(config), group_(arena.groups().front()), B_(B), T_(T) {
  check(arena.groups().size() == 1 && config.ffn_rank == 0 && B * T * config.vocab_size <= int64_t{1} << 24,
        "overhead_bench: the model must be a plain i3 in f32, and its logits one chunk of the head");
  const int64_t N = B * T, count = group_.values.numel();
  values_ = buffer({count}), gradients_ = buffer({count}), exp_avg_ = buffer({count}), exp_avg_sq_ = buffer({count});
  std::memcpy(values_.data, group_.values.raw(), group_.values.nbytes());
  squares_ = buffer({norm_blocks(count)}, Dtype::f64);
  ids_ = buffer({N}, Dtype::i64), position_ids_ = buffer({N}, Dtype::i64), order_ = buffer({N}, Dtype::i64);
  for (int64_t i = 0; i < N; ++i) position_ids_.as<int64_t>()[i] = i % T;
  embedded_ = rows(config.d_model);
  embed_ = parameter("embed.weight");
  pos_embed_ = parameter("pos_embed.weight");
  make_layers();
  make_head();
}

float HandwrittenStep::run(const Batch& batch, StepState state) {
  std::copy_n(batch.ids.data<int32_t>(), B_ * T_, ids_.as<int64_t>());
  std::copy_n(batch.targets.data<int32_t>(), B_ * T_, head_.targets.as<int64_t>());
  embedding_forward_cpu(embedded_, ids_, embed_.value, position_ids_, pos_embed_.value);
  for (const Layer& layer : layers_) layer.forward();
  ln_f_.forward();
  linear_cross_entropy_cpu(head_);
  weighted_loss_cpu(loss_, head_.losses, head_.loss_weight);

  scaled_gradient_cpu({head_.dx, false}, head_.dx, dloss_);
  scaled_gradient_cpu(head_weight_.gradient, head_.dw, dloss_);
  scaled_gradient_cpu(head_bias_.gradient, head_.dbias, dloss_);
  ln_f_.backward(head_.dx);
  const TensorView& d = ln_f_.dx;
  for (size_t i = layers_.size(); i-- > 0;) layers_[i].backward(d);
  embedding_backward_cpu(embed_.gradient, order_, d, ids_);
  embedding_backward_cpu(pos_embed_.gradient, order_, d, position_ids_);

  block_squares_cpu(squares_, gradients_);
  write_norm_cpu(&state, squares_, optimizer_options().clip_norm);
  adamw_cpu(values_, gradients_, exp_avg_, exp_avg_sq_, &state, optimizer_options().adamw, {});
  return *loss_.as<float>();
}

// ---- the two beside each other ----

struct Sizes {
  int64_t batch, seq;
};

// Three steps of each from the same weights; throws std::runtime_error at the first difference.
void check_equal(const I3Config& config, Sizes sizes) {
  LibraryStep library(config);
  HandwrittenStep by_hand(config, library.model.parameters(), sizes.batch, sizes.seq);
  for (uint32_t step = 0; step < 3; ++step) {
    const Batch batch(sizes.batch, sizes.seq, config.vocab_size, step);
    const StepState state = library.optimizer->inputs(step, kLearningRate);
    const float loss = library.run(batch, state), loss_by_hand = by_hand.run(batch, state);
    if (loss != loss_by_hand || !std::isfinite(loss))
      throw std::runtime_error(fmt::format("step {}: the losses are {} and, by hand, {}", step, loss, loss_by_hand));
  }
  const ArenaGroup& group = library.model.parameters().groups().front();
  for (int64_t i = 0; i < group.values.numel(); ++i)
    if (group.values.data<float>()[i] != by_hand.values()[i])
      throw std::runtime_error(fmt::format("after 3 steps {} is {} and, by hand, {}", group.describe_element(i),
                                           group.values.data<float>()[i], by_hand.values()[i]));
}

nlohmann::ordered_json compare_times(const I3Config& config, Sizes sizes, int64_t rounds, clockid_t clock) {
  constexpr double kSliceSeconds = 0.05;  // of each program in a round
  LibraryStep library(config);
  HandwrittenStep by_hand(config, library.model.parameters(), sizes.batch, sizes.seq);
  const Batch batch(sizes.batch, sizes.seq, config.vocab_size, 0);
  const StepState state = library.optimizer->inputs(0, kLearningRate);
  int64_t steps = 1;
  const auto seconds_per_step = [&](auto& step) {
    const double start = seconds_on(clock);
    for (int64_t i = 0; i < steps; ++i) step.run(batch, state);
    return (seconds_on(clock) - start) / static_cast<double>(steps);
  };
  for (int64_t i = 0; i < 3; ++i) seconds_per_step(library), seconds_per_step(by_hand);
  steps = std::max<int64_t>(1, static_cast<int64_t>(kSliceSeconds / seconds_per_step(by_hand)));
  std::vector<double> with_library, without, ratios;
  for (int64_t round = 0; round < rounds; ++round) {
    with_library.push_back(seconds_per_step(library));
    without.push_back(seconds_per_step(by_hand));
    ratios.push_back(with_library.back() / without.back());
  }
  const double difference = (median(with_library) - median(without)) * 1e6;
  fmt::print("batch {} x {}: {:.3f} ms a step, by hand {:.3f} ms; ratio {:.3f} ({:.3f} to {:.3f}), {:+.0f} us\n",
             sizes.batch, sizes.seq, median(with_library) * 1e3, median(without) * 1e3, median(ratios),
             *std::min_element(ratios.begin(), ratios.end()), *std::max_element(ratios.begin(), ratios.end()),
             difference);
  return {{"batch", sizes.batch},
          {"seq", sizes.seq},
          {"step_s", median(with_library)},
          {"by_hand_s", median(without)},
          {"ratio", median(ratios)}};
}

int run(int argc, char** argv) {
  std::string preset = "i3-tiny";
  std::vector<int64_t> batches{8, 1}, lengths{192, 32};
  int64_t rounds = 15;
  int threads = omp_get_max_threads();
  bool check_only = false, cpu_time = false;
  CLI::App app{"A training step through the library, against the same kernels called by hand"};
  app.add_option("--model", preset, "an i3 preset")->check(CLI::IsMember(I3Config::preset_names()));
  app.add_option("--batch", batches, "sequences, a number for each case");
  app.add_option("--seq", lengths, "tokens in a sequence, a number for each case");
  app.add_option("--rounds", rounds, "in which both are timed")->check(CLI::PositiveNumber);
  app.add_option("--threads", threads, "all cores if left out")->check(CLI::PositiveNumber);
  app.add_flag("--cpu-time", cpu_time, "processor time, which leaves out what other programs had of the machine");
  app.add_flag("--check", check_only, "only check that the results are equal");
  CLI11_PARSE(app, argc, argv);
  check(batches.size() == lengths.size(), "overhead_bench: --batch and --seq must have as many numbers; got {} and {}",
        batches.size(), lengths.size());
  omp_set_num_threads(threads);

  const std::unique_ptr<ModelConfig> parsed = I3Config::preset(preset);
  I3Config config = dynamic_cast<const I3Config&>(*parsed);
  for (const int64_t T : lengths) config.max_seq_len = std::max(config.max_seq_len, T);
  nlohmann::ordered_json cases = nlohmann::ordered_json::array();
  for (size_t i = 0; i < batches.size(); ++i) {
    const Sizes sizes{batches[i], lengths[i]};
    check_equal(config, sizes);
    if (check_only) fmt::print("batch {} x {}: loss and weights are equal\n", sizes.batch, sizes.seq);
    else cases.push_back(compare_times(config, sizes, rounds, cpu_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC));
  }
  if (!check_only)
    fmt::print("{}\n", nlohmann::ordered_json{{"model", preset}, {"threads", threads}, {"cases", cases}}.dump());
  return 0;
}

}  // namespace
}  // namespace vigor

int main(int argc, char** argv) {
  try {
    return vigor::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "overhead_bench: {}\n", error.what());
    return 1;
  }
}
