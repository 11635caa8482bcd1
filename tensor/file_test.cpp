#include "tensor/file.h"
#include "tests/support/temporary_folder.h"

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <stdexcept>

namespace vigor {
namespace {

namespace fs = std::filesystem;

class FileTest : public ::testing::Test {
 protected:
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_)) names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }

  const vigor::testing::TemporaryFolder temporary_;
  const fs::path folder_ = temporary_.path();
};

template <class Error, class F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "the expected exception was not thrown";
  return "";
}

std::string text_of(const fs::path& path) { return read_text(path, 1 << 20); }

using Names = std::vector<std::string>;

TEST_F(FileTest, MapsWhatWasWritten) {
  write_file(folder_ / "a", "some bytes");
  const auto file = MappedFile::open(folder_ / "a");
  const auto bytes = file->bytes();
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), "some bytes");
}

TEST_F(FileTest, MappingKeepsItsContentWhileTheFileIsReplaced) {
  write_file(folder_ / "a", "old");
  const auto file = MappedFile::open(folder_ / "a");
  write_file(folder_ / "a", "new");
  EXPECT_EQ(static_cast<char>(file->bytes()[0]), 'o');
  EXPECT_EQ(text_of(folder_ / "a"), "new");
}

TEST_F(FileTest, EmptyFileMapsToNoBytes) {
  write_file(folder_ / "empty", "");
  EXPECT_TRUE(MappedFile::open(folder_ / "empty")->bytes().empty());
  EXPECT_EQ(text_of(folder_ / "empty"), "");
}

TEST_F(FileTest, ReadingErrorsNameThePath) {
  const fs::path missing = folder_ / "missing";
  const std::string expected = fmt::format("cannot open {}: No such file or directory", missing.string());
  EXPECT_EQ(message_of<std::runtime_error>([&] { MappedFile::open(missing); }), expected);
  EXPECT_EQ(message_of<std::runtime_error>([&] { read_text(missing, 10); }), expected);
  EXPECT_NE(message_of<std::invalid_argument>([&] { MappedFile::open(folder_); }).find("not a regular file"),
            std::string::npos);
  EXPECT_NE(message_of<std::runtime_error>([&] { read_text(folder_, 10); }).find("Is a directory"), std::string::npos);
}

TEST_F(FileTest, ReadTextStopsAtItsLimit) {
  write_file(folder_ / "a", "12345");
  EXPECT_EQ(read_text(folder_ / "a", 5), "12345");
  EXPECT_NE(message_of<std::invalid_argument>([&] { read_text(folder_ / "a", 4); }).find("more than the 4 bytes"),
            std::string::npos);
}

TEST_F(FileTest, NothingIsVisibleBeforeCommitAndNothingStaysWithoutIt) {
  write_file(folder_ / "a", "old");
  {
    AtomicFile file(folder_ / "a");
    file.write(std::string(1 << 20, 'x'));
    EXPECT_EQ(text_of(folder_ / "a"), "old");
    EXPECT_EQ(names().size(), 2u);
  }
  EXPECT_EQ(names(), Names{"a"});
  EXPECT_EQ(text_of(folder_ / "a"), "old");
}

TEST_F(FileTest, SmallAndLargeWritesKeepTheirOrder) {
  std::string expected;
  AtomicFile file(folder_ / "a");
  for (int i = 0; i < 300; ++i) {
    const std::string piece(static_cast<size_t>(i * i * 7), static_cast<char>('a' + i % 26));
    file.write(piece);
    expected += piece;
  }
  file.write("end");
  file.commit();
  EXPECT_TRUE(read_text(folder_ / "a", 1 << 26) == expected + "end");
}

TEST_F(FileTest, TargetThatIsNoFileIsRefused) {
  const std::string message = message_of<std::invalid_argument>([&] { AtomicFile file(folder_); });
  EXPECT_NE(message.find("is not a regular file"), std::string::npos);
  EXPECT_THROW(AtomicFile("/dev/null"), std::invalid_argument);  // a rename would replace the device
  EXPECT_THROW(AtomicFile(""), std::invalid_argument);
  write_file(folder_ / "a", "");
  EXPECT_THROW(AtomicFolder(folder_ / "a"), std::invalid_argument);
  EXPECT_THROW(AtomicFile(folder_ / "no such folder" / "a"), std::runtime_error);
}

TEST_F(FileTest, LinksAreFollowed) {
  write_file(folder_ / "real", "old");
  fs::create_symlink("real", folder_ / "link");
  write_file(folder_ / "link", "new");
  EXPECT_TRUE(fs::is_symlink(folder_ / "link"));
  EXPECT_EQ(text_of(folder_ / "real"), "new");
}

// Runs `f` in a child process, which ends with its result (or with 99 after an exception); returns the child's id.
template <class F>
pid_t in_child(F&& f) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  try {
    ::_exit(f());
  } catch (...) {
    ::_exit(99);
  }
}

