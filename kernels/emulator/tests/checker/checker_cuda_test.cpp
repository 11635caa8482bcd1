// Every kind of fault, one small kernel each (faulty_kernels.cu): the report must name the kind, the kernel and the
// source lines of both parties. Kernels that are right must run without a report, whatever the order of the warps.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

namespace {

struct Outcome {
  int status = 0;
  std::string output;  // both streams
};

Outcome run(const std::string& arguments) {
  Outcome outcome;
  std::FILE* pipe = popen((std::string(FAULTY_KERNELS) + " " + arguments + " 2>&1").c_str(), "r");
  std::array<char, 4096> buffer;
  size_t count;
  while ((count = fread(buffer.data(), 1, buffer.size(), pipe)) > 0) outcome.output.append(buffer.data(), count);
  const int status = pclose(pipe);
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

// "faulty_kernels.cu:42" of the line that ends with this comment; empty: there is none.
std::string line_of(const std::string& comment) {
  std::ifstream source(FAULTY_KERNELS_SOURCE);
  std::string text;
  for (int line = 1; std::getline(source, text); ++line) {
    if (text.ends_with("// " + comment)) return "faulty_kernels.cu:" + std::to_string(line);
  }
  return {};
}

struct Fault {
  const char* name;
  const char* report;  // what it must contain
  const char* error;   // that CUDA gives back
};
void PrintTo(const Fault& fault, std::ostream* out) { *out << fault.name; }

class FaultyKernel : public ::testing::TestWithParam<Fault> {};

TEST_P(FaultyKernel, IsReported) {
  const Fault fault = GetParam();
  const Outcome outcome = run(fault.name);
  EXPECT_EQ(outcome.status, 3);
  EXPECT_NE(outcome.output.find(fault.report), std::string::npos);
  EXPECT_NE(outcome.output.find(fault.error), std::string::npos);
  EXPECT_NE(outcome.output.find(fault.name), std::string::npos) << "kernel";
  const std::string line = line_of(std::string("fault: ") + fault.name);
  ASSERT_FALSE(line.empty());
  EXPECT_NE(outcome.output.find(line), std::string::npos) << line;
  if (const std::string other = line_of(std::string("other: ") + fault.name); !other.empty()) {
    EXPECT_NE(outcome.output.find(other), std::string::npos) << other;
  }
  if (HasFailure()) std::printf("%s", outcome.output.c_str());
}

constexpr const char* kIllegal = "cudaErrorIllegalAddress";
constexpr const char* kMisaligned = "cudaErrorMisalignedAddress";
constexpr const char* kFailure = "cudaErrorLaunchFailure";

INSTANTIATE_TEST_SUITE_P(
    Checker, FaultyKernel,
    ::testing::Values(
        Fault{"global_write_past_end", "out of bounds", kIllegal},
        Fault{"global_read_before_begin", "out of bounds", kIllegal}, Fault{"read_freed", "that was freed", kIllegal},
        Fault{"null_pointer", "a null pointer", kIllegal}, Fault{"shared_past_end", "out of bounds", kIllegal},
        Fault{"local_past_end", "out of bounds", kIllegal}, Fault{"global_misaligned", "misaligned:", kMisaligned},
        Fault{"shared_misaligned", "misaligned:", kMisaligned},
        Fault{"global_uninitialised", "uninitialised: read of global memory", kFailure},
        Fault{"shared_uninitialised", "uninitialised: read of shared memory", kFailure},
        Fault{"local_uninitialised", "uninitialised: read of local memory", kFailure},
        Fault{"missing_barrier", "race within a block in shared memory", kFailure},
        Fault{"missing_second_barrier", "race within a warp in shared memory", kFailure},
        Fault{"missing_syncwarp", "race within a warp in shared memory", kFailure},
        Fault{"different_values", "race within a warp in shared memory", kFailure},
        Fault{"global_race_in_block", "race within a block in global memory", kFailure},
        Fault{"missing_atomic", "race between blocks in global memory", kFailure},
        Fault{"atomic_and_plain", "race between blocks in global memory", kFailure},
        Fault{"missing_fence", "race between blocks in global memory", kFailure},
        Fault{"divergent_barrier", "divergent barrier", kFailure}, Fault{"shuffle_without_lanes", "deadlock", kFailure},
        Fault{"shuffle_from_exited_lane", "shuffle from an inactive lane", kFailure},
        Fault{"barrier_in_warp", "deadlock", kFailure},
        Fault{"missing_wait", "early read: cp.async data read before its wait", kFailure}),
    [](const auto& parameter) { return std::string(parameter.param.name); });

class RefusedCall : public ::testing::TestWithParam<Fault> {};

TEST_P(RefusedCall, SaysWhy) {
  const Outcome outcome = run(GetParam().name);
  EXPECT_EQ(outcome.status, 3);
  EXPECT_NE(outcome.output.find(GetParam().report), std::string::npos);
  EXPECT_NE(outcome.output.find(GetParam().error), std::string::npos);
  if (HasFailure()) std::printf("%s", outcome.output.c_str());
}

INSTANTIATE_TEST_SUITE_P(
    Checker, RefusedCall,
    ::testing::Values(Fault{"block_too_large", "block of", "cudaErrorInvalidConfiguration"},
                      Fault{"grid_of_zero", "grid of", "cudaErrorInvalidConfiguration"},
                      Fault{"beyond_launch_bounds", "__launch_bounds__", "cudaErrorLaunchOutOfResources"},
                      Fault{"shared_without_opt_in", "cudaFuncSetAttribute", "cudaErrorInvalidValue"},
                      Fault{"shared_beyond_profile", "cudaFuncSetAttribute", "cudaErrorInvalidValue"},
                      Fault{"double_free", "that was freed", "cudaErrorInvalidValue"},
                      Fault{"invalid_free", "cudaFree refused", "cudaErrorInvalidValue"},
                      Fault{"copy_of_uninitialised", "uninitialised: copy", "cudaErrorIllegalAddress"},
                      Fault{"copy_past_end", "do not fit", "cudaErrorInvalidValue"}),
    [](const auto& parameter) { return std::string(parameter.param.name) + std::to_string(parameter.index); });

TEST(Checker, LeaksAreListedWhenAskedFor) {
  setenv("VIGOR_EMULATOR_LEAKS", "1", 1);
  const Outcome leaking = run("leak");
  EXPECT_EQ(leaking.status, 0);
  EXPECT_NE(leaking.output.find("leak: 4096 bytes"), std::string::npos) << leaking.output;
  const Outcome clean = run("clean_warp_tree");
  EXPECT_EQ(clean.output.find("leak"), std::string::npos) << clean.output;
  unsetenv("VIGOR_EMULATOR_LEAKS");
}

class CleanKernel : public ::testing::TestWithParam<const char*> {};

TEST_P(CleanKernel, RunsWithoutReport) {
  for (const char* order : {"fixed", "1", "2", "3"}) {
    setenv("VIGOR_EMULATOR_WARP_ORDER", order, 1);
    const Outcome outcome = run(GetParam());
    EXPECT_EQ(outcome.status, 0) << "order " << order;
    EXPECT_EQ(outcome.output, "") << "order " << order;
  }
  unsetenv("VIGOR_EMULATOR_WARP_ORDER");
}

INSTANTIATE_TEST_SUITE_P(Checker, CleanKernel,
                         ::testing::Values("clean_last_block", "clean_last_block_all_fence", "clean_warp_tree",
                                           "clean_half_warps", "clean_neighbours", "clean_same_value", "clean_cp_async",
                                           "clean_histogram", "clean_named_barriers", "clean_flag_in_shared"),
                         [](const auto& parameter) { return std::string(parameter.param); });

}  // namespace
