// What check_program says of programs built rightly and wrongly, and of damaged files.
#include "kernels/emulator/program_check.h"

#include <gtest/gtest.h>

#include <algorithm>

#include <cstdlib>
#include <fstream>
#include <random>

#include "kernels/emulator/elf_file.h"

namespace vigor::emulator {
namespace {

namespace fs = std::filesystem;

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

class BuiltProgram : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("program_check_test_" + std::to_string(std::random_device{}()));
    fs::create_directories(folder_);
    std::ofstream(folder_ / "a.cu") << "__global__ void k(int* x) { *x = 1; }\n"
                                       "int main() { k<<<1, 1>>>(nullptr); return cudaDeviceSynchronize(); }\n";
  }
  void TearDown() override { fs::remove_all(folder_); }

  ProgramCheck built_with(const std::string& flags) {
    const std::string command =
        std::string(NVCC) + " " + flags + " " + (folder_ / "a.cu").string() + " -o " + (folder_ / "a").string();
    EXPECT_EQ(0, std::system(command.c_str())) << command;
    return check_program(folder_ / "a", STANDINS);
  }

  fs::path folder_;
};

TEST_F(BuiltProgram, TheRightFlagsLeaveNoProblem) {
  const ProgramCheck check = built_with(
      "-cudart shared -gencode arch=compute_80,code=compute_80 -gencode arch=compute_80,code=sm_80 -no-compress");
  EXPECT_EQ("", joined(check.problems));
  EXPECT_EQ(std::vector<int>{80}, check.ptx_architectures);
  EXPECT_EQ(std::vector<std::string>{"libcudart.so.13"}, check.cuda_libraries);
}

TEST_F(BuiltProgram, WrongFlagsAreNamed) {
  // nvcc's defaults: the runtime in the program, its PTX compressed.
  const std::string defaults = joined(built_with("-arch=compute_80 -code=sm_80,compute_80").problems);
  EXPECT_NE(std::string::npos, defaults.find("-cudart shared")) << defaults;
  EXPECT_NE(std::string::npos, defaults.find("compute_80) is compressed; build with nvcc -no-compress")) << defaults;
  const std::string machine_code =
      joined(built_with("-cudart shared -gencode arch=compute_80,code=sm_80 -no-compress").problems);
  EXPECT_NE(std::string::npos, machine_code.find("machine code only (sm_80)")) << machine_code;
  EXPECT_NE(std::string::npos, machine_code.find("code=compute_80")) << machine_code;
  const std::string relocatable =
      joined(built_with("-cudart shared -rdc=true -gencode arch=compute_80,code=compute_80 -no-compress").problems);
  EXPECT_NE(std::string::npos, relocatable.find("-rdc=true")) << relocatable;
}

TEST(ProgramCheckTest, TheTestProgramsOfTheStandInsPass) {
  EXPECT_EQ("", joined(check_program(PROGRAM, STANDINS).problems));
  const ProgramCheck products = check_program(PRODUCTS_PROGRAM, STANDINS);
  EXPECT_EQ("", joined(products.problems));
  EXPECT_EQ((std::vector<std::string>{"libcublasLt.so.13", "libcudart.so.13"}), [&] {
    auto sorted = products.cuda_libraries;
    std::sort(sorted.begin(), sorted.end());
    return sorted;
  }());
}

TEST(ProgramCheckTest, OtherFilesAreErrors) {
  EXPECT_THROW(check_program("/nowhere", STANDINS), std::runtime_error);
  EXPECT_THROW(check_program(STANDINS, STANDINS), std::runtime_error);  // a folder
  EXPECT_THROW(check_program(__FILE__, STANDINS), std::runtime_error);
}

// Every offset of the file is damaged somewhere: no crash, whatever is found.
TEST(ProgramCheckTest, DamagedFilesAreErrorsOrLists) {
  std::ifstream in(PROGRAM, std::ios::binary);
  const std::string good((std::istreambuf_iterator<char>(in)), {});
  ASSERT_GT(good.size(), 4096u);
  const fs::path damaged = fs::temp_directory_path() / ("damaged_" + std::to_string(std::random_device{}()));
  std::mt19937 random(1);
  // Headers, section table and device code are where numbers steer the reader.
  const size_t section_table = [&] {
    uint64_t offset;
    std::copy_n(good.data() + 40, sizeof offset, reinterpret_cast<char*>(&offset));
    return static_cast<size_t>(offset);
  }();
  const size_t container = good.find(std::string("\x50\xed\x55\xba", 4));
  ASSERT_NE(std::string::npos, container);
  for (int round = 0; round < 60; ++round) {
    std::string bad = good;
    const size_t starts[] = {0, section_table, container, random() % good.size()};
    for (int change = 0; change < 8; ++change) {
      const size_t at = starts[static_cast<size_t>(round) % 4] + random() % 256;
      if (at < bad.size()) bad[at] = static_cast<char>(random() % 3 == 0 ? 0xff : random());
    }
    if (round % 5 == 0) bad.resize(random() % bad.size());
    std::ofstream(damaged, std::ios::binary) << bad;
    try {
      check_program(damaged, STANDINS);
    } catch (const std::runtime_error&) {
    }
  }
  fs::remove(damaged);
}

}  // namespace
}  // namespace vigor::emulator
