// Where the time of a training step goes, operation by operation, against what the machine could do: bytes and FLOPs of
// every operation of a real step, its time on the device, and the time that a roofline predicts for two GPUs.
//
//   roofline_bench --model i3-80m --device cuda --dtype bf16     # on a GPU: achieved GB/s and GFLOP/s, share of
//   ceilings roofline_bench --model i3-80m --predict                      # no GPU: bytes, FLOPs and predicted times
//   (docs/cuda.md)
//
// Every operation is waited for, so the sum of the times is above that of a step that runs freely, which is printed
// too.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "kernels/linear/linear.h"
#include "models/families.h"
#include "tensor/cuda_graph.h"
#include "tensor/op_scope.h"
#include "tensor/primitives.h"
#include "train/device_choice.h"
#include "train/training_step.h"

namespace {

using namespace vigor;
using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Published figures of a GPU: memory in bytes/s; FLOP/s of f32 without, and of bf16 with tensor cores (dense).
struct Gpu {
  const char* name;
  double bytes_per_s, f32_flops, bf16_flops;
};
constexpr Gpu kGpus[] = {{"H100 SXM", 3.35e12, 67e12, 989e12}, {"RTX 4070 Laptop", 256e9, 20e12, 40e12}};

struct Row {
  int64_t calls = 0;
  double bytes = 0, flops = 0, seconds = 0;
};

// Adds up what every operation moved, computed and took. Operations that call others count the inner ones' work twice;
// there are none among the fused operations of a step.
class Meter : public OpListener {
 public:
  Meter(std::map<std::string, Row>& rows, Device device) : rows_(rows), device_(device) {}
  void begin(const OpRecord&) override {
    synchronize(device_);
    start_ = Clock::now();
  }
  void end(const OpRecord& record, std::span<const Tensor* const> outputs) override {
    synchronize(device_);
    Row& row = rows_[record.name];
    row.seconds += seconds_since(start_);
    row.flops += record.flops;
    ++row.calls;
    if (record.nbytes >= 0) {
      row.bytes += record.nbytes;
      return;
    }
    for (const auto& tensors : {record.inputs, outputs})
      for (const Tensor* tensor : tensors)
        if (tensor->defined()) row.bytes += static_cast<double>(tensor->nbytes());
  }

 private:
  std::map<std::string, Row>& rows_;
  Device device_;
  Clock::time_point start_;
};

struct Ceilings {
  double bytes_per_s = 0, flops_per_s = 0;
};

double best_seconds(Device device, int rounds, const std::function<void()>& work) {
  double best = 1e30;
  for (int i = 0; i < rounds; ++i) {
    synchronize(device);
    const auto start = Clock::now();
    work();
    synchronize(device);
    best = std::min(best, seconds_since(start));
  }
  return best;
}

// A large copy, and a large square product in `dtype`, as this device does them.
Ceilings measure_ceilings(Device device, Dtype dtype, int64_t elements, int64_t side) {
  Ceilings ceilings;
  const Tensor from = zeros({elements}, Dtype::f32, device), to = empty_like(from);
  ceilings.bytes_per_s = 2.0 * static_cast<double>(from.nbytes()) / best_seconds(device, 10, [&] { copy(to, from); });
  const Tensor a = zeros({side, side}, dtype, device), b = zeros({side, side}, dtype, device);
  const double flops = 2.0 * static_cast<double>(side) * static_cast<double>(side) * static_cast<double>(side);
  ceilings.flops_per_s = flops / best_seconds(device, 5, [&] { linear(a, b); });
  return ceilings;
}

struct Step {
  std::unique_ptr<LanguageModel> model;
  std::optional<TrainingStep> step;

  Step(const std::string& preset, int64_t batch, int64_t seq, Dtype dtype, Device device) {
    auto config = preset_config(preset);
    config->max_seq_len = std::max(config->max_seq_len, seq);
    model = make_model(*config);
    ArenaOptions arena;
    arena.dtype = dtype;
    arena.device = device;
    model->allocate(arena);
    model->parameters().initialize(1);
    model->parameters().allocate_gradients();
    RunConfig run;
    run.batch_size = batch;
    run.seq_len = seq;
    step.emplace(*model, run, device);
    step->load(random_ids(config->vocab_size, 0));
    step->set_inputs(0, 3e-4);
  }

  void run() { step->run(); }
};

double roofline(const Row& row, const Gpu& gpu, Dtype dtype) {
  return std::max(row.bytes / gpu.bytes_per_s, row.flops / (dtype == Dtype::bf16 ? gpu.bf16_flops : gpu.f32_flops));
}

std::string heading(const std::vector<std::string>& cells) {
  std::string line = "|", rule = "|";
  for (const std::string& cell : cells) {
    line += " " + cell + " |";
    rule += "---|";
  }
  return line + "\n" + rule + "\n";
}

}  // namespace

