// vigor tune, and training runs that follow what it wrote.
#include <gtest/gtest.h>
#include <omp.h>

#include <nlohmann/json.hpp>

#include "kernels/gemm/gemm_plan.h"
#include "tests/support/program.h"
#include "train/gemm_plan_file.h"

namespace vigor::testing {
namespace {

namespace fs = std::filesystem;

// Another library than our own, or our own where there is no other.
GemmBackend other_library() {
  for (GemmBackend backend : {GemmBackend::onednn, GemmBackend::cblas})
    if (is_available(backend)) return backend;
  return GemmBackend::own;
}

class TuneProgram : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    omp_set_num_threads(1);  // as the program has: machine_key() is the same
  }
  // A plan for this machine with a product of the feed-forward.
  std::string plan_file(const std::string& name) const {
    return write(name, "[" + machine_key() + "]\n32x64x16 nt " + name_of(other_library()) + "\n");
  }
  static std::string text_of(const std::string& path) { return read_text(path, 1 << 20); }
  static std::string weights_of(const std::string& out) {
    return read_text(fs::path(out) / "model.safetensors", 1 << 24);
  }
  static std::string stored_plan(const std::string& out) {
    return nlohmann::json::parse(text_of(out + "/last/run_state.json"))["gemm_plan"];
  }
  std::vector<std::string> planned_call(const std::string& out, const std::string& plan,
                                        const std::vector<std::string>& more = {}) const {
    std::vector<std::string> call = train_call(out, 4, {"--gemm-plan", plan});
    call.insert(call.end(), more.begin(), more.end());
    return call;
  }
};

TEST_F(TuneProgram, HasHelpWithExamples) {
  const ProgramResult result = run_program({"tune", "--help"});
  EXPECT_EQ(result.status, 0);
  EXPECT_NE(result.out.find("Examples:\n  vigor tune"), std::string::npos) << result.out;
}

