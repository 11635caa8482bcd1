#pragma once
// Runs the built vigor program as a person would: arguments in, exit status and both outputs back. VIGOR_PROGRAM is its
// path, from tests/CMakeLists.txt.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "tensor/file.h"
#include "train/data/story_generator.h"

namespace vigor::testing {

struct ProgramResult {
  int status = -1;  // exit status; 128 + number when a signal ended it
  std::string out{}, err{};
};

struct ProgramOptions {
  std::string input{};                    // its standard input
  std::string out_path{};                 // where its standard output goes, instead of into the result
  rlim_t max_file_bytes = RLIM_INFINITY;  // no file may grow beyond this, as on a full disk
};

// A program that is running. Its outputs go to unnamed temporary files, so it never waits for the test.
class Program {
 public:
  explicit Program(std::vector<std::string> arguments, const ProgramOptions& options = {}) {
    arguments.insert(arguments.begin(), "vigor");
    std::vector<char*> words;
    for (std::string& argument : arguments) words.push_back(argument.data());
    words.push_back(nullptr);
    for (int& file : files_) file = temporary_file();
    if (!options.out_path.empty()) out_ = ::open(options.out_path.c_str(), O_WRONLY | O_CLOEXEC);
    if (::pwrite(files_[0], options.input.data(), options.input.size(), 0) !=
        static_cast<ssize_t>(options.input.size()))
      throw std::runtime_error("test: cannot write the program's input");
    pid_ = ::fork();
    if (pid_ != 0) return;
    ::dup2(files_[0], STDIN_FILENO);
    ::dup2(out_ >= 0 ? out_ : files_[1], STDOUT_FILENO);
    ::dup2(files_[2], STDERR_FILENO);
    if (options.max_file_bytes != RLIM_INFINITY) {
      const rlimit limit{options.max_file_bytes, options.max_file_bytes};
      ::setrlimit(RLIMIT_FSIZE, &limit);
      ::signal(SIGXFSZ, SIG_IGN);  // write() fails instead
    }
    ::execv(VIGOR_PROGRAM, words.data());
    ::_exit(127);
  }
  ~Program() {
    if (pid_ > 0) {
      send(SIGKILL);
      wait();
    }
    for (const int file : files_) ::close(file);
    if (out_ >= 0) ::close(out_);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  void send(int signal) const { ::kill(pid_, signal); }
  ProgramResult wait() {
    int state = 0;
    ::waitpid(pid_, &state, 0);
    pid_ = -1;
    return {WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state), content(files_[1]), content(files_[2])};
  }

 private:
  static int temporary_file() {
    std::string name = (std::filesystem::temp_directory_path() / "vigor-test-XXXXXX").string();
    const int file = ::mkostemp(name.data(), O_CLOEXEC);
    if (file < 0) throw std::runtime_error("test: cannot make a temporary file");
    ::unlink(name.c_str());
    return file;
  }
  static std::string content(int file) {
    std::string text(static_cast<size_t>(std::max<off_t>(::lseek(file, 0, SEEK_END), 0)), '\0');
    text.resize(static_cast<size_t>(std::max<ssize_t>(::pread(file, text.data(), text.size(), 0), 0)));
    return text;
  }

  pid_t pid_ = -1;
  int out_ = -1;
  int files_[3] = {-1, -1, -1};  // standard input, output and error
};

inline ProgramResult run_program(const std::vector<std::string>& arguments, const ProgramOptions& options = {}) {
  return Program(arguments, options).wait();
}

// One line on standard error with all of `parts`, and that exit status.
inline void expect_failure(const std::vector<std::string>& arguments, int status, const std::vector<std::string>& parts,
                           const ProgramOptions& options = {}) {
  const ProgramResult result = run_program(arguments, options);
  std::string call = "vigor";
  for (const std::string& argument : arguments) call += " " + argument;
  SCOPED_TRACE(call + "\nstandard error: " + result.err);
  EXPECT_EQ(result.status, status);
  EXPECT_EQ(result.err.rfind("vigor: ", 0), 0u);
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1);
  for (const std::string& part : parts) EXPECT_NE(result.err.find(part), std::string::npos) << part;
}

// A folder of its own for each test, and one tiny model that all tests of a program share.
class ProgramTest : public ::testing::Test {
 protected:
  static constexpr int64_t kMaxSeqLen = 32;

  static void SetUpTestSuite() {
    shared_ = std::filesystem::temp_directory_path() / ("vigor-program-" + std::to_string(::getpid()));
    std::filesystem::create_directories(shared_);
    ::setenv("OMP_NUM_THREADS", "1", 1);                         // the model is too small to share out
    ::setenv("XDG_CACHE_HOME", (shared_ / "cache").c_str(), 1);  // nothing is written to the user's own
    std::string stories;
    for (uint64_t i = 0; i < 40; ++i) stories += generate_story(3, i) + "\n<|endoftext|>\n";
    write_file(shared_ / "stories.txt", stories);
    write_file(
        shared_ / "config.json",
        R"({"model_type": "i3", "vocab_size": 3000, "d_model": 16, "n_heads": 2, "max_seq_len": 32, "d_state": 4,)"
        R"( "conv_layers": 1, "attn_layers": 1})");
    const ProgramResult result = run_program(train_call(model(), 2));
    ASSERT_EQ(result.status, 0) << result.err;
  }
  static void TearDownTestSuite() { std::filesystem::remove_all(shared_); }

  void SetUp() override {
    folder_ = shared_ / ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::create_directories(folder_);
  }

  static std::vector<std::string> train_call(const std::string& out, int64_t steps,
                                             const std::vector<std::string>& more = {}) {
    std::vector<std::string> call = {"train",
                                     "--model",
                                     path("config.json"),
                                     "--data",
                                     path("stories.txt"),
                                     "--steps",
                                     std::to_string(steps),
                                     "--batch-size",
                                     "2",
                                     "--seq-len",
                                     "16",
                                     "--eval-every",
                                     "0",
                                     "--sample-every",
                                     "0",
                                     "--no-tensorboard",
                                     "--threads",
                                     "1",
                                     "--out",
                                     out};
    call.insert(call.end(), more.begin(), more.end());
    return call;
  }
  static std::string path(const std::string& name) { return (shared_ / name).string(); }  // shared by all tests
  static std::string model() { return path("model"); }
  std::string file(const std::string& name) const { return (folder_ / name).string(); }
  std::string write(const std::string& name, const std::string& content) const {
    write_file(folder_ / name, content);
    return file(name);
  }
  // The model's own files without its checkpoints, to be damaged.
  std::string copy_of_model(const std::string& name) const {
    std::filesystem::create_directories(folder_ / name);
    for (const char* part : {"config.json", "model.safetensors", "chunk_vocab_combined.json"})
      std::filesystem::copy_file(std::filesystem::path(model()) / part, folder_ / name / part);
    return file(name);
  }

  static inline std::filesystem::path shared_;
  std::filesystem::path folder_;
};

}  // namespace vigor::testing
