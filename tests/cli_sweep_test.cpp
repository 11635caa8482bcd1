// vigor sweep as a program: what it prints, and that Ctrl-C loses nothing.
#include <fmt/core.h>

#include <chrono>
#include <thread>

#include "tests/support/program.h"

namespace vigor {
namespace {

using namespace vigor::testing;
namespace fs = std::filesystem;

class SweepProgram : public ProgramTest {
 protected:
  std::string sweep_file(int64_t steps) const {
    return write("sweep.json", fmt::format(R"({{"title": "Blocks", "steps": {}, "seeds": [1, 2],
        "train": {{"batch_size": 2, "seq_len": 16, "vocab_size": 200, "eval_every": {}, "eval_batches": 2, "log_every": 5}},
        "model": {{"model_type": "vigor_hybrid", "d_model": 8, "channel_base": 4, "head_dim": 4, "blocks": "H"}},
        "runs": [{{"name": "hybrid"}}, {{"name": "attention", "model": {{"blocks": "A"}}}}]}})",
                                           steps, steps));
  }
  std::vector<std::string> call(int64_t steps, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> words = {"sweep",        sweep_file(steps),   "--data",    path("stories.txt"),
                                      "--valid-data", path("stories.txt"), "--threads", "1",
                                      "--out",        file("out")};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
};

TEST_F(SweepProgram, ListsItsRunsWithoutRunningThem) {
  const ProgramResult result = run_program(call(4, {"--dry-run"}));
  EXPECT_EQ(result.status, 0) << result.err;
  for (const char* part : {"hybrid", "attention", "parameters", "2 seeds", "4 runs"})
    EXPECT_NE(result.out.find(part), std::string::npos) << part << "\n" << result.out;
  EXPECT_FALSE(fs::exists(file("out")));
}

TEST_F(SweepProgram, SaysWhatIsWrongInOneLine) {
  expect_failure({"sweep", write("bad.json", R"({"steps": 4, "runs": [{"name": "x", "model": "i3-tiny"}]})")}, 1,
                 {"bad.json", "x: ", "seq_len"});
  expect_failure({"sweep", file("missing.json")}, 1, {"missing.json"});
}

TEST_F(SweepProgram, CtrlCSavesAndTheSweepGoesOn) {
  {
    Program sweep(call(1'000'000));
    const fs::path metrics = file("out/runs/hybrid-seed1/metrics.jsonl");
    const auto has_lines = [&] { return fs::exists(metrics) && fs::file_size(metrics) > 0; };
    for (int i = 0; i < 3000 && !has_lines(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    sweep.send(SIGINT);
    const ProgramResult result = sweep.wait();
    EXPECT_EQ(result.status, 130) << result.err;
    EXPECT_NE(result.out.find("the same command goes on"), std::string::npos) << result.out;
  }
  EXPECT_TRUE(fs::exists(file("out/runs/hybrid-seed1/last")));
  // With other settings the half-done run begins anew instead of going on.
  const ProgramResult result = run_program(call(4));
  EXPECT_EQ(result.status, 0) << result.err;
  for (const char* part : {"| hybrid |", "| attention |", "run 4 of 4"})
    EXPECT_NE(result.out.find(part), std::string::npos) << result.out;
  const ProgramResult again = run_program(call(4));
  EXPECT_EQ(again.status, 0) << again.err;
  EXPECT_EQ(again.out.find("run 1 of 4"), std::string::npos) << "finished runs are not repeated";
}

}  // namespace
}  // namespace vigor
