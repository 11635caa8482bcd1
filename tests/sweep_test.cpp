// Sweeps: what a file may say, finished and interrupted runs, the report.
#include <gtest/gtest.h>

#include "models/families.h"
#include "tensor/file.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/testing.h"
#include "train/data/story_generator.h"
#include "train/sweep/sweep.h"
#include "train/sweep/sweep_report.h"
#include "train/trainer.h"

namespace vigor {
namespace {

namespace fs = std::filesystem;
using testing::expect_error;

const char* const kModel =
    R"({"model_type": "vigor_hybrid", "d_model": 8, "blocks": "A H", "channel_base": 4, "head_dim": 4,)"
    R"( "hybrid_d_state": 2, "mup_base_width": 4})";  // muP: two groups of parameters
const char* const kTrain = R"({"batch_size": 2, "seq_len": 8, "warmup": 1, "vocab_size": 60, "eval_every": 2,)"
                           R"( "eval_batches": 2, "lr": 0.01})";

class SweepTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string text;
    for (uint64_t i = 0; i < 30; ++i) text += generate_story(5, i) + "\n<|endoftext|>\n";
    write_file(path("train.txt"), text);
    write_file(path("valid.txt"), generate_story(5, 100) + generate_story(5, 101));
    common_.data = {path("train.txt").string()};
    common_.valid_data = {path("valid.txt").string()};
    common_.cache_dir = path("cache").string();
    common_.threads = 1;
  }

  fs::path path(const std::string& name) const { return folder_.path() / name; }
  SweepPlan plan(const std::string& text) const {
    write_file(path("sweep.json"), text);
    return read_sweep_plan(path("sweep.json"), common_, {"data", "valid_data", "cache_dir", "threads"});
  }
  // Two models with two seeds, four steps each.
  SweepPlan small_plan(const std::string& train = kTrain) const {
    return plan(fmt::format(R"({{"title": "two", "steps": 4, "seeds": [1, 2], "train": {}, "model": {},
        "runs": [{{"name": "one"}}, {{"name": "two: S/A", "model": {{"blocks": "A A"}}}}]}})",
                            train, kModel));
  }
  std::string result(const std::string& id) const { return read_text(path("out/runs/" + id + "/result.json"), 100000); }

  testing::TemporaryFolder folder_;
  RunConfig common_;
};

TEST_F(SweepTest, ExpandsRunsAndGrids) {
  const SweepPlan p = plan(fmt::format(R"({{"tokens": 100, "seeds": [3], "train": {}, "model": {},
      "runs": [{{"name": "a", "values": {{"kind": 1}}}}, {{"name": "b", "model": {{"blocks": "A"}}}}],
      "grid": {{"model.mup_base_width": [4, null], "train.lr": [0.001, 0.1]}}}})",
                                       kTrain, kModel));
  ASSERT_EQ(p.entries.size(), 8u);
  EXPECT_EQ(p.entries[0].name, "a mup_base_width=4 lr=0.001");
  EXPECT_EQ(p.entries[0].id, "a_mup_base_width_4_lr_0.001");
  EXPECT_EQ(p.entries[7].name, "b mup_base_width=none lr=0.1");
  EXPECT_EQ(p.entries[0].values.at("train.lr"), "0.001");
  EXPECT_EQ(p.entries[0].values.at("values.kind"), "1");
  EXPECT_DOUBLE_EQ(p.entries[7].config.lr, 0.1);
  EXPECT_EQ(p.entries[0].config.steps, 100 / 16);
  EXPECT_FALSE(p.entries[0].config.tensorboard);
  const auto config = model_config_of(p.entries[7]);
  EXPECT_EQ(config->layer_count(), 1);
  EXPECT_EQ(config->vocab_size, 60) << "from train.vocab_size";
  EXPECT_EQ(config->max_seq_len, 8) << "from train.seq_len";
  EXPECT_EQ(config->to_json().find("mup_base_width"), std::string::npos);
  EXPECT_EQ(p.entries[7].parameters, make_model(*config)->parameter_count());
  const SweepPlan preset = plan(R"({"steps": 2, "train": {"seq_len": 8}, "runs": [{"model": "i3-tiny"}]})");
  EXPECT_EQ(preset.entries[0].name, "i3-tiny");
  const SweepPlan number = plan(R"({"title": 2026, "steps": 2, "train": {"seq_len": 8}, "plots": [{"x": "values.s"}],
      "runs": [{"model": "i3-tiny", "values": {"s": 1}}]})");
  EXPECT_EQ(number.title, "2026");
  EXPECT_EQ(number.plots[0].title, "2026") << "a plot without a title has the sweep's";
}