int main(int argc, char** argv) try {
  std::string preset = "i3-80m", device_name = "auto", dtype_name = "f32";
  int64_t batch = 4, seq = 256, steps = 3;
  bool predict = false, as_json = false, quick = false;
  CLI::App app{"Operations of a training step against the roofline"};
  app.add_option("--model", preset, "preset");
  app.add_option("--batch", batch, "sequences");
  app.add_option("--seq", seq, "tokens in a sequence");
  app.add_option("--steps", steps, "measured steps")->check(CLI::PositiveNumber);
  app.add_option("--device", device_name, "auto, cpu, cuda, emulated")->check(CLI::IsMember(kDeviceNames));
  app.add_option("--dtype", dtype_name, "f32 or bf16")->check(CLI::IsMember({"f32", "bf16"}));
  app.add_flag("--predict", predict, "only bytes, FLOPs and predicted times");
  app.add_flag("--quick", quick, "small ceilings: a rehearsal");
  app.add_flag("--json", as_json, "one JSON object");
  CLI11_PARSE(app, argc, argv);

  const Device device = [&] {
    try {
      return choose_device(device_name, "roofline_bench");
    } catch (const RestartEmulated&) {
      exec_emulated("/proc/self/exe", argv);
    }
  }();
  const Dtype dtype = dtype_name == "bf16" ? Dtype::bf16 : Dtype::f32;
  Step step(preset, batch, seq, dtype, device);
  std::map<std::string, Row> rows;
  step.run();  // warm-up
  {
    Meter meter(rows, device);
    const OpListenerScope listening(meter);
    for (int64_t i = 0; i < steps; ++i) step.run();
  }
  for (auto& [name, row] : rows) {
    row.calls /= steps;
    for (double* value : {&row.bytes, &row.flops, &row.seconds}) *value /= static_cast<double>(steps);
  }
  std::vector<std::pair<std::string, Row>> sorted(rows.begin(), rows.end());
  std::sort(sorted.begin(), sorted.end(),
            [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });

  Json result = {
      {"model", preset}, {"batch", batch}, {"seq", seq}, {"dtype", dtype_name}, {"device", describe_device(device)}};
  if (!predict) {
    const Ceilings ceilings =
        quick ? measure_ceilings(device, dtype, 1 << 16, 64) : measure_ceilings(device, dtype, 1 << 28, 8192);
    const double eager = best_seconds(device, static_cast<int>(steps), [&] { step.run(); });
    result["copy_gb_per_s"] = ceilings.bytes_per_s * 1e-9;
    result["product_gflop_per_s"] = ceilings.flops_per_s * 1e-9;
    result["step_s"] = eager;
    result["tokens_per_s"] = static_cast<double>(batch * seq) / eager;
    if constexpr (kCudaBuild) {
      if (!device.is_cpu()) {
        CudaGraph graph;
        allocator_of(device).release_unused();
        graph.capture([&] { step.run(); });
        const double replayed = best_seconds(device, static_cast<int>(steps), [&] { graph.replay(); });
        result["graph_step_s"] = replayed;
      }
    }
  }
  std::string table = heading({"operation", "calls", "MB", "GFLOP", "ms", "GB/s", "GFLOP/s",
                               fmt::format("{}, us", kGpus[0].name), fmt::format("{}, us", kGpus[1].name)});
  double predicted[2] = {0, 0};
  for (const auto& [name, row] : sorted) {
    const double times[] = {roofline(row, kGpus[0], dtype), roofline(row, kGpus[1], dtype)};
    for (int g = 0; g < 2; ++g) predicted[g] += times[g];
    table +=
        fmt::format("| {} | {} | {:.1f} | {:.2f} | {:.3f} | {:.1f} | {:.1f} | {:.1f} | {:.1f} |\n", name, row.calls,
                    row.bytes * 1e-6, row.flops * 1e-9, row.seconds * 1e3, row.bytes / row.seconds * 1e-9,
                    row.flops / row.seconds * 1e-9, times[0] * 1e6, times[1] * 1e6);
    result["operations"].push_back({{"name", name},
                                    {"calls", row.calls},
                                    {"bytes", row.bytes},
                                    {"flops", row.flops},
                                    {"seconds", row.seconds},
                                    {"predicted_h100_s", times[0]},
                                    {"predicted_laptop_s", times[1]}});
  }
  result["predicted_h100_s"] = predicted[0];
  result["predicted_laptop_s"] = predicted[1];
  if (as_json) {
    fmt::print("{}\n", result.dump());
    return 0;
  }
  fmt::print("{}", table);
  for (const auto& [key, value] : result.items())
    if (!value.is_array()) fmt::print("{}: {}\n", key, value.dump());
  return 0;
} catch (const std::exception& error) {
  fmt::print(stderr, "roofline_bench: {}\n", error.what());
  return 1;
}
