#pragma once
// Where `vigor tune` keeps which library computes which matrix product fastest, and `vigor train` looks it up. What is
// fastest depends on the machine, so one file holds a plan for each: a line in brackets names it, and the products that
// another library than our own should compute follow, one a line (kernels/gemm/gemm_plan.h).
//
//   [Intel(R) Xeon(R) Processor, avx512, 2 threads]
//   1024x512x512 tn onednn
#include <filesystem>
#include <string>

#include "kernels/gemm/gemm_plan.h"

namespace vigor {

// "Intel(R) Xeon(R) Processor, avx512, 2 threads": this CPU, the instruction set and the number of threads in use.
std::string machine_key();

// gemm_plans.txt in the user's cache folder.
std::filesystem::path default_gemm_plan_file();

// Replaces the plan of this machine, or adds it, and leaves those of others as they are.
// Errors of these two: std::invalid_argument for a file that is not of this form or whose plan for this machine cannot
// be followed here; std::runtime_error when the system refuses to read or write.
void write_gemm_plan(const std::filesystem::path& path, const GemmPlan& plan);
// Throws std::invalid_argument too when the file has none for this machine.
GemmPlan read_gemm_plan(const std::filesystem::path& path);
bool has_gemm_plan(const std::filesystem::path& path);  // the file exists and has one for this machine

struct ChosenGemmPlan {
  GemmPlan plan;
  std::string note;  // which one it is, for the user
};
// What --gemm-plan means: "off" (our own kernels for all products), "default" (default_gemm_plan_file() if that has a
// plan for this machine, else off) or a file.
ChosenGemmPlan choose_gemm_plan(const std::string& option);

}  // namespace vigor
