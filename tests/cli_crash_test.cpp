// Runs that end badly: Ctrl-C, kill -9 at any moment, a full disk. What was saved must load, and nothing half-written
// may stay.
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/stat.h>

#include <chrono>
#include <functional>
#include <thread>

#include "tests/support/program.h"
#include "train/checkpoint.h"

namespace vigor::testing {
namespace {

namespace fs = std::filesystem;

void sleep_ms(double ms) { std::this_thread::sleep_for(std::chrono::duration<double, std::milli>(ms)); }

// Waits, at most a minute, until `done`.
bool wait_for(const std::function<bool()>& done) {
  for (int i = 0; i < 30'000 && !done(); ++i) sleep_ms(2);
  return done();
}

// Changes whenever a folder of this name is replaced.
ino_t identity(const fs::path& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? status.st_ino : 0;
}

std::vector<std::string> temporaries(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.path().filename().string().find(".tmp-") != std::string::npos) names.push_back(entry.path().string());
  return names;
}

class Crash : public ProgramTest {
 protected:
  void expect_talks(const std::string& folder) const {
    const ProgramResult result =
        run_program({"generate", "--model", folder, "--prompt", "a dog", "--max-new-tokens", "3", "--threads", "1"});
    EXPECT_EQ(result.status, 0) << result.err;
  }
};

TEST_F(Crash, CtrlCSavesAndTheRunGoesOn) {
  for (const int signal : {SIGINT, SIGTERM}) {
    const std::string out = file("run" + std::to_string(signal));
    Program run(train_call(out, 1'000'000, {"--save-every", "0"}));
    ASSERT_TRUE(
        wait_for([&] { return fs::exists(out + "/metrics.jsonl") && fs::file_size(out + "/metrics.jsonl") > 0; }));
    run.send(signal);
    const ProgramResult result = run.wait();
    EXPECT_EQ(result.status, 130) << result.err;
    EXPECT_NE(result.out.find("--resume"), std::string::npos) << result.out;
    expect_talks(out);

    const int64_t step = read_run_state(fs::path(out) / "last").step;
    EXPECT_GT(step, 0);
    const ProgramResult resumed =
        run_program({"train", "--out", out, "--resume", "--stop-at", std::to_string(step + 2)});
    EXPECT_EQ(resumed.status, 0) << resumed.err;
    EXPECT_EQ(read_run_state(fs::path(out) / "last").step, step + 2);
  }
}

// The run saves after every step, and steps are short: most kills fall into a save. Each continues the one before.
TEST_F(Crash, KilledAtAnyMomentTheNewestCheckpointIsWhole) {
  const std::string out = file("run");
  int64_t step = 0;
  for (int round = 0; round < 12; ++round) {
    const ino_t before = identity(out + "/last");
    {
      Program run(round == 0 ? train_call(out, 1'000'000, {"--save-every", "1"})
                             : std::vector<std::string>{"train", "--out", out, "--resume", "--save-every", "1"});
      ASSERT_TRUE(wait_for([&] { return identity(out + "/last") != before; })) << "no checkpoint was written";
      sleep_ms(1.7 * round);
      run.send(SIGKILL);
      EXPECT_EQ(run.wait().status, 128 + SIGKILL);
    }
    const Checkpoint newest =
        find_checkpoint(out, [](const std::string& warning) { ADD_FAILURE() << "a damaged checkpoint: " << warning; });
    EXPECT_GE(newest.state.step, step) << "a finished checkpoint was lost";
    step = newest.state.step;
    expect_talks(out);
  }
  const ProgramResult last = run_program({"train", "--out", out, "--resume", "--stop-at", std::to_string(step + 1)});
  EXPECT_EQ(last.status, 0) << last.err;
  EXPECT_EQ(temporaries(out), std::vector<std::string>()) << "left over from killed runs";
}

TEST_F(Crash, AFullDiskLeavesNothingHalfWritten) {
  const ProgramOptions full{.max_file_bytes = 9000};  // enough for what is tokenised, too little for weights
  expect_failure({"convert", model(), file("copy")}, 1, {"cannot write", "copy"}, full);
  expect_failure({"eval", "--model", model(), "--ids", write("ids.json", "[[1, 2, 3, 4, 5, 6, 7, 8, 9]]"),
                  "--save-logits", file("l.safetensors")},
                 1, {"cannot write", "l.safetensors"}, full);
  EXPECT_FALSE(fs::exists(file("copy")));
  EXPECT_FALSE(fs::exists(file("l.safetensors")));

  const std::string out = file("run");
  EXPECT_EQ(run_program(train_call(out, 20, {"--stop-at", "2"})).status, 0);
  expect_failure({"train", "--out", out, "--resume", "--stop-at", "4"}, 1, {"cannot write"}, full);
  EXPECT_EQ(find_checkpoint(out, [](const std::string& warning) { ADD_FAILURE() << warning; }).state.step, 2);
  expect_talks(out);
  EXPECT_EQ(temporaries(folder_), std::vector<std::string>());
}

TEST_F(Crash, OutputThatCannotBeWrittenIsAFailedRun) {
  const ProgramOptions full{.out_path = "/dev/full"};
  expect_failure({"info", "--model", "i3-80m", "--json"}, 1, {"standard output"}, full);
  expect_failure({"generate", "--model", model(), "--prompt", "a dog"}, 1, {"standard output"}, full);
  expect_failure({"tokenize", "--model", model(), "--json"}, 1, {"standard output"}, full);
}

// A person at a terminal: a marker, an answer, Ctrl-D.
TEST_F(Crash, TalkingAtATerminal) {
  int terminal = -1;
  const pid_t child = ::forkpty(&terminal, nullptr, nullptr, nullptr);
  if (child == 0) {
    ::execl(VIGOR_PROGRAM, "vigor", "generate", "--model", model().c_str(), "--max-new-tokens", "5", nullptr);
    ::_exit(127);
  }
  ASSERT_GT(child, 0);
  std::string screen;
  const auto read_until = [&](const std::string& wanted, size_t from) {
    char block[512];
    while (screen.find(wanted, from) == std::string::npos) {
      const ssize_t count = ::read(terminal, block, sizeof block);
      if (count <= 0) return false;
      screen.append(block, static_cast<size_t>(count));
    }
    return true;
  };
  EXPECT_TRUE(read_until("> ", 0)) << screen;
  ASSERT_EQ(::write(terminal, "a dog\n", 6), 6);
  EXPECT_TRUE(read_until("\n> ", screen.size())) << screen;
  ASSERT_EQ(::write(terminal, "\x04", 1), 1);
  int state = 0;
  ::waitpid(child, &state, 0);
  EXPECT_TRUE(WIFEXITED(state) && WEXITSTATUS(state) == 0) << screen;
  ::close(terminal);
}

}  // namespace
}  // namespace vigor::testing