int exit_code(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

TEST_F(FileTest, FullDiskIsAnErrorAndKeepsTheOldFile) {
  write_file(folder_ / "a", "old");
  const pid_t child = in_child([&] {
    std::signal(SIGXFSZ, SIG_IGN);  // the limit below then fails writes as a full disk does
    const rlimit limit{1 << 19, 1 << 19};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    try {
      AtomicFile file(folder_ / "a");
      for (int i = 0; i < 100; ++i) file.write(std::string(10000, 'x'));
      file.commit();
    } catch (const std::runtime_error& error) {
      const std::string message = error.what();
      return message.find("cannot write") == 0 && message.find("/a: File too large") != std::string::npos ? 0 : 1;
    }
    return 2;
  });
  EXPECT_EQ(exit_code(child), 0);
  EXPECT_EQ(names(), Names{"a"});
  EXPECT_EQ(text_of(folder_ / "a"), "old");
}

TEST_F(FileTest, TheNextWriterRemovesWhatAKilledOneLeft) {
  const pid_t child = in_child([&] {
    AtomicFile file(folder_ / "a");
    AtomicFolder folder(folder_ / "b");
    write_file(folder.path() / "inside", "text");
    std::_Exit(0);  // runs no destructor, as a kill does not
    return 1;
  });
  EXPECT_EQ(exit_code(child), 0);
  EXPECT_EQ(names().size(), 2u);
  write_file(folder_ / "a.tmp-by-a-user", "");
  AtomicFile other(folder_ / "a");  // a second writer at work: its lock is held
  write_file(folder_ / "a", "new");
  AtomicFolder folder(folder_ / "b");
  folder.commit();
  other.commit();
  EXPECT_EQ(names(), (Names{"a", "a.tmp-by-a-user", "b"}));
}

class AtomicFolderTest : public FileTest, public ::testing::WithParamInterface<AtomicFolder::Replace> {
 protected:
  void save(const std::string& text) {
    AtomicFolder folder(folder_ / "last", GetParam());
    write_file(folder.path() / "one", text);
    fs::create_directory(folder.path() / "inner");
    write_file(folder.path() / "inner" / "two", text);
    folder.commit();
  }
  void expect_saved(const std::string& text) {
    const fs::path found = find_folder(folder_ / "last");
    EXPECT_EQ(text_of(found / "one"), text);
    EXPECT_EQ(text_of(found / "inner" / "two"), text);
  }
};

TEST_P(AtomicFolderTest, ReplacesTheWholeFolder) {
  EXPECT_FALSE(has_folder(folder_ / "last"));
  EXPECT_THROW(find_folder(folder_ / "last"), std::runtime_error);
  save("first");
  expect_saved("first");
  write_file(folder_ / "last" / "extra", "only in the first");
  save("second");
  expect_saved("second");
  EXPECT_FALSE(fs::exists(folder_ / "last" / "extra"));
  EXPECT_EQ(names(), Names{"last"});
}

TEST_P(AtomicFolderTest, WithoutCommitNothingChanges) {
  save("first");
  {
    AtomicFolder folder(folder_ / "last", GetParam());
    write_file(folder.path() / "one", "second");
  }
  expect_saved("first");
  EXPECT_EQ(names(), Names{"last"});
}

TEST_P(AtomicFolderTest, AFolderCaughtBetweenTwoRenamesIsFoundAndReplaced) {
  save("first");
  fs::rename(folder_ / "last", folder_ / "last.tmp-previous");
  EXPECT_TRUE(has_folder(folder_ / "last"));
  expect_saved("first");
  save("second");
  expect_saved("second");
  EXPECT_EQ(names(), Names{"last"});
}

TEST_P(AtomicFolderTest, KillAtAnyMomentLeavesACompleteFolder) {
  save("0");
  for (int round = 0; round < 40; ++round) {
    const pid_t child = in_child([&] {
      for (int i = 0;; ++i) save(std::to_string(i));
      return 0;
    });
    ::usleep(static_cast<useconds_t>(500 + 731 * round % 9000));
    ::kill(child, SIGKILL);
    ASSERT_EQ(exit_code(child), -SIGKILL);
    expect_saved(text_of(find_folder(folder_ / "last") / "one"));  // both files from the same save
  }
  save("end");
  expect_saved("end");
  EXPECT_EQ(names(), Names{"last"});
}

INSTANTIATE_TEST_SUITE_P(Methods, AtomicFolderTest,
                         ::testing::Values(AtomicFolder::Replace::swap_if_possible, AtomicFolder::Replace::two_renames),
                         [](const auto& method) {
                           return method.param == AtomicFolder::Replace::two_renames ? "TwoRenames" : "Swap";
                         });

}  // namespace
}  // namespace vigor
