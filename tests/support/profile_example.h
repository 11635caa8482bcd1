#pragma once
// A made-up profile that hangs together as a measured one does: a training step of two layers, with an operation inside
// another one, one that only moves data, and pauses between them.
#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "train/profile/profile.h"

namespace vigor::testing {

class ProfileExample {
 public:
  // `speed` divides every time; `wide` is the size of the feed-forward products, and part of their shapes.
  explicit ProfileExample(double speed = 1, int wide = 2048) : speed_(speed), wide_(wide) {
    profile_.model = "example";
    profile_.command = "vigor profile --model example";
    profile_.device = "cpu";
    profile_.dtype = "f32";
    profile_.batch = 4;
    profile_.seq = 256;
    profile_.steps = 3;
    profile_.threads = 2;
    profile_.machine.cpu = "Example processor";
    profile_.machine.isa = "avx2";
    profile_.machine.fma_gflops = 170;
    profile_.machine.read_gb_s = 21;
    profile_.machine.copy_gb_s = 16;
    profile_.machine.reads = {{1e6, 160}, {4e6, 84}, {2.7e8, 21}};
    profile_.memory.start_bytes = memory_ = 4e8;
    run("sample_batch", "data", "", "", 0, 8e3, 0.02e-3);
    for (const char* phase : {"forward", "backward"}) run_phase(phase);
    run("adamw_step", "optimizer", "", "12 tensors", 1e7, 1e8, 6e-3);
    finish();
  }
  const Profile& profile() const { return profile_; }

 private:
  void run_phase(const std::string& phase) {
    const double twice = phase == "backward" ? 2 : 1;
    run("embedding", phase, "embedding", "[3000,512] [4,256]", 0, 4e6 * twice, 0.4e-3 * twice);
    for (const char* layer : {"layers.0", "layers.1"}) {
      run("layer_norm", phase, layer, "[4,256,512] [512]", 4e6, 4e6 * twice, 0.4e-3 * twice);
      run("linear", phase, layer, "[4,256,512] [" + std::to_string(wide_) + ",512]", 2e9 * twice, 1e7 * twice,
          14e-3 * twice);
      run("add", phase, layer, "[4,256,512] [4,256,512]", 5e5, 6e6 * twice, 0.5e-3 * twice);
    }
    run("head_loss", phase, "head", "[4,256,512] [3000,512]", 3e9 * twice, 1e7 * twice, 20e-3 * twice, true);
  }

  void run(const std::string& name, const std::string& phase, const std::string& layer, const std::string& shapes,
           double flops, double bytes, double seconds, bool with_inner = false) {
    seconds /= speed_;
    const double inner = with_inner ? seconds / 4 : 0;
    profile_.timeline.push_back({name, phase, layer, shapes, now_, seconds, flops, bytes, 0});
    count(name, phase, layer, shapes, flops, bytes, seconds - inner);
    if (with_inner) {
      profile_.timeline.push_back({"softmax", phase, layer, "[1024,3000]", now_ + seconds / 2, inner, 1e6, 1e7, 0});
      count("softmax", phase, layer, "[1024,3000]", 1e6, 1e7, inner);
    }
    memory_ += phase == "forward" ? bytes : phase == "backward" ? -bytes / 2 : 0;
    profile_.memory.timeline.push_back({now_, memory_});
    if (memory_ > profile_.memory.peak_bytes) {
      profile_.memory.peak_bytes = memory_;
      profile_.memory.peak_operation = name;
      profile_.memory.peak_layer = layer;
    }
    now_ += seconds + kPause;
    pauses_ += kPause;
  }

  void count(const std::string& name, const std::string& phase, const std::string& layer, const std::string& shapes,
             double flops, double bytes, double seconds) {
    ProfileOperation& row = rows_[{name, phase, shapes}];
    row.name = name;
    row.phase = phase;
    row.shapes = shapes;
    row.dtype = "f32";
    row.calls += 1;
    row.seconds += seconds;
    row.median_s = seconds;
    row.flops += flops;
    row.bytes += bytes;
    part(profile_.phases, phase).seconds += seconds;
    part(profile_.phases, phase).flops += flops;
    ProfileLayer& place = part(profile_.layers, phase == "optimizer" ? "optimizer" : layer);
    (phase == "forward" ? place.forward_s : phase == "backward" ? place.backward_s : place.optimizer_s) += seconds;
    place.flops += flops;
  }

  template <class T>
  static T& part(std::vector<T>& list, const std::string& name) {
    const auto found = std::find_if(list.begin(), list.end(), [&](const T& one) { return one.name == name; });
    if (found != list.end()) return *found;
    list.emplace_back().name = name;
    return list.back();
  }

  void finish() {
    ProfileOperation& pauses = rows_[{"(between operations)", "other", ""}];
    pauses.name = "(between operations)";
    pauses.phase = "other";
    pauses.seconds = pauses_;
    ProfileStep& step = profile_.step;
    step.seconds = step.unprofiled_seconds = now_;
    step.tokens_per_s = 1024 / now_;
    for (auto& [key, row] : rows_) {
      const double ideal =
          std::max(row.flops / profile_.machine.fma_gflops, row.bytes / profile_.machine.read_gb_s) / 1e9;
      row.share = row.seconds / now_;
      row.gflops = row.flops / row.seconds / 1e9;
      row.gb_s = row.bytes / row.seconds / 1e9;
      row.intensity = row.bytes > 0 ? row.flops / row.bytes : 0;
      row.roofline = ideal / row.seconds;
      row.bound = row.intensity > profile_.machine.fma_gflops / profile_.machine.read_gb_s ? "compute" : "memory";
      step.flops += row.flops;
      step.bytes += row.bytes;
      step.ideal_seconds += ideal;
      profile_.operations.push_back(row);
    }
    std::sort(profile_.operations.begin(), profile_.operations.end(),
              [](const auto& a, const auto& b) { return a.seconds > b.seconds; });
    for (ProfilePhase& phase : profile_.phases) phase.share = phase.seconds / now_;
    step.bound = "compute";
    step.verdict = "Arithmetic bounds the step.";
  }

  static constexpr double kPause = 0.05e-3;
  double speed_;
  int wide_;
  double now_ = 0, pauses_ = 0, memory_ = 0;
  std::map<std::tuple<std::string, std::string, std::string>, ProfileOperation> rows_;
  Profile profile_;
};

}  // namespace vigor::testing
