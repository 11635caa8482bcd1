// bench/run, bench/compare and bench/scaling, as a person would call them.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/program.h"
#include "tests/support/temporary_folder.h"

namespace vigor::testing {
namespace {

using Json = nlohmann::json;

class BenchScripts : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (run_program({"python3", "--version"}).status != 0) GTEST_SKIP() << "there is no python3";
  }

  static ProgramResult run(const std::string& script, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"python3", std::string(VIGOR_SOURCE_DIR) + "/bench/" + script});
    return run_program(arguments);
  }
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  std::string write(const std::string& name, const std::string& text) const {
    write_file(path(name), text);
    return path(name);
  }

  // A file of bench/run with one benchmark for each pair of seconds and spread.
  std::string file_of(const std::string& name, const std::vector<std::pair<double, double>>& times) const {
    Json benchmarks = Json::array();
    for (size_t i = 0; i < times.size(); ++i)
      benchmarks.push_back({{"program", "kernel_bench"},
                            {"name", "kernel_" + std::to_string(i)},
                            {"threads", 1},
                            {"seconds", times[i].first},
                            {"spread", times[i].second}});
    return write(name, Json{{"format", "vigor-bench-1"}, {"benchmarks", benchmarks}}.dump());
  }

 private:
  TemporaryFolder folder_;
};

TEST_F(BenchScripts, RunWritesWhatWasMeasured) {
  const std::string filter = "^rms_norm/falcon-h1-tiny-90m/f32";
  const ProgramResult result = run("run", {"--build", VIGOR_BUILD_DIR, "--program", "kernel_bench", "--filter", filter,
                                           "--samples", "2", "--threads", "1", "2", "--out", path("a.json")});
  ASSERT_EQ(result.status, 0) << result.err;
  const Json record = Json::parse(read_text(path("a.json"), 1 << 20));
  EXPECT_EQ(record["format"], "vigor-bench-1");
  for (const char* key : {"processor", "cpus", "system", "instruction_set", "compiler", "load_average"})
    EXPECT_TRUE(record["machine"].contains(key)) << key;
  ASSERT_EQ(record["benchmarks"].size(), 4u);  // forward and backward, with 1 and with 2 threads
  const Json& first = record["benchmarks"][0];
  EXPECT_EQ(first["name"], "rms_norm/falcon-h1-tiny-90m/f32/forward");
  EXPECT_EQ(first["shape"], "[4,256,512] [512]");
  EXPECT_EQ(first["threads"], 1);
  EXPECT_EQ(record["benchmarks"][3]["threads"], 2);
  EXPECT_EQ(first["samples"], 2);
  EXPECT_EQ(first["checked"], true);
  EXPECT_EQ(first["memory_bound"], true);
  EXPECT_GT(first["seconds"], 0);
  // x in, y and one number a row out, and the weight: 2 x 2 MB
  EXPECT_NEAR(first["gb_s"].get<double>() * first["seconds"].get<double>(), 4.2e-3, 0.1e-3);

  const ProgramResult same = run("compare", {path("a.json"), path("a.json"), "--fail-above", "0"});
  EXPECT_EQ(same.status, 0) << same.out << same.err;
  EXPECT_NE(same.out.find("4 compared: 0 slower, 0 faster"), std::string::npos) << same.out;
}

TEST_F(BenchScripts, RunSaysWhatIsMissing) {
  const ProgramResult result = run("run", {"--build", path("nowhere"), "--out", path("a.json")});
  EXPECT_EQ(result.status, 2);
  EXPECT_NE(result.err.find("no program at"), std::string::npos) << result.err;
  EXPECT_EQ(run("run", {}).status, 2);
}

TEST_F(BenchScripts, CompareSortsByChangeAndKnowsNoise) {
  const std::string a = file_of("a.json", {{1e-3, 0}, {1e-3, 0}, {1e-3, 0}, {1e-3, 0.3}});
  const std::string b = file_of("b.json", {{1.03e-3, 0}, {1.2e-3, 0}, {0.5e-3, 0}, {1.25e-3, 0.01}});
  const ProgramResult result = run("compare", {a, b});
  EXPECT_EQ(result.status, 0) << result.err;
  // Half the time is the largest change; 3 % and what is within its spread are not listed.
  const size_t faster = result.out.find("kernel_2"), slower = result.out.find("kernel_1");
  EXPECT_LT(faster, slower) << result.out;
  EXPECT_NE(slower, std::string::npos);
  EXPECT_EQ(result.out.find("kernel_0"), std::string::npos);
  EXPECT_EQ(result.out.find("kernel_3"), std::string::npos);
  EXPECT_NE(result.out.find("0.500  faster"), std::string::npos);
  EXPECT_NE(result.out.find("4 compared: 1 slower, 1 faster, 2 within 5 %"), std::string::npos) << result.out;
  EXPECT_NE(run("compare", {a, b, "--all"}).out.find("kernel_3"), std::string::npos);
  EXPECT_NE(run("compare", {a, b, "--noise", "2"}).out.find("kernel_0"), std::string::npos);

  EXPECT_EQ(run("compare", {a, b, "--fail-above", "10"}).status, 1);
  EXPECT_EQ(run("compare", {a, b, "--fail-above", "25"}).status, 0);
  EXPECT_EQ(run("compare", {a, b, "--fail-above", "10", "--noise", "30"}).status, 0);
}

