#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/sampling/sampling_kernels.h"

namespace vigor {
namespace {

template <class T>
double value(T x) {
  return static_cast<double>(static_cast<Accumulator<T>>(x));
}

// The likeliest id, -1 if the row cannot be sampled.
template <class T>
int32_t argmax(const T* row, int64_t vocabulary) {
  int64_t best = -1;
  double best_value = -INFINITY;
  for (int64_t id = 0; id < vocabulary; ++id) {
    const double x = value(row[id]);
    if (std::isnan(x)) return -1;
    if (x > best_value) {
      best_value = x;
      best = id;
    }
  }
  return static_cast<int32_t>(best);
}

// Moves the `keep` likeliest ids to the front of `order`, likeliest first, without sorting the rest.
template <class T>
void select_likeliest(const T* row, int32_t* order, int64_t vocabulary, int64_t keep) {
  const auto likelier = [row](int32_t a, int32_t b) {
    const double x = value(row[a]);
    const double y = value(row[b]);
    return x != y ? x > y : a < b;
  };
  if (keep < vocabulary) std::nth_element(order, order + keep, order + vocabulary, likelier);
  std::sort(order, order + keep, likelier);
}

// Ids order[0..count-1] with weight exp((logit - best) / temperature); u in [0,1) picks one.
template <class T>
int32_t draw(const T* row, const int32_t* order, int64_t count, double best, double temperature, double total,
             double u) {
  double left = u * total;
  int32_t last = order[0];
  for (int64_t i = 0; i < count; ++i) {
    const double weight = std::exp((value(row[order[i]]) - best) / temperature);
    if (weight == 0) continue;
    last = order[i];
    if (left < weight) return last;
    left -= weight;
  }
  return last;  // rounding left a crumb
}

template <class T>
int32_t sample_row(const T* row, int32_t* order, int64_t vocabulary, const SamplingOptions& options, double u) {
  const int32_t likeliest = argmax(row, vocabulary);
  if (likeliest < 0 || options.greedy || options.temperature == 0) return likeliest;
  const double best = value(row[likeliest]);
  if (std::isinf(best)) return likeliest;  // +infinity: all the probability
  std::iota(order, order + vocabulary, 0);
  int64_t count = options.top_k > 0 ? std::min(options.top_k, vocabulary) : vocabulary;
  if (count < vocabulary || options.top_p < 1) select_likeliest(row, order, vocabulary, count);
  double total = 0;
  for (int64_t i = 0; i < count; ++i) total += std::exp((value(row[order[i]]) - best) / options.temperature);
  if (options.top_p < 1) {
    double reached = 0;
    int64_t kept = 0;
    while (kept < count && reached < options.top_p * total)
      reached += std::exp((value(row[order[kept++]]) - best) / options.temperature);
    count = kept;
    total = reached;
  }
  return draw(row, order, count, best, options.temperature, total, u);
}

}  // namespace

int64_t sample_cpu(const TensorView& ids, const TensorView& logits, const TensorView& order,
                   const SamplingOptions& options, const RandomKey& key) {
  int64_t failed = -1;
  visit_float(logits.dtype, "sample", [&]<class T>() {
    for (int64_t b = 0; b < logits.sizes[0] && failed < 0; ++b) {
      const T* row = logits.as<T>() + b * logits.strides[0];
      const double u = random_bits(key, static_cast<uint64_t>(b)) * 0x1p-32;
      const int32_t id = sample_row(row, order.as<int32_t>(), logits.sizes[1], options, u);
      ids.as<int32_t>()[b * ids.strides[0]] = id;
      if (id < 0) failed = b;
    }
  });
  return failed;
}

}  // namespace vigor
