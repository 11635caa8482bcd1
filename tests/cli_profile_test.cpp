// vigor profile as scripts call it.
#include <nlohmann/json.hpp>

#include "tests/support/program.h"
#include "tests/support/testing.h"
#include "train/profile/profile.h"

namespace vigor::testing {
namespace {

using Json = nlohmann::json;

class CliProfile : public ProgramTest {
 protected:
  static std::vector<std::string> call(const std::vector<std::string>& more) {
    std::vector<std::string> words = {
        "profile",   "--model", path("config.json"), "--batch-size", "2", "--seq-len", "8",
        "--threads", "1",       "--device",          "cpu"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  static Profile profile(const std::vector<std::string>& more) {
    std::vector<std::string> words = call({"--steps", "1", "--warmup", "0", "--json", "-"});
    words.insert(words.end(), more.begin(), more.end());
    const ProgramResult result = run_program(words);
    EXPECT_EQ(result.status, 0) << result.err;
    return profile_from_json(result.out, "standard output");
  }
  static bool has_phase(const Profile& profile, const std::string& name) {
    return std::any_of(profile.phases.begin(), profile.phases.end(), [&](const auto& p) { return p.name == name; });
  }
  std::string content(const std::string& name) const { return read_text(file(name), size_t{1} << 30); }
};

TEST_F(CliProfile, PrintsATableAndWritesFiles) {
  const ProgramResult result = run_program(call({"--steps", "2", "--json", file("p.json"), "--csv", file("p.csv"),
                                                 "--trace", file("p.trace"), "--report", file("p.html")}));
  ASSERT_EQ(result.status, 0) << result.err;
  for (const char* part : {"operation", "linear_cross_entropy", "layers.1", "backward", "bound by"})
    EXPECT_NE(result.out.find(part), std::string::npos) << part << "\n" << result.out;
  const Profile profile = profile_from_json(content("p.json"), "p.json");
  EXPECT_EQ(profile.steps, 2);
  EXPECT_EQ(profile.batch, 2);
  EXPECT_EQ(profile.seq, 8);
  EXPECT_EQ(profile.threads, 1);
  EXPECT_EQ(profile.mode, "train");
  EXPECT_EQ(profile.command.rfind("vigor profile --model ", 0), 0u) << profile.command;
  EXPECT_GT(profile.machine.fma_gflops, 0.1);
  EXPECT_EQ(content("p.csv").rfind("name,phase,", 0), 0u);
  EXPECT_TRUE(Json::parse(content("p.trace"))["traceEvents"].is_array());
  EXPECT_EQ(content("p.html").rfind("<!doctype html>", 0), 0u) << content("p.html").substr(0, 40);
}

TEST_F(CliProfile, TrainOptionsTakeEffect) {
  EXPECT_FALSE(has_phase(profile({}), "recompute"));
  const Profile recomputed = profile({"--recompute", "--accumulate", "2", "--dtype", "bf16"});
  EXPECT_TRUE(has_phase(recomputed, "recompute"));
  EXPECT_EQ(recomputed.dtype, "bf16");
  for (const ProfileOperation& op : recomputed.operations)
    EXPECT_TRUE(op.name != "linear_cross_entropy" || op.calls == 2) << op.calls;
  EXPECT_EQ(profile({"--layers", "3"}).layers.size(), profile({}).layers.size() + 1);
}

TEST_F(CliProfile, DataComeFromTheRealPipeline) {
  const Profile with = profile({"--data", path("stories.txt")});
  EXPECT_TRUE(has_phase(with, "data"));
  EXPECT_TRUE(std::any_of(with.operations.begin(), with.operations.end(),
                          [](const ProfileOperation& op) { return op.name == "sample_batch"; }));
}

TEST_F(CliProfile, GeneratesAnswers) {
  const Profile answers = profile({"--generate", "--prompt-tokens", "4", "--new-tokens", "3"});
  EXPECT_EQ(answers.mode, "generate");
  EXPECT_EQ(answers.seq, 7);
  EXPECT_TRUE(has_phase(answers, "forward"));
  EXPECT_FALSE(has_phase(answers, "backward"));
}

TEST_F(CliProfile, ComparesTwoProfiles) {
  for (const char* name : {"a.json", "b.json"})
    ASSERT_EQ(run_program(call({"--steps", "1", "--json", file(name)})).status, 0);
  const ProgramResult result =
      run_program({"profile", "--compare", file("a.json"), file("b.json"), "--report", file("change.html")});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_NE(result.out.find("step without the profiler"), std::string::npos) << result.out;
  EXPECT_NE(content("change.html").find("<!doctype html>"), std::string::npos);
  write("bad.json", "{\"format\": 1}");
  expect_failure({"profile", "--compare", file("a.json"), file("bad.json")}, 1, {"bad.json", "format"});
  expect_failure({"profile", "--compare", file("a.json"), file("none.json")}, 1, {"none.json"});
}

TEST_F(CliProfile, WrongCallsAreNamed) {
  expect_failure(call({"--steps", "0"}), 2, {"--steps"});
  expect_failure({"profile", "--model", path("config.json"), "--batch-size", "0"}, 2, {"batch_size"});
  expect_failure({"profile", "--model", path("config.json"), "--seq-len", "64"}, 1, {"--seq-len 64", "max_seq_len 32"});
  expect_failure(call({"--new-tokens", "3"}), 2, {"--generate"});
  expect_failure(call({"--generate", "--data", path("stories.txt")}), 2, {"--generate", "--data"});
  expect_failure(call({"--generate", "--prompt-tokens", "30", "--new-tokens", "10"}), 1, {"max_seq_len 32"});
  expect_failure(call({"--compare", "a", "b"}), 2, {"--compare"});
  expect_failure({"profile", "--compare", "a"}, 2, {"--compare"});
  expect_failure(call({"--trace", file("no/such/folder/t.json")}), 1, {"no/such/folder"});
}

TEST_F(CliProfile, RunsOnTheEmulatedDevice) {
  if (!kCudaBuild) {
    expect_failure({"profile", "--model", path("config.json"), "--device", "emulated"}, 1, {"--device emulated"});
    return;
  }
  const ProgramResult result =
      run_program({"profile", "--model", path("config.json"), "--batch-size", "1", "--seq-len", "4", "--vocab-size",
                   "64", "--steps", "1", "--warmup", "0", "--device", "emulated", "--json", "-"});
  ASSERT_EQ(result.status, 0) << result.err;
  const Profile profile = profile_from_json(result.out, "standard output");
  EXPECT_EQ(profile.device, "cuda:0");
  EXPECT_TRUE(has_phase(profile, "backward"));
  EXPECT_GT(profile.memory.peak_bytes, profile.memory.start_bytes);
  double sum = 0;
  for (const ProfileOperation& op : profile.operations) sum += op.seconds;
  EXPECT_NEAR(sum, profile.step.seconds, 1e-6 + 1e-3 * profile.step.seconds);
}

}  // namespace
}  // namespace vigor::testing