TEST_F(BenchScripts, CompareFailsForMissingAndWrongResults) {
  const std::string a = file_of("a.json", {{1e-3, 0}, {1e-3, 0}}), b = file_of("b.json", {{1e-3, 0}});
  EXPECT_EQ(run("compare", {a, b}).status, 0);
  const ProgramResult missing = run("compare", {a, b, "--fail-above", "10"});
  EXPECT_EQ(missing.status, 1);
  EXPECT_NE(missing.out.find("only in A: kernel_1, 1 thread"), std::string::npos) << missing.out;
  EXPECT_EQ(run("compare", {b, a, "--fail-above", "10"}).status, 0);  // a new one is no failure

  const std::string wrong =
      write("wrong.json", R"({"format": "vigor-bench-1", "benchmarks": [{"program": "kernel_bench", )"
                          R"("name": "kernel_0", "threads": 1, "error": "the result is wrong"}]})");
  const ProgramResult result = run("compare", {b, wrong, "--fail-above", "10"});
  EXPECT_EQ(result.status, 1);
  EXPECT_NE(result.out.find("wrong in B: kernel_0"), std::string::npos) << result.out;
}

TEST_F(BenchScripts, CompareRefusesOtherFiles) {
  const std::string good = file_of("good.json", {{1e-3, 0}});
  for (const char* text : {"", "{", "[]", "{}", R"({"format": "other"})", R"({"format": "vigor-bench-1"})",
                           R"({"format": "vigor-bench-1", "benchmarks": [1]})"}) {
    SCOPED_TRACE(text);
    const ProgramResult result = run("compare", {good, write("bad.json", text)});
    EXPECT_EQ(result.status, 2);
    EXPECT_NE(result.err.find("bad.json is no file of bench/run"), std::string::npos) << result.err;
  }
  EXPECT_EQ(run("compare", {good, path("absent.json")}).status, 2);
  EXPECT_EQ(run("compare", {good, good, "--noise", "-1"}).status, 2);
}

TEST_F(BenchScripts, ScalingGoesOnWhereItWasCutOff) {
  const auto scaling = [&](const std::vector<std::string>& more) {
    std::vector<std::string> call = {"--build",      VIGOR_BUILD_DIR, "--model", "i3-tiny",   "--out",
                                     path("s.json"), "--threads",     "1",       "--largest", "256"};
    call.insert(call.end(), more.begin(), more.end());
    return run("scaling", call);
  };
  const ProgramResult cut_off = scaling({"--only", "length", "--limit", "0"});
  EXPECT_EQ(cut_off.status, 3) << cut_off.err;
  const ProgramResult first = scaling({"--only", "length"});
  ASSERT_EQ(first.status, 0) << first.err;
  const ProgramResult second = scaling({"--only", "length", "--only", "generation"});
  ASSERT_EQ(second.status, 0) << second.err;
  EXPECT_EQ(second.err.find("step_bench"), std::string::npos) << second.err;  // those points are there
  const Json result = Json::parse(read_text(path("s.json"), 1 << 20));
  EXPECT_EQ(result["model"], "i3-tiny");
  ASSERT_EQ(result["points"].size(), 4u);  // T 128 and 256, and the places 16 and 128
  EXPECT_EQ(result["points"][1]["options"], Json::parse(R"({"batch": 1, "seq": 256, "threads": 1})"));
  EXPECT_GT(result["points"][1]["result"]["step_s"], 0);
  EXPECT_GT(result["points"][1]["result"]["peak_rss_bytes"], 1e6);
  EXPECT_GT(result["points"][3]["result"]["tokens_per_s"], 0);

  write("s.json", "[]");
  EXPECT_EQ(scaling({}).status, 2);
}

}  // namespace
}  // namespace vigor::testing
