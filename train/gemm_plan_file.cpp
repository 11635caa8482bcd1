#include "train/gemm_plan_file.h"

#include <omp.h>

#include <fstream>
#include <map>

#include "tensor/check.h"
#include "tensor/file.h"
#include "tensor/simd.h"
#include "train/data/token_cache.h"

namespace vigor {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxFileBytes = size_t{1} << 20;
using Plans = std::map<std::string, std::string>;  // by machine, as GemmPlan::from_string() takes it

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.rfind("model name", 0) == 0 && colon != std::string::npos) return printable(line.substr(colon + 2));
  }
  return "unknown CPU";  // other architectures have no such line
}

Plans parse(std::string_view text, const fs::path& path) {
  Plans plans;
  std::string* plan = nullptr;
  for (int64_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) continue;
    if (line.size() > 2 && line.front() == '[' && line.back() == ']') {
      plan = &plans[std::string(line.substr(1, line.size() - 2))];
      continue;
    }
    check(plan != nullptr, "{}: line {}: must be the name of a machine in brackets; got \"{}\"", path.string(), number,
          printable(line));
    // Plans for other machines may name libraries that are not built in here, so a line is only kept for now; its
    // length bounds the messages about it.
    check(line.size() <= 100, "{}: line {}: must be like \"1024x512x512 tn onednn\"; got \"{}\"", path.string(), number,
          printable(line));
    if (!plan->empty()) *plan += "; ";
    *plan += line;
  }
  return plans;
}

Plans read(const fs::path& path) { return parse(read_text(path, kMaxFileBytes), path); }

GemmPlan plan_of(const std::string& text, const fs::path& path) {
  try {
    return GemmPlan::from_string(text);
  } catch (const std::invalid_argument& error) {
    fail("{}, the plan for {}: {}", path.string(), machine_key(), printable(error.what(), 300));
  }
}

}  // namespace

std::string machine_key() {
  const int threads = omp_get_max_threads();
  return fmt::format("{}, {}, {} thread{}", cpu_name(), name_of(current_isa()), threads, threads == 1 ? "" : "s");
}

fs::path default_gemm_plan_file() { return default_cache_folder() / "gemm_plans.txt"; }

bool has_gemm_plan(const fs::path& path) { return fs::exists(path) && read(path).count(machine_key()) != 0; }

GemmPlan read_gemm_plan(const fs::path& path) {
  const Plans plans = read(path);
  const auto found = plans.find(machine_key());
  check(found != plans.end(), "{}: has no plan for {}; `vigor tune` with as many --threads makes one", path.string(),
        machine_key());
  return plan_of(found->second, path);
}

void write_gemm_plan(const fs::path& path, const GemmPlan& plan) {
  Plans plans;
  if (fs::exists(path)) plans = read(path);
  plans[machine_key()] = plan.to_string();
  std::string text;
  for (const auto& [machine, products] : plans) {
    if (!text.empty()) text += '\n';
    text += "[" + machine + "]\n";
    for (size_t begin = 0; begin < products.size();) {
      const size_t end = std::min(products.find("; ", begin), products.size());
      text += products.substr(begin, end - begin) + "\n";
      begin = end + 2;
    }
  }
  if (path.has_parent_path()) fs::create_directories(path.parent_path());
  write_file(path, text);
}

ChosenGemmPlan choose_gemm_plan(const std::string& option) {
  if (option == "off") return {{}, "matrix products: own kernels"};
  const bool by_default = option == "default";
  const fs::path path = by_default ? default_gemm_plan_file() : fs::path(option);
  if (by_default && !has_gemm_plan(path))
    return {{}, "matrix products: own kernels (`vigor tune` looks for faster ones)"};
  return {read_gemm_plan(path), "matrix products: the plan in " + path.string()};
}

}  // namespace vigor
