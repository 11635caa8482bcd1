#pragma once
// Which library computes which matrix product. A plan is a plain value: the same plan gives the same choices on every
// run, so it is stored in checkpoints. Measuring happens only where tune() is called.
//
//   GemmPlan plan = tune(shapes);     // once, or GemmPlan::from_string(text of a checkpoint)
//   GemmPlanScope scope(plan);        // products of this thread follow it until the end of the scope
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/gemm/gemm.h"

namespace vigor {

enum class GemmBackend : uint8_t { own, onednn, cblas };

const char* name_of(GemmBackend backend);
bool is_available(GemmBackend backend);  // built into this program

struct GemmShape {
  int64_t m, n, k;
  Transpose transpose_a = Transpose::no;
  Transpose transpose_b = Transpose::no;
  auto operator<=>(const GemmShape&) const = default;
};

class GemmPlan {
 public:
  GemmPlan() = default;  // every product with the own kernels

  // Throws std::invalid_argument when `backend` is not built in.
  void set(const GemmShape& shape, GemmBackend backend);
  GemmBackend backend(const GemmShape& shape) const;  // own for shapes that were never set

  // One line: "1024x2048x512 nt onednn; 512x512x1024 tn cblas". n and t say whether A and B are transposed.
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

// Times every available library on each shape with the current number of threads (a few tens of milliseconds each)
// and takes another one than our own only where it is at least 3 % faster.
GemmPlan tune(const std::vector<GemmShape>& shapes);

}  // namespace vigor