TEST_F(SweepTest, NamesAllThatIsWrongBeforeAnythingRuns) {
  expect_error(
      [&] {
        plan(fmt::format(R"({{"stepz": 4, "steps": 4, "seeds": [1, 1], "train": {}, "model": {}, "runs": [
        {{"name": "typo", "train": {{"learning_rate": 1}}}}, {{"name": "long", "train": {{"seq_len": 9}},
        "model": {{"max_seq_len": 8}}}}, {{"name": "letter", "model": {{"blocks": "A Q"}}}},
        {{"name": "own", "train": {{"out": "x"}}}}, {{"name": "missing", "model": "no/such/folder"}}]}})",
                         kTrain, kModel));
      },
      {"sweep.json", "unknown key stepz", "seeds must be", "typo: ", "learning_rate", "long: ", "max_seq_len",
       "letter: ", "\"Q\"", "own: ", "train.out is set by the sweep", "missing: ", "no/such/folder"});
  const auto with = [&](const std::string& more) {
    return [=, this] { plan(fmt::format(R"({{"train": {}, "model": {}, {}}})", kTrain, kModel, more)); };
  };
  expect_error(with(R"("title": "x")"), {"exactly one of steps and tokens"});
  expect_error(with(R"("steps": 3)"), {"eval_every must divide the 3 steps"});
  expect_error(with(R"("steps": 4, "runs": [{"name": "a"}, {"name": "a"}])"), {"a: another run has the same name"});
  expect_error(with(R"("steps": 4, "runs": [{"name": "a"}, {"name": "b", "train": {"batch_size": 3}}])"),
               {"same number of tokens", "64, 96"});
  expect_error(with(R"("steps": 4, "grid": {"lr": [1]})"), {"grid", "\"model.KEY\" or \"train.KEY\"", "lr"});
  expect_error(with(R"("steps": 4, "plots": [{"x": "train.lr"}])"), {"plot 1", "not every run has a value train.lr"});
  expect_error(with(R"("steps": 4, "plots": [{"x": "values.a", "file": "../a"}], "runs": [{"values": {"a": 1}}])"),
               {"file must be a name"});
  expect_error([&] { plan("[1]"); }, {"JSON object"});
  EXPECT_FALSE(fs::exists(path("out")));
}

TEST_F(SweepTest, RunsOnceAndReports) {
  const SweepPlan p = small_plan();
  ASSERT_EQ(run_sweep(p, path("out")), 0);
  for (const char* name :
       {"table.md", "table.csv", "results.json", "loss_by_tokens.svg", "loss_by_seconds.svg", "loss_by_parameters.svg"})
    EXPECT_TRUE(fs::exists(path("out") / name)) << name;
  const std::string table = read_text(path("out/table.md"), 100000);
  EXPECT_NE(table.find("| two: S/A |"), std::string::npos) << table;
  EXPECT_NE(table.find(" ± "), std::string::npos) << table;
  EXPECT_FALSE(fs::exists(path("out/runs/one-seed1/last"))) << "weights are not kept";
  const std::string kept = result("one-seed1"), other_seed = result("one-seed2");
  EXPECT_NE(kept, other_seed);

  // The second time only what is missing is run, with the same result.
  const auto losses = [](const std::optional<SweepResult>& r) {
    std::vector<double> found;
    for (const SweepPoint& point : r->curve) found.push_back(point.loss);
    return found;
  };
  const fs::path missing = path("out/runs/two__S_A-seed2/result.json");
  const std::vector<double> before = losses(read_result(missing));
  ASSERT_EQ(before.size(), 2u);
  fs::remove(missing);
  const auto written = fs::last_write_time(path("out/runs/one-seed1/result.json"));
  ASSERT_EQ(run_sweep(p, path("out")), 0);
  EXPECT_EQ(losses(read_result(missing)), before);
  EXPECT_EQ(fs::last_write_time(path("out/runs/one-seed1/result.json")), written);

  // Other settings are another sweep.
  std::string changed = kTrain;
  changed.replace(changed.find("0.01"), 4, "0.02");
  expect_error([&] { run_sweep(small_plan(changed), path("out")); }, {"one-seed1", "other settings"});
}

