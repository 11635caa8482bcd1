#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/sampling/sampling_kernels.h"
#include "tensor/dtype.h"
#include "tensor/threads.h"

namespace vigor {
namespace {

// Falling logit, then rising id: a total order, so the first n candidates are one certain set. Not a function, which
// std::sort would call by its address, a quarter of the time of a sample.
constexpr auto before = [](const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
};

// [0, 1) with 53 bits: 24 would not resolve the unlikely tokens of a large vocabulary.
double uniform_of(const RandomKey& key, int64_t row) {
  const PhiloxWords words = random_block(key, static_cast<uint64_t>(row));
  return (static_cast<double>(words.word[0] >> 5) * 0x1p26 + static_cast<double>(words.word[1] >> 6)) * 0x1p-53;
}

template <class X>
float value(const X& x) {
  return static_cast<float>(x);
}

// The id of the largest logit, the lowest of equals; -1 when it is not finite or the row holds a NaN.
template <class X>
int32_t argmax(const X* logits, int64_t V) {
  float largest = -std::numeric_limits<float>::infinity();
  int64_t id = -1;
  bool nan = false;
  for (int64_t i = 0; i < V; ++i) {
    const float x = value(logits[i]);
    nan |= x != x;
    if (x > largest) {
      largest = x;
      id = i;
    }
  }
  return nan || largest == std::numeric_limits<float>::infinity() ? -1 : static_cast<int32_t>(id);
}

// The k largest logits into the front of `candidates`, in no order. One pass: most logits fail the comparison with
// the k-th largest so far, and the rest gather behind the front until it is worth selecting again.
template <class X>
int64_t select_top_k(const X* logits, int64_t V, int64_t k, Candidate* candidates) {
  const int64_t room = std::min(V, 2 * k + 256);
  int64_t n = 0;
  float threshold = -std::numeric_limits<float>::infinity();
  for (int64_t i = 0; i < V; ++i) {
    const float x = value(logits[i]);
    if (x <= threshold) continue;  // an equal one with a higher id comes after the k-th
    candidates[n++] = {x, static_cast<int32_t>(i)};
    if (n < room || n <= k) continue;
    std::nth_element(candidates, candidates + k - 1, candidates + n, before);
    n = k;
    threshold = candidates[k - 1].logit;
  }
  if (n > k) std::nth_element(candidates, candidates + k - 1, candidates + n, before);
  return std::min(n, k);
}

// How many of the candidates [0, n), brought into order, reach probability top_p. They are sorted in growing pieces:
// the nucleus is usually small.
int64_t order_nucleus(Candidate* candidates, int64_t n, double top_p, double largest, double temperature) {
  double total = 0;
  for (int64_t i = 0; i < n; ++i) total += std::exp((static_cast<double>(candidates[i].logit) - largest) / temperature);
  double sum = 0;
  int64_t sorted = 0;
  for (int64_t piece = 64; sorted < n; piece *= 4) {
    const int64_t end = std::min(n, sorted + piece);
    if (end < n) std::nth_element(candidates + sorted, candidates + end - 1, candidates + n, before);
    std::sort(candidates + sorted, candidates + end, before);
    for (; sorted < end; ++sorted) {
      sum += std::exp((static_cast<double>(candidates[sorted].logit) - largest) / temperature);
      if (sum >= top_p * total) return sorted + 1;
    }
  }
  return n;
}

// Draws index i < n with probability proportional to exp((logit(i) - largest) / temperature).
template <class F>
int64_t draw(int64_t n, double largest, double temperature, double uniform, F logit) {
  const auto weight = [&](int64_t i) { return std::exp((static_cast<double>(logit(i)) - largest) / temperature); };
  double total = 0;
  for (int64_t i = 0; i < n; ++i) total += weight(i);
  const double goal = uniform * total;
  double sum = 0;
  int64_t last = 0;  // with a weight above 0, should rounding keep the sum below the goal
  for (int64_t i = 0; i < n; ++i) {
    const double w = weight(i);
    if (w == 0) continue;
    last = i;
    sum += w;
    if (sum > goal) break;
  }
  return last;
}

template <class X>
int32_t sample_row(const X* logits, int64_t V, const SamplingOptions& o, double uniform, Candidate* candidates) {
  const int32_t best = argmax(logits, V);
  if (best < 0 || o.greedy || o.temperature == 0) return best;
  const double largest = static_cast<double>(value(logits[best]));
  const int64_t k = o.top_k > 0 ? std::min(o.top_k, V) : V;
  if (k == V && o.top_p >= 1 && o.min_p == 0)
    return static_cast<int32_t>(draw(V, largest, o.temperature, uniform, [&](int64_t i) { return value(logits[i]); }));
  int64_t n = select_top_k(logits, V, k, candidates);
  if (o.top_p < 1) n = order_nucleus(candidates, n, o.top_p, largest, o.temperature);
  if (o.min_p > 0) {  // a partition of what is in order leaves it so
    const double least = largest + lowest_kept(o);
    n = std::partition(candidates, candidates + n, [=](const Candidate& c) { return c.logit >= least; }) - candidates;
  }
  if (o.top_p >= 1) std::sort(candidates, candidates + n, before);
  return candidates[draw(n, largest, o.temperature, uniform, [&](int64_t i) { return candidates[i].logit; })].id;
}

}  // namespace

void sample_cpu(const TensorView& ids, const TensorView& logits, const SamplingOptions& options, const RandomKey& key,
                Candidate* candidates) {
  const int64_t B = logits.sizes[0], V = logits.sizes[1];
  visit_float(logits.dtype, "sample", [&]<class X>() {
    parallel_for(B, B > 1 && B * V > (1 << 15), [&](int64_t b) {
      ids.as<int32_t>()[b] = sample_row(logits.as<X>() + b * V, V, options, uniform_of(key, b),
                                        candidates != nullptr ? candidates + b * V : nullptr);
    });
  });
}

}  // namespace vigor
