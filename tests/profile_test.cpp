// The profiler: what it records, what the sums say, and the files that it writes and reads.
#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "autograd/engine.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/linear/linear.h"
#include "models/families.h"
#include "models/generation.h"
#include "tensor/file.h"
#include "tensor/primitives.h"
#include "tests/support/error_text.h"
#include "train/profile/measured_steps.h"
#include "train/profile/profile_table.h"
#include "train/profile/summary.h"
#include "train/profile/trace.h"
#include "train/training_step.h"

namespace vigor {
namespace {

using Json = nlohmann::json;
using testing::error_text;

// A machine whose limits make the sums of these tests easy: 1 GFLOP/s and 1 GB/s.
MachinePeaks simple_machine() {
  MachinePeaks peaks;
  peaks.fma_flops = peaks.read_bytes_per_s = peaks.copy_bytes_per_s = 1e9;
  peaks.threads = 1;
  return peaks;
}

void wait(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

RecordedStep recorded(const std::function<void()>& step) {
  Profiler profiler(kCpu);
  profiler.begin_step();
  step();
  profiler.end_step();
  return profiler.steps().front();
}

std::vector<std::string> names_of(const RecordedStep& step) {
  std::vector<std::string> names;
  for (const RecordedOp& op : step.ops) names.emplace_back(op.name);
  return names;
}

// ---- recording ----

TEST(Profiler, TimesOfInnerOperationsAreTakenOutOfTheOuterOne) {
  const Tensor x = zeros({2, 3});
  const RecordedStep step = recorded([&] {
    OpScope outer("outer", {&x}, 100, 50);
    wait(0.02);
    {
      OpScope inner("inner", {&x}, 30, 60);
      wait(0.03);
    }
    outer.done({});
  });
  ASSERT_EQ(names_of(step), (std::vector<std::string>{"outer", "inner"}));
  const RecordedOp &outer = step.ops[0], &inner = step.ops[1];
  EXPECT_EQ(inner.parent, 0);
  EXPECT_EQ(outer.parent, -1);
  EXPECT_GE(outer.start, 0);
  EXPECT_GE(inner.start, outer.start + 0.02);
  EXPECT_GE(inner.seconds, 0.03);
  EXPECT_GE(outer.seconds, inner.seconds + 0.02);
  EXPECT_DOUBLE_EQ(outer.self_seconds(), outer.seconds - inner.seconds);
  EXPECT_DOUBLE_EQ(outer.self_flops(), 70);  // its own count contains the inner one's
  EXPECT_DOUBLE_EQ(outer.self_bytes(), 0);   // less than the inner one moved: nothing is left
  EXPECT_GE(step.seconds, outer.start + outer.seconds);
}

TEST(Profiler, KeepsShapesDtypesAndBytes) {
  const Tensor x = zeros({2, 3, 4}), weight = zeros({5, 4}), none;
  const RecordedStep step = recorded([&] { linear(x, weight, none); });
  ASSERT_EQ(step.ops.size(), 1u);
  EXPECT_EQ(step.shapes_of(step.ops[0]), "[2,3,4] [5,4]");
  EXPECT_EQ(step.ops[0].dtype, Dtype::f32);
  EXPECT_DOUBLE_EQ(step.ops[0].bytes, 4 * (24 + 20 + 30));
  EXPECT_DOUBLE_EQ(step.ops[0].flops, 2.0 * 6 * 4 * 5);
}

TEST(Profiler, HearsPrimitivesButNotInsideOperations) {
  const Tensor x = zeros({3, 4}), y = zeros({3, 4});
  const RecordedStep step = recorded([&] {
    fill(x, 2);
    copy(y, x);
    accumulate(y, x);
    OpScope operation("operation", {&x}, 0, 0);
    fill(x, 1);
    operation.done({});
  });
  ASSERT_EQ(names_of(step), (std::vector<std::string>{"fill", "copy", "accumulate", "operation"}));
  EXPECT_EQ(step.shapes_of(step.ops[2]), "[3,4] [3,4]");
  EXPECT_DOUBLE_EQ(step.ops[0].bytes, 48);
  EXPECT_DOUBLE_EQ(step.ops[1].bytes, 96);
  EXPECT_DOUBLE_EQ(step.ops[2].bytes, 144);
}

TEST(Profiler, AnOperationLeftByAnExceptionIsClosed) {
  const Tensor x = zeros({2});
  const RecordedStep step = recorded([&] {
    try {
      OpScope scope("fails", {&x});
      throw std::runtime_error("on purpose");
    } catch (const std::runtime_error&) {
    }
    OpScope scope("next", {&x});
    scope.done({});
  });
  ASSERT_EQ(step.ops.size(), 2u);
  EXPECT_EQ(step.ops[1].parent, -1);
}

TEST(Profiler, FindsWhereMemoryPeaks) {
  const Tensor x = zeros({1024});
  Tensor kept;
  const RecordedStep step = recorded([&] {
    {
      OpScope small("small", {&x});
      kept = empty({1 << 18});
      small.done({});
    }
    {
      OpScope big("big", {&x});
      const Tensor scratch = empty({1 << 20});
      big.done({});
    }
  });
  const RecordedOp &small = step.ops[0], &big = step.ops[1];
  EXPECT_EQ(small.bytes_after - small.bytes_before, 1 << 20);
  EXPECT_EQ(big.peak_bytes - big.bytes_before, 4 << 20);
  EXPECT_EQ(step.peak_op, 1);
  EXPECT_EQ(step.peak_bytes, big.peak_bytes);
  EXPECT_EQ(step.peak_bytes - step.start_bytes, 5 << 20);
}

TEST(Profiler, RegionsAreNotNamedWhileNobodyListens) {
  const RegionScope unheard("unheard");
  EXPECT_EQ(RegionScope::current(), nullptr);
  Region first = nullptr;
  recorded([&] {
    const RegionScope heard("layers", 12);
    first = RegionScope::current();
    const RegionScope same("layers.12");
    EXPECT_EQ(RegionScope::current(), first);
  });
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(*first, "layers.12");
  EXPECT_EQ(RegionScope::current(), nullptr);
}

// ---- whole steps ----

std::unique_ptr<LanguageModel> small_model(const char* json) {
  std::unique_ptr<LanguageModel> model = make_model(*parse_config(json, "test"));
  model->allocate();
  model->parameters().initialize(1);
  model->parameters().allocate_gradients();
  return model;
}

std::unique_ptr<LanguageModel> small_i3() {
  return small_model(R"({"model_type": "i3", "vocab_size": 200, "d_model": 32, "n_heads": 2, "max_seq_len": 32,
                         "d_state": 4, "conv_layers": 2, "attn_layers": 1})");
}
std::unique_ptr<LanguageModel> preset_model(const char* preset, int64_t layers, int64_t V) {
  std::unique_ptr<ModelConfig> config = preset_config(preset);
  apply_overrides(*config, {V, 64, layers});
  std::unique_ptr<LanguageModel> model = make_model(*config);
  model->allocate();
  model->parameters().initialize(1);
  model->parameters().allocate_gradients();
  return model;
}

RunConfig small_batches() {
  RunConfig config;
  config.batch_size = 2;
  config.seq_len = 16;
  return config;
}

MeasuredSteps steps_of(LanguageModel& model, const RunConfig& config, int64_t count) {
  TrainingStep step(model, config, kCpu);
  int64_t number = 0;
  return measure_steps(
      kCpu, 1, count, [&] { step.load(random_ids(model.config().vocab_size, number)); },
      [&] {
        step.set_inputs(number++, 1e-3);
        step.run();
      });
}

class ProfiledModels : public ::testing::TestWithParam<std::tuple<const char*, bool>> {
 protected:
  static std::unique_ptr<LanguageModel> model() {
    const std::string name = std::get<0>(GetParam());
    if (name == "i3") return small_i3();
    if (name == "falcon_h1") {
      const std::string path = std::string(VIGOR_SOURCE_DIR) + "/tests/fixtures/falcon_h1/plain/config.json";
      return small_model(read_text(path, 1 << 20).c_str());
    }
    return preset_model("hybrid-tiny", 0, 200);
  }
};

TEST_P(ProfiledModels, EveryOperationHasItsPhaseAndItsLayer) {
  const bool recompute = std::get<1>(GetParam());
  const std::unique_ptr<LanguageModel> trained = model();
  RunConfig config = small_batches();
  config.recompute = recompute;
  config.dropout = 0.1;
  const RecordedStep step = steps_of(*trained, config, 1).profiled.front();
  std::set<std::string> regions;
  std::set<Phase> phases;
  for (const RecordedOp& op : step.ops) {
    phases.insert(op.phase);
    EXPECT_NE(op.phase, Phase::other) << op.name;
    const std::string region = op.region != nullptr ? *op.region : "";
    if (!region.empty()) {
      regions.insert(region);
    } else if (op.phase != Phase::data) {  // what is added up beside the model
      EXPECT_TRUE(std::string_view(op.name) == "fill" || std::string_view(op.name) == "accumulate") << op.name;
    }
    EXPECT_EQ(op.phase == Phase::optimizer, region == "optimizer") << op.name;
    EXPECT_TRUE(op.phase != Phase::recompute || region.starts_with("layers.")) << op.name;
  }
  EXPECT_EQ(phases.count(Phase::recompute), recompute ? 1u : 0u);
  std::set<std::string> expected = {"embedding", "head", "optimizer"};
  for (int64_t i = 0; i < trained->config().layer_count(); ++i) expected.insert("layers." + std::to_string(i));
  EXPECT_EQ(regions, expected);
}

TEST_P(ProfiledModels, LayersHaveTheirForwardAndBackward) {
  const bool recompute = std::get<1>(GetParam());
  const std::unique_ptr<LanguageModel> trained = model();
  RunConfig config = small_batches();
  config.recompute = recompute;
  const MeasuredSteps measured = steps_of(*trained, config, 2);
  std::vector<std::string> kinds;
  for (const LayerSummary& layer : trained->layer_summaries()) kinds.push_back(layer.kind);
  Profile profile;
  summarize(profile, measured.profiled, measured.unprofiled, simple_machine(), kinds, 32);
  ASSERT_GE(profile.layers.size(), kinds.size() + 3);
  EXPECT_EQ(profile.layers.front().name, "embedding");
  for (size_t i = 0; i < kinds.size(); ++i) {
    const ProfileLayer& layer = profile.layers[i + 1];
    EXPECT_EQ(layer.name, "layers." + std::to_string(i));
    EXPECT_EQ(layer.kind, kinds[i]);
    EXPECT_GT(layer.forward_s, 0);
    EXPECT_GT(layer.backward_s, 0);
    EXPECT_EQ(layer.recompute_s > 0, recompute);
    EXPECT_EQ(layer.optimizer_s, 0);
    EXPECT_GT(layer.flops, 0);
  }
  EXPECT_EQ(profile.layers[kinds.size() + 1].name, "head");
}

INSTANTIATE_TEST_SUITE_P(Families, ProfiledModels,
                         ::testing::Combine(::testing::Values("i3", "falcon_h1", "hybrid"), ::testing::Bool()),
                         [](const auto& test) {
                           return std::string(std::get<0>(test.param)) + (std::get<1>(test.param) ? "_recompute" : "");
                         });

TEST(ProfiledStep, SumsAreThoseOfTheMedianStep) {
  const std::unique_ptr<LanguageModel> model = small_i3();
  const MeasuredSteps measured = steps_of(*model, small_batches(), 3);
  ASSERT_EQ(measured.profiled.size(), 3u);
  ASSERT_EQ(measured.unprofiled.size(), 3u);
  Profile profile;
  summarize(profile, measured.profiled, measured.unprofiled, simple_machine(), {}, 32);
  double seconds = 0, share = 0, flops = 0, bytes = 0, ideal = 0, calls = 0;
  for (const ProfileOperation& op : profile.operations) {
    seconds += op.seconds;
    share += op.share;
    flops += op.flops;
    bytes += op.bytes;
    ideal += op.roofline * op.seconds;
    calls += op.calls;
    EXPECT_NEAR(op.roofline * op.seconds, std::max(op.flops, op.bytes) * 1e-9, 1e-15) << op.name;
    EXPECT_EQ(op.bound == "compute", op.flops > op.bytes) << op.name;
  }
  EXPECT_NEAR(seconds, profile.step.seconds, 1e-9);
  EXPECT_NEAR(share, 1, 1e-9);
  EXPECT_DOUBLE_EQ(flops, profile.step.flops);
  EXPECT_DOUBLE_EQ(bytes, profile.step.bytes);
  EXPECT_NEAR(ideal, profile.step.ideal_seconds, 1e-12);
  EXPECT_EQ(static_cast<size_t>(calls), profile.timeline.size() + 1);  // and "(between operations)"
  double phases = 0, layers = 0, in_layers = 0;
  for (const ProfilePhase& phase : profile.phases) {
    phases += phase.seconds;
    if (phase.name != "other" && phase.name != "data") in_layers += phase.seconds;
  }
  for (const ProfileLayer& layer : profile.layers)
    layers += layer.forward_s + layer.backward_s + layer.recompute_s + layer.optimizer_s;
  EXPECT_NEAR(phases, profile.step.seconds, 1e-9);
  EXPECT_NEAR(layers, in_layers, 1e-9);
  EXPECT_FALSE(profile.step.verdict.empty());
}

// The operations' own counts against the models' arithmetic, which counts products only.
TEST(ProfiledStep, CountsTheModelsFlops) {
  for (const char* preset : {"i3-80m", "falcon-h1-tiny-90m"}) {
    SCOPED_TRACE(preset);
    const std::unique_ptr<LanguageModel> model = preset_model(preset, 1, 500);
    RunConfig config = small_batches();
    config.seq_len = 64;
    const RecordedStep step = steps_of(*model, config, 1).profiled.front();
    double flops = 0;
    for (const RecordedOp& op : step.ops)
      if (op.phase != Phase::optimizer) flops += op.self_flops();
    const double expected = model->training_flops_per_token(64) * 2 * 64;
    EXPECT_NEAR(flops / expected, 1, 0.05);
  }
}

TEST(ProfiledGeneration, EveryTokenGoesThroughAllLayers) {
  const std::unique_ptr<LanguageModel> model = small_i3();
  GenerateOptions options;
  options.max_new_tokens = 3;
  const RecordedStep step = recorded([&] { generate(*model, {{1, 2, 3, 4}}, options); });
  std::map<std::string, int> mixers;
  for (const RecordedOp& op : step.ops)
    if (std::string_view(op.name) == "hybrid_mixer" || std::string_view(op.name) == "attention") ++mixers[*op.region];
  ASSERT_EQ(mixers.size(), 3u);
  for (const auto& [layer, calls] : mixers) EXPECT_EQ(calls, 3) << layer;
}

// ---- files ----

Profile small_profile(std::vector<RecordedStep>* steps = nullptr) {
  const std::unique_ptr<LanguageModel> model = small_i3();
  const MeasuredSteps measured = steps_of(*model, small_batches(), 2);
  Profile profile;
  profile.command = "vigor profile \"x\" \xff";  // not UTF-8
  profile.model = "i3";
  profile.device = "cpu";
  profile.dtype = "f32";
  profile.batch = 2;
  profile.seq = 16;
  MachinePeaks peaks = simple_machine();
  peaks.bandwidths = {{1e5, 4e9, 4e9}, {1e8, 1e9, 1e9}};
  summarize(profile, measured.profiled, measured.unprofiled, peaks, {}, 32);
  if (steps != nullptr) *steps = measured.profiled;
  return profile;
}

TEST(ProfileFile, ReadsWhatItWrote) {
  const std::string text = to_json(small_profile());
  const Profile read = profile_from_json(text, "x.json");
  EXPECT_EQ(to_json(read), text);
  EXPECT_EQ(read.batch, 2);
  EXPECT_EQ(read.machine.reads.size(), 2u);
  EXPECT_FALSE(read.timeline.empty());
  EXPECT_FALSE(read.memory.timeline.empty());
}

TEST(ProfileFile, DamagedTextIsOneClearLine) {
  const std::string good = to_json(small_profile());
  const auto with = [&](const std::function<void(Json&)>& change) {
    Json json = Json::parse(good);
    change(json);
    return json.dump();
  };
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "x.json: is not valid JSON"},
      {good.substr(0, good.size() / 2), "not valid JSON"},
      {std::string(100'000, '['), "not valid JSON"},
      {"[1]", "x.json: must be an object; got array"},
      {"{}", "x.json: format: is missing"},
      {with([](Json& j) { j["format"] = "other"; }), "format must be vigor-profile-1; got other"},
      {with([](Json& j) { j.erase("step"); }), "x.json: step: is missing"},
      {with([](Json& j) { j["step"] = 3; }), "x.json: step: must be an object"},
      {with([](Json& j) { j["step"]["seconds"] = "long"; }), "step.seconds: must be a finite number; got \"long\""},
      {with([](Json& j) { j["step"]["seconds"] = nullptr; }), "step.seconds: must be a finite number; got null"},
      {with([](Json& j) { j["batch"] = -1; }), "batch: must be a whole number"},
      {with([](Json& j) { j["batch"] = 1e300; }), "batch: must be a whole number"},
      {with([](Json& j) { j["operations"] = Json::object(); }), "operations: must be a list; got object"},
      {with([](Json& j) { j["operations"][1] = 7; }), "operations[1]: must be an object"},
      {with([](Json& j) { j["operations"][1]["name"] = {1}; }), "operations[1].name: must be a string; got array"},
      {with([](Json& j) { j["memory"]["timeline"][0] = {1}; }), "memory.timeline: must be a list of pairs"},
      {with([](Json& j) {
         j["memory"]["timeline"][0] = {"a", 1};
       }),
       "memory.timeline: must be a finite number"},
  };
  for (const auto& [text, message] : cases) {
    const std::string error = error_text([&] { profile_from_json(text, "x.json"); });
    EXPECT_NE(error.find(message), std::string::npos) << error << "\nexpected: " << message;
    EXPECT_EQ(error.find('\n'), std::string::npos);
  }
}

TEST(ProfileFile, UnknownFieldsAreLeftOut) {
  Json json = Json::parse(to_json(small_profile()));
  json["new"] = {{"nested", {1, 2}}};
  EXPECT_EQ(profile_from_json(json.dump(), "x").model, "i3");
}

TEST(ProfileTable, ShowsEveryLargeOperationAndTheVerdict) {
  Profile profile = small_profile();
  for (ProfileOperation& op : profile.operations) op.share = 0.01;  // whatever the machine did meanwhile
  const std::string table = profile_table(profile);
  for (const char* part : {"linear_gelu", "adamw", "(between operations)", "layers.1", "backward", "memory of tensors",
                           "at the limits of this machine"})
    EXPECT_NE(table.find(part), std::string::npos) << part << "\n" << table;
}

TEST(ProfileTable, AComparisonNamesWhatChanged) {
  const Profile before = small_profile();
  Profile after = before;
  after.operations[0].seconds += 1;
  after.step.seconds += 1;
  const std::string table = comparison_table(before, after);
  EXPECT_NE(table.find(before.operations[0].name), std::string::npos);
  EXPECT_NE(table.find("+1.000 s"), std::string::npos) << table;
  EXPECT_EQ(table.find(before.operations[2].name + " "), std::string::npos) << table;
}

TEST(ProfileCsv, HasALineForEveryOperation) {
  const Profile profile = small_profile();
  const std::string csv = profile_csv(profile);
  EXPECT_EQ(static_cast<size_t>(std::count(csv.begin(), csv.end(), '\n')), profile.operations.size() + 1);
  EXPECT_EQ(csv.rfind("name,phase,shapes,", 0), 0u);
  EXPECT_NE(csv.find("\"[2,16,32] [128,32] [128]\""), std::string::npos) << csv;
}

// Slices of one track must lie beside or inside each other, or a viewer draws nonsense.
TEST(Trace, SlicesAreNested) {
  std::vector<RecordedStep> steps;
  small_profile(&steps);
  const Json trace = Json::parse(trace_json("a \"title\"", steps));
  struct Slice {
    double start, end;
    std::string category;
  };
  std::vector<Slice> slices;
  std::set<std::string> names;
  size_t operations = 0, counters = 0;
  for (const Json& event : trace["traceEvents"]) {
    names.insert(event["name"]);
    if (event["ph"] == "C") ++counters;
    if (event["ph"] != "X") continue;
    const double start = event["ts"];
    slices.push_back({start, start + event["dur"].get<double>(), event["cat"]});
    if (event["cat"] != "operation") continue;
    ++operations;
    EXPECT_TRUE(event["args"]["shapes"].is_string());
    EXPECT_TRUE(event["args"]["flops"].is_number());
  }
  EXPECT_EQ(operations, steps[0].ops.size() + steps[1].ops.size());
  EXPECT_GT(counters, operations);
  for (const char* name : {"process_name", "thread_name", "step 1", "step 2", "forward", "backward", "optimizer",
                           "layers.0", "embedding", "head", "memory of tensors"})
    EXPECT_EQ(names.count(name), 1u) << name;
  std::stable_sort(slices.begin(), slices.end(), [](const Slice& a, const Slice& b) {
    return a.start < b.start || (a.start == b.start && a.end > b.end);
  });
  std::vector<Slice> open;
  constexpr double kRounding = 1e-3;  // microseconds
  for (const Slice& slice : slices) {
    while (!open.empty() && open.back().end <= slice.start + kRounding) open.pop_back();
    EXPECT_EQ(open.empty(), slice.category == "step");
    EXPECT_TRUE(open.empty() || slice.end <= open.back().end + kRounding) << slice.category;
    open.push_back(slice);
  }
}

// ---- the machine ----

TEST(Machine, LimitsFollowTheSizeOfTheData) {
  MachinePeaks peaks = simple_machine();
  EXPECT_DOUBLE_EQ(peaks.memory_seconds(2e9, 0), 2);
  peaks.bandwidths = {{1e5, 8e9, 8e9}, {1e6, 4e9, 2e9}, {1e8, 1e9, 5e8}};
  EXPECT_DOUBLE_EQ(peaks.memory_seconds(8, 8), 1e-9);
  EXPECT_DOUBLE_EQ(peaks.memory_seconds(4e6, 0), 1e-3);
  EXPECT_DOUBLE_EQ(peaks.memory_seconds(4e6, 1e6), 1e-3);
  EXPECT_DOUBLE_EQ(peaks.memory_seconds(4e6, 4e6), 2e-3);  // reading alone is slower
  EXPECT_DOUBLE_EQ(peaks.memory_seconds(1e9, 0), 1);
}

TEST(Machine, IsMeasured) {
  const MachinePeaks peaks = measure_machine(1);
  EXPECT_GT(peaks.fma_flops, 1e8);
  EXPECT_GT(peaks.copy_bytes_per_s, 1e7);
  ASSERT_GE(peaks.bandwidths.size(), 4u);
  for (size_t i = 1; i < peaks.bandwidths.size(); ++i) {
    const MachinePeaks::Bandwidth &size = peaks.bandwidths[i], &smaller = peaks.bandwidths[i - 1];
    EXPECT_GT(size.bytes, smaller.bytes);
    EXPECT_LE(size.bytes_per_s, smaller.bytes_per_s);
    EXPECT_LE(size.read_bytes_per_s, size.bytes_per_s);
  }
  EXPECT_EQ(peaks.read_bytes_per_s, peaks.bandwidths.back().read_bytes_per_s);
}

}  // namespace
}  // namespace vigor
