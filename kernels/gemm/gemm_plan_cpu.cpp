#include "kernels/gemm/gemm_plan.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <optional>

#include "kernels/gemm/gemm_backends.h"
#include "tensor/check.h"

namespace vigor {
namespace {

constexpr GemmBackend kBackends[] = {GemmBackend::own, GemmBackend::onednn, GemmBackend::cblas};
thread_local const GemmPlan* plan_in_force = nullptr;

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
  for (GemmBackend backend : kBackends)
    if (name == name_of(backend)) return backend;
  return std::nullopt;
}

// Seconds of the fastest of several runs that together take about 20 ms, after one that fills the buffers.
double seconds(const GemmShape& s, GemmBackend backend, std::vector<float>& a, std::vector<float>& b,
               std::vector<float>& c) {
  using Clock = std::chrono::steady_clock;
  GemmPlan plan;
  plan.set(s, backend);
  const GemmPlanScope scope(plan);
  const GemmInput left(a.data(), s.transpose_a == Transpose::yes ? s.m : s.k, s.transpose_a);
  const GemmInput right(b.data(), s.transpose_b == Transpose::yes ? s.k : s.n, s.transpose_b);
  gemm(s.m, s.n, s.k, left, right, {c.data(), s.n});
  double best = 1e30, total = 0;
  for (int run = 0; run < 3 || (total < 0.02 && run < 1000); ++run) {
    const auto start = Clock::now();
    gemm(s.m, s.n, s.k, left, right, {c.data(), s.n});
    const double time = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::min(best, time);
    total += time;
  }
  return best;
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
    text += fmt::format("{}x{}x{} {}{} {}", shape.m, shape.n, shape.k, shape.transpose_a == Transpose::yes ? 't' : 'n',
                        shape.transpose_b == Transpose::yes ? 't' : 'n', name_of(backend));
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

GemmPlan tune(const std::vector<GemmShape>& shapes) {
  GemmPlan plan;
  std::vector<float> a, b, c;
  for (const GemmShape& s : shapes) {
    a.assign(static_cast<size_t>(s.m * s.k), 0.5f);
    b.assign(static_cast<size_t>(s.k * s.n), 0.25f);
    c.assign(static_cast<size_t>(s.m * s.n), 0.0f);
    double to_beat = seconds(s, GemmBackend::own, a, b, c) / 1.03;
    for (GemmBackend backend : {GemmBackend::onednn, GemmBackend::cblas}) {
      if (!is_available(backend)) continue;
      const double time = seconds(s, backend, a, b, c);
      if (time >= to_beat) continue;
      to_beat = time;
      plan.set(s, backend);
    }
  }
  return plan;
}

}  // namespace vigor
