#include "kernels/gemm/gemm_plan.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <limits>
#include <optional>

#include "kernels/gemm/gemm_backends.h"
#include "tensor/check.h"
#include "tensor/storage.h"

namespace vigor {
namespace {

thread_local const GemmPlan* plan_in_force = nullptr;
thread_local GemmCounts* counts_in_force = nullptr;

std::string_view trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(' ');
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(' ') - begin + 1);
}

// Takes the text up to `separator` (or the end) off the front of `text`.
std::string_view take(std::string_view& text, char separator) {
  const size_t end = std::min(text.find(separator), text.size());
  const std::string_view front = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return front;
}

std::optional<int64_t> parse_size(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

std::optional<Transpose> parse_transpose(char letter) {
  if (letter == 'n') return Transpose::no;
  if (letter == 't') return Transpose::yes;
  return std::nullopt;
}

std::optional<GemmBackend> parse_backend(std::string_view name) {
  for (GemmBackend backend : kGemmBackends)
    if (name == name_of(backend)) return backend;
  return std::nullopt;
}

struct Operands {
  Storage a, b, c;

  explicit Operands(const GemmShape& s)
      : a(nbytes(s.m * s.k), kCpu), b(nbytes(s.k * s.n), kCpu), c(nbytes(s.m * s.n), kCpu) {
    std::fill_n(values(a), s.m * s.k, 0.5f);
    std::fill_n(values(b), s.k * s.n, 0.25f);
  }
  static size_t nbytes(int64_t count) { return static_cast<size_t>(count) * sizeof(float); }
  static float* values(const Storage& storage) { return reinterpret_cast<float*>(storage.data()); }
};

// Seconds of one product.
double time_once(const GemmShape& s, GemmBackend backend, const Operands& x) {
  using Clock = std::chrono::steady_clock;
  GemmPlan plan;
  plan.set(s, backend);
  const GemmPlanScope scope(plan);
  const GemmInput left(x.values(x.a), s.transpose_a == Transpose::yes ? s.m : s.k, s.transpose_a);
  const GemmInput right(x.values(x.b), s.transpose_b == Transpose::yes ? s.k : s.n, s.transpose_b);
  const auto start = Clock::now();
  gemm(s.m, s.n, s.k, left, right, {x.values(x.c), s.n});
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

const char* name_of(GemmBackend backend) {
  switch (backend) {
    case GemmBackend::onednn:
      return "onednn";
    case GemmBackend::cblas:
      return "cblas";
    case GemmBackend::own:
      break;
  }
  return "own";
}

std::string to_string(const GemmShape& s) {
  const auto letter = [](Transpose t) { return t == Transpose::yes ? 't' : 'n'; };
  return fmt::format("{}x{}x{} {}{}", s.m, s.n, s.k, letter(s.transpose_a), letter(s.transpose_b));
}

void GemmPlan::set(const GemmShape& shape, GemmBackend backend) {
  check(is_available(backend), "gemm plan: the library must be built into this program; got {}", name_of(backend));
  if (backend == GemmBackend::own) backends_.erase(shape);
  else backends_[shape] = backend;
}

GemmBackend GemmPlan::backend(const GemmShape& shape) const {
  const auto found = backends_.find(shape);
  return found == backends_.end() ? GemmBackend::own : found->second;
}

std::string GemmPlan::to_string() const {
  std::string text;
  for (const auto& [shape, backend] : backends_) {
    if (!text.empty()) text += "; ";
    text += fmt::format("{} {}", vigor::to_string(shape), name_of(backend));
  }
  return text;
}

GemmPlan GemmPlan::from_string(std::string_view text) {
  GemmPlan plan;
  text = trim(text);
  while (!text.empty()) {
    const std::string_view entry = trim(take(text, ';'));
    std::string_view rest = entry;
    std::string_view sizes = take(rest, ' ');
    const std::string_view layout = take(rest, ' ');
    const std::optional<GemmBackend> backend = parse_backend(rest);
    const std::optional<int64_t> m = parse_size(take(sizes, 'x')), n = parse_size(take(sizes, 'x'));
    const std::optional<int64_t> k = parse_size(sizes);
    if (!m || !n || !k || !backend || layout.size() != 2 || !parse_transpose(layout[0]) || !parse_transpose(layout[1]))
      fail("gemm plan: each entry must be like \"1024x2048x512 nt onednn\"; got \"{}\"", entry);
    plan.set({*m, *n, *k, *parse_transpose(layout[0]), *parse_transpose(layout[1])}, *backend);
  }
  return plan;
}

GemmPlanScope::GemmPlanScope(const GemmPlan& plan) : outer_(plan_in_force) { plan_in_force = &plan; }
GemmPlanScope::~GemmPlanScope() { plan_in_force = outer_; }

GemmBackend planned_backend(const GemmShape& shape) {
  return plan_in_force ? plan_in_force->backend(shape) : GemmBackend::own;
}

GemmCountScope::GemmCountScope(GemmCounts& counts) : outer_(counts_in_force) { counts_in_force = &counts; }
GemmCountScope::~GemmCountScope() { counts_in_force = outer_; }

void count_product(const GemmShape& shape) {
  if (counts_in_force) ++(*counts_in_force)[shape];
}

GemmTiming time_backends(const GemmShape& shape) {
  constexpr double kSeconds = 0.02, kMargin = 1.03;
  constexpr int kLeastRounds = 3, kMostRounds = 1000;
  const Operands operands(shape);
  GemmTiming timing{{}, GemmBackend::own};
  for (GemmBackend backend : kGemmBackends) {
    if (!is_available(backend)) continue;
    time_once(shape, backend, operands);  // fills the buffers
    timing.seconds[backend] = std::numeric_limits<double>::infinity();
  }
  const double enough = kSeconds * static_cast<double>(timing.seconds.size());
  double spent = 0;
  for (int round = 0; round < kLeastRounds || (spent < enough && round < kMostRounds); ++round) {
    for (auto& [backend, fastest] : timing.seconds) {
      const double seconds = time_once(shape, backend, operands);
      fastest = std::min(fastest, seconds);
      spent += seconds;
    }
  }
  double to_beat = timing.seconds.at(GemmBackend::own) / kMargin;
  for (const auto& [backend, seconds] : timing.seconds) {
    if (backend == GemmBackend::own || seconds >= to_beat) continue;
    to_beat = seconds;
    timing.choice = backend;
  }
  return timing;
}

GemmPlan tune(const std::vector<GemmShape>& shapes) {
  GemmPlan plan;
  for (const GemmShape& shape : shapes) plan.set(shape, time_backends(shape).choice);
  return plan;
}

}  // namespace vigor
