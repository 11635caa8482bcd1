// Run options, schedule, and what a run prints and writes about itself.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>

#include "tensor/file.h"
#include "tests/support/error_text.h"
#include "train/metrics/metrics_log.h"
#include "train/metrics/plot.h"
#include "train/metrics/progress.h"
#include "train/run_config.h"
#include "train/schedule.h"

namespace vigor {
namespace {

using testing::error_text;

std::string read_error(const std::string& text) {
  return error_text([&] {
    RunConfig config;
    std::set<std::string> given;
    read_run_config(text, "run.json", config, given);
  });
}

std::filesystem::path temporary_file(const std::string& name) {
  const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
  const auto folder = std::filesystem::path(::testing::TempDir()) / (std::string("vigor_") + test->name());
  std::filesystem::create_directories(folder);
  return folder / name;
}

TEST(RunConfig, ReadsEveryKindOfOption) {
  RunConfig config;
  std::set<std::string> given;
  read_run_config(R"({"model": "i3-22m", "steps": 12, "lr": 1e-3, "resume": true, "data": ["a.txt:0.5", "b"]})",
                  "run.json", config, given);
  EXPECT_EQ(config.model, "i3-22m");
  EXPECT_EQ(config.steps, 12);
  EXPECT_DOUBLE_EQ(config.lr, 1e-3);
  EXPECT_TRUE(config.resume);
  EXPECT_EQ(config.data, (std::vector<std::string>{"a.txt:0.5", "b"}));
  EXPECT_EQ(given, (std::set<std::string>{"model", "steps", "lr", "resume", "data"}));
  EXPECT_EQ(config.batch_size, 4);  // untouched
}

TEST(RunConfig, NamesUnknownKeysAndWrongTypesAllAtOnce) {
  const std::string error = read_error(R"({"bach_size": 3, "steps": "ten", "data": "a.txt", "lr": 1})");
  EXPECT_NE(error.find("run.json"), std::string::npos) << error;
  EXPECT_NE(error.find("unknown key 'bach_size' (nearest: 'batch_size')"), std::string::npos) << error;
  EXPECT_NE(error.find("'steps' must be a whole number; got string"), std::string::npos) << error;
  EXPECT_NE(error.find("'data' must be a list of strings; got string"), std::string::npos) << error;
  EXPECT_EQ(error.find("'lr'"), std::string::npos) << error;
  EXPECT_EQ(error.find('\n'), std::string::npos) << "one line: " << error;
}

TEST(RunConfig, RefusesWhatIsNotAnObject) {
  EXPECT_NE(read_error("[1, 2]").find("must be a JSON object"), std::string::npos);
  EXPECT_NE(read_error("{\"steps\": ").find("not valid JSON"), std::string::npos);
  EXPECT_NE(read_error("{\"steps\": 18446744073709551615}").find("'steps' must be"), std::string::npos);
}

TEST(RunConfig, ChecksRangesAndContradictions) {
  RunConfig config;
  config.steps = 0;
  config.batch_size = -1;
  config.device = "tpu";
  config.stop_at = 9;
  const std::string error = error_text([&] { check_run_config(config); });
  for (const char* expected :
       {"steps must be from 1", "batch_size must be from 1", "got tpu", "stop_at must not be above"})
    EXPECT_NE(error.find(expected), std::string::npos) << error;
  EXPECT_NO_THROW(check_run_config(RunConfig()));
}

TEST(RunConfig, ChecksWhatIsStoredInBf16) {
  RunConfig config;
  config.activations = "f16";
  config.moments = "f64";
  config.filter_gradients = 1.5;
  const std::string error = error_text([&] { check_run_config(config); });
  for (const char* expected : {"activations must be f32 or bf16; got f16", "moments must be f32 or bf16; got f64",
                               "filter_gradients must be from 0 to 1; got 1.5"})
    EXPECT_NE(error.find(expected), std::string::npos) << error;
  config = RunConfig();
  config.activations = config.dtype = "bf16";
  const std::string twice = error_text([&] { check_run_config(config); });
  EXPECT_NE(twice.find("dtype bf16 has bf16 activations already"), std::string::npos) << twice;
  config.dtype = "f32";
  config.moments = "bf16";
  config.filter_gradients = 0x1p-12;
  EXPECT_NO_THROW(check_run_config(config));
}

TEST(RunConfig, JsonRoundTrip) {
  RunConfig config;
  config.lr = 0.1;  // not exact in binary: must survive the text
  config.prompts = {"one", "two \"quoted\""};
  config.seed = 123456789012345;
  RunConfig back;
  std::set<std::string> given;
  read_run_config(to_json(config), "text", back, given);
  EXPECT_EQ(to_json(back), to_json(config));
  EXPECT_EQ(given.size(), run_options().size());
}

TEST(Schedule, WarmsUpAndFollowsTheCosine) {
  const Schedule schedule{3e-4, 0.1, 100, 5000};
  EXPECT_DOUBLE_EQ(schedule.at(0), 3e-4 * 1 / 100);
  EXPECT_DOUBLE_EQ(schedule.at(99), 3e-4);
  EXPECT_DOUBLE_EQ(schedule.at(100), 3e-4);                         // r = 0
  EXPECT_NEAR(schedule.at(2550), 3e-4 * (0.1 + 0.9 * 0.5), 1e-12);  // r = 1/2
  EXPECT_NEAR(schedule.at(4999), 3e-4 * (0.1 + 0.45 * (1 + std::cos(M_PI * 4899 / 4900))), 1e-15);
}

TEST(Schedule, ShortRunsStayFinite) {
  EXPECT_DOUBLE_EQ((Schedule{1.0, 0.1, 0, 1}.at(0)), 1.0);
  EXPECT_DOUBLE_EQ((Schedule{1.0, 0.1, 10, 5}.at(4)), 0.5);
  EXPECT_TRUE(std::isfinite(Schedule({1.0, 0.1, 5, 5}).at(5)));
}

TEST(MetricsLog, ResumeDropsLinesOfStepsThatAreRunAgain) {
  const auto path = temporary_file("metrics.jsonl");
  StepMetrics m;
  {
    MetricsLog log(path, 0);
    for (m.step = 10; m.step <= 50; m.step += 10) log.write(to_json(m));
  }
  {
    MetricsLog log(path, 30);
    m.step = 40;
    log.write(to_json(m));
  }
  std::istringstream lines(read_text(path, 1 << 20));
  std::vector<std::string> found;
  for (std::string line; std::getline(lines, line);) found.push_back(line.substr(0, 10));
  EXPECT_EQ(found, (std::vector<std::string>{"{\"step\":10", "{\"step\":20", "{\"step\":30", "{\"step\":40"}));
}

TEST(MetricsLog, NonFiniteNumbersBecomeNull) {
  StepMetrics m;
  m.loss = std::nan("");
  EXPECT_NE(to_json(m).find("\"loss\":null"), std::string::npos);
}

TEST(Progress, Texts) {
  EXPECT_EQ(Progress::duration(127.4), "2:07");
  EXPECT_EQ(Progress::duration(3753), "1:02:33");
  EXPECT_EQ(Progress::count(1234567), "1,234,567");
  EXPECT_EQ(Progress::count(999), "999");
  EXPECT_EQ(Progress::bytes(1310000000), "1.31 GB");
  EXPECT_EQ(Progress::bar(0.5, 4), "██  ");
  EXPECT_EQ(Progress::bar(1.0, 3), "███");
  EXPECT_EQ(Progress::bar(0.125, 2), "▎ ");
  EXPECT_EQ(Progress::sparkline({3, 2, 1}, 3), "█▄▁");
  EXPECT_EQ(Progress::sparkline({}, 3), "");
}

TEST(Progress, DrawsOnATerminalNowAndThenOnly) {
  int reading = -1, terminal = -1;
  ASSERT_EQ(::openpty(&reading, &terminal, nullptr, nullptr, nullptr), 0);
  ::fcntl(reading, F_SETFL, O_NONBLOCK);
  std::FILE* out = ::fdopen(terminal, "w");
  const auto start = std::chrono::steady_clock::now();
  auto progress = std::make_unique<Progress>(out, 1000);
  std::string text(1 << 16, ' ');
  size_t length = 0;
  for (int step = 1; step <= 1000; ++step) {
    StepMetrics m;
    m.step = step;
    progress->step(m);
    if (const ssize_t count = ::read(reading, text.data() + length, text.size() - length); count > 0)
      length += static_cast<size_t>(count);
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  text.resize(length);
  int drawn = 0;
  for (size_t at = text.find('\r'); at != std::string::npos; at = text.find('\r', at + 1)) ++drawn;
  EXPECT_GE(drawn, 1);
  EXPECT_LE(drawn, 1 + static_cast<int>(seconds / 0.05));
  progress.reset();
  std::fclose(out);
  ::close(reading);
}

TEST(Plot, DrawsBothCurvesAndEscapesTheTitle) {
  const auto path = temporary_file("metrics.jsonl");
  write_file(path,
             "{\"step\":10,\"loss\":3.5}\n{\"step\":20,\"loss\":2.25}\nnot json\n{\"step\":20,\"eval_loss\":2.5}\n");
  const std::string svg = training_plot_svg(path, "a < b");
  for (const char* expected : {"<svg", "a &lt; b", "loss 2.25", "held out 2.50", "<polyline", "<circle", "</svg>"})
    EXPECT_NE(svg.find(expected), std::string::npos) << expected;
}

TEST(Plot, EmptyLogIsStillAPicture) {
  const auto path = temporary_file("metrics.jsonl");
  write_file(path, "");
  EXPECT_NE(training_plot_svg(path, "nothing").find("</svg>"), std::string::npos);
}

}  // namespace
}  // namespace vigor
