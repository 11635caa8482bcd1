#pragma once
// Which library computes which matrix product. A plan is a plain value: the same plan gives the same choices on every
// run, so it is stored in checkpoints. Measuring happens only where tune() is called.
//
//   GemmPlan plan = tune(shapes);     // once, or GemmPlan::from_string(text of a checkpoint)
//   GemmPlanScope scope(plan);        // products of this thread follow it until the end of the scope
//
// `vigor tune` finds the shapes of a model's step with a GemmCountScope and keeps the plan in a file
// (train/gemm_plan_file.h).
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/gemm/gemm.h"

namespace vigor {

enum class GemmBackend : uint8_t { own, onednn, cblas };
inline constexpr GemmBackend kGemmBackends[] = {GemmBackend::own, GemmBackend::onednn, GemmBackend::cblas};

const char* name_of(GemmBackend backend);
bool is_available(GemmBackend backend);  // built into this program

struct GemmShape {
  int64_t m, n, k;
  Transpose transpose_a = Transpose::no;
  Transpose transpose_b = Transpose::no;
  auto operator<=>(const GemmShape&) const = default;
};
std::string to_string(
    const GemmShape& shape);  // "1024x2048x512 nt": m x n x k; n and t say whether A and B are transposed

class GemmPlan {
 public:
  GemmPlan() = default;  // every product with the own kernels

  // Throws std::invalid_argument when `backend` is not built in.
  void set(const GemmShape& shape, GemmBackend backend);
  GemmBackend backend(const GemmShape& shape) const;  // own for shapes that were never set

  // One line: "1024x2048x512 nt onednn; 512x512x1024 tn cblas".
  std::string to_string() const;
  // Throws std::invalid_argument for other text, or when it names a library that is not built in: another library
  // rounds differently, so the caller must decide to go on without it.
  static GemmPlan from_string(std::string_view text);
  bool operator==(const GemmPlan&) const = default;

 private:
  std::map<GemmShape, GemmBackend> backends_;  // only where it is not `own`
};

// Products of this thread follow `plan`, which must outlive the scope. Only f32 products go to other libraries.
class GemmPlanScope {
 public:
  explicit GemmPlanScope(const GemmPlan& plan);
  ~GemmPlanScope();
  GemmPlanScope(const GemmPlanScope&) = delete;
  GemmPlanScope& operator=(const GemmPlanScope&) = delete;

 private:
  const GemmPlan* outer_;
};

// Counts the f32 products of this thread by shape, until the end of the scope. Those of gemm_batched() are left out:
// they run side by side, one thread each, which is not how time_backends() measures.
using GemmCounts = std::map<GemmShape, int64_t>;
class GemmCountScope {
 public:
  explicit GemmCountScope(GemmCounts& counts);  // adds to it; it must outlive the scope
  ~GemmCountScope();
  GemmCountScope(const GemmCountScope&) = delete;
  GemmCountScope& operator=(const GemmCountScope&) = delete;

 private:
  GemmCounts* outer_;
};

struct GemmTiming {
  std::map<GemmBackend, double> seconds;  // of every available library
  GemmBackend choice;
};
// Times every available library with the current number of threads, in turns, so that whatever else the machine does
// strikes all of them; a few tens of milliseconds each. The choice is another one than our own only where it is at
// least 3 % faster.
GemmTiming time_backends(const GemmShape& shape);
GemmPlan tune(const std::vector<GemmShape>& shapes);  // the choices for all of them

}  // namespace vigor