TEST_F(TuneProgram, MeasuresTheProductsOfAStepAndKeepsOtherMachinesPlans) {
  const std::string plans = write("plans.txt", "[Some CPU, avx9, 64 threads]\n1x2x3 nt library_of_tomorrow\n");
  const std::vector<std::string> call = {
      "tune", "--model", path("config.json"), "--batch-size", "2", "--seq-len", "16", "--threads", "1", "--out", plans};
  const ProgramResult result = run_program(call);
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_NE(result.out.find("V = 3000, batch 2 x 16"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("32x64x16 nt"), std::string::npos) << result.out;    // the feed-forward of both layers
  EXPECT_NE(result.out.find("32x3000x16 nt"), std::string::npos) << result.out;  // the head
  const std::string text = text_of(plans);
  EXPECT_NE(text.find("[Some CPU, avx9, 64 threads]\n1x2x3 nt library_of_tomorrow\n"), std::string::npos) << text;
  EXPECT_NE(text.find("[" + machine_key() + "]"), std::string::npos) << text;
  EXPECT_TRUE(has_gemm_plan(plans));
  EXPECT_EQ(run_program(call).status, 0);  // once more, on what it wrote itself

  expect_failure({"tune", "--model", "i3-tiny", "--seq-len", "65"}, 2, {"--seq-len", "65", "64"});
  expect_failure({"tune", "--model", "i4"}, 1, {"i4"});
}

TEST_F(TuneProgram, ProductsMeasuredBeforeAreKept) {
  const std::string plans = file("plans.txt");
  GemmPlan plan;
  plan.set({7, 8, 9}, other_library());
  write_gemm_plan(plans, plan);
  EXPECT_EQ(read_gemm_plan(plans), plan);
  ASSERT_EQ(run_program({"tune", "--model", path("config.json"), "--seq-len", "8", "--out", plans}).status, 0);
  EXPECT_EQ(read_gemm_plan(plans).backend({7, 8, 9}), other_library());
}

TEST_F(TuneProgram, TrainingFollowsThePlanAndSaysWhich) {
  const std::string plan = plan_file("plans.txt");
  const ProgramResult by_file = run_program(planned_call(file("by_file"), plan));
  ASSERT_EQ(by_file.status, 0) << by_file.err;
  EXPECT_NE(by_file.out.find("matrix products: the plan in " + plan), std::string::npos) << by_file.out;
  EXPECT_EQ(stored_plan(file("by_file")), read_gemm_plan(plan).to_string());

  const ProgramResult off = run_program(planned_call(file("off"), "off"));
  ASSERT_EQ(off.status, 0) << off.err;
  EXPECT_NE(off.out.find("matrix products: own kernels"), std::string::npos) << off.out;
  EXPECT_EQ(stored_plan(file("off")), "");

  // The default file is the one in the cache folder.
  const fs::path cache = fs::path(std::getenv("XDG_CACHE_HOME")) / "vigor" / "gemm_plans.txt";
  EXPECT_EQ(default_gemm_plan_file(), cache);
  fs::create_directories(cache.parent_path());
  fs::copy_file(plan, cache);
  const ProgramResult by_default = run_program(train_call(file("default"), 4));
  fs::remove(cache);
  ASSERT_EQ(by_default.status, 0) << by_default.err;
  EXPECT_NE(by_default.out.find(cache.string()), std::string::npos) << by_default.out;
  EXPECT_EQ(weights_of(file("default")), weights_of(file("by_file")));
}

TEST_F(TuneProgram, AResumedRunKeepsThePlanItBeganWith) {
  const std::string plan = plan_file("plans.txt");
  ASSERT_EQ(run_program(planned_call(file("whole"), plan)).status, 0);
  ASSERT_EQ(run_program(planned_call(file("parts"), plan, {"--stop-at", "2"})).status, 0);
  write("plans.txt", "no plan any more");
  const ProgramResult resumed = run_program({"train", "--out", file("parts"), "--resume", "--threads", "1"});
  ASSERT_EQ(resumed.status, 0) << resumed.err;
  EXPECT_EQ(weights_of(file("parts")), weights_of(file("whole")));
  EXPECT_EQ(stored_plan(file("parts")), stored_plan(file("whole")));
  EXPECT_EQ(stored_plan(file("parts")).empty(), other_library() == GemmBackend::own);
}

TEST_F(TuneProgram, PlansThatCannotBeFollowedAreOneLine) {
  const std::string machine = "[" + machine_key() + "]\n";
  int runs = 0;
  const auto refused = [&](const std::string& content, const std::vector<std::string>& parts) {
    const std::string plan = write("bad.txt", content);
    std::vector<std::string> expected = parts;
    expected.push_back(plan);
    expect_failure(planned_call(file(std::to_string(++runs)), plan), 1, expected);
  };
  refused("1x2x3 nt own\n", {"line 1", "brackets"});
  refused(machine + "1x2x3 nt mkl\n", {"1x2x3 nt mkl", "must be like"});
  refused(machine + "1x2x99999999999999999999 nt own\n", {"must be like"});
  refused(machine + "-1x2x3 nt own\n", {"must be like"});
  refused(machine + std::string(1000, 'x') + "\n", {"line 2", "must be like"});
  refused(machine + "\x1b[2J nt own\n", {"must be like", "?[2J"});
  refused("[Some CPU, avx9, 64 threads]\n1x2x3 nt own\n", {"has no plan for", machine_key(), "vigor tune"});
  refused("", {"has no plan for"});
  refused(std::string(3 << 20, '\n'), {"bytes"});
  for (GemmBackend backend : kGemmBackends)
    if (!is_available(backend))
      refused(machine + "1x2x3 nt " + name_of(backend) + "\n", {"built into this program", name_of(backend)});
  expect_failure(planned_call(file("none"), file("nowhere.txt")), 1, {"nowhere.txt"});
  expect_failure(planned_call(file("none"), ""), 2, {"gemm_plan"});
  // A file that tune itself cannot read is left alone.
  expect_failure({"tune", "--model", path("config.json"), "--out", write("notes.txt", "my notes\n")}, 1, {"notes.txt"});
  EXPECT_EQ(text_of(file("notes.txt")), "my notes\n");
}

}  // namespace
}  // namespace vigor::testing