// A run that stopped at step 2 of 4 goes on from its checkpoint, and ends as one that never stopped.
TEST_F(SweepTest, ContinuesAnInterruptedRun) {
  const SweepPlan p = small_plan();
  ASSERT_EQ(run_sweep(p, path("whole")), 0);
  const SweepEntry& entry = p.entries[0];
  RunConfig config = entry.config;
  config.model = path("whole/models/one.json").string();
  config.out = path("out/runs/one-seed1").string();
  config.stop_at = 2;
  ASSERT_EQ(train(config, {"model", "out", "steps"}), 0);
  write_file(path("out/runs/one-seed1/fingerprint"), fingerprint_of(entry, 1));
  ASSERT_EQ(run_sweep(p, path("out")), 0);
  const auto whole = read_result(path("whole/runs/one-seed1/result.json"));
  const auto resumed = read_result(path("out/runs/one-seed1/result.json"));
  ASSERT_EQ(resumed->curve.size(), 2u) << "both evaluations, one of them before the interruption";
  EXPECT_EQ(resumed->curve.back().loss, whole->curve.back().loss);
  EXPECT_EQ(resumed->curve.back().tokens, 64);
  EXPECT_GT(resumed->curve.back().seconds, resumed->curve.front().seconds);
}

SweepResult made_up(double loss) {
  SweepResult r;
  r.parameters = 1000;
  r.block_parameters = 600;
  r.curve = {{50, 0.5, loss + 1}, {100, 1.0, loss}};
  return r;
}

TEST_F(SweepTest, ComparesBySeed) {
  const SweepPlan p = small_plan();
  SweepResults results(2, std::vector<std::optional<SweepResult>>(2));
  results[0] = {made_up(2.0), made_up(3.0)};
  results[1] = {made_up(2.1), made_up(3.3)};
  const std::string table = sweep_table(p, results);
  EXPECT_NE(table.find("| one | 1,000 | 600 | 100 | 1.0 | 2.5000 ± 0.7071 |  |"), std::string::npos) << table;
  // Differences 0.1 and 0.3: mean 0.2, deviation 0.1414, divided by the root of 2.
  EXPECT_NE(table.find("2.7000 ± 0.8485 | +0.2000 ± 0.1000 |"), std::string::npos) << table;
  SweepResult failed;
  failed.failure = "the loss is not finite";
  results[1] = {failed, std::nullopt};
  EXPECT_NE(sweep_table(p, results).find("not finite"), std::string::npos);
  write_sweep_report(folder_.path(), p, results);
  EXPECT_NE(read_text(path("results.json"), 100000).find("the loss is not finite"), std::string::npos);
}

TEST_F(SweepTest, EstimatesTheTimeOfARun) { EXPECT_GT(estimate(small_plan().entries[0]).seconds, 0); }

TEST(SweepSpread, IsTheSampleDeviation) {
  const Spread s = spread_of({1, 2, 3, 6});
  EXPECT_DOUBLE_EQ(s.mean, 3);
  EXPECT_DOUBLE_EQ(s.deviation, std::sqrt(14.0 / 3));
  EXPECT_EQ(spread_of({5}).deviation, 0);
}

}  // namespace
}  // namespace vigor
