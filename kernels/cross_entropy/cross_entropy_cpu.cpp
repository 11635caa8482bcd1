#include <algorithm>
#include <cmath>

#include "kernels/cross_entropy/cross_entropy_kernels.h"
#include "kernels/cross_entropy/cross_entropy_simd.h"
#include "kernels/parallel.h"
#include "tensor/dtype.h"

namespace vigor {
namespace {

// The definition, in f64. dx may be x.
double cross_entropy_row(const double* x, int64_t n, int64_t target, double weight, double* dx) {
  const double maximum = *std::max_element(x, x + n);
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += std::exp(x[i] - maximum);
  const double lse = maximum + std::log(sum), loss = lse - x[target];
  for (int64_t i = 0; dx != nullptr && i < n; ++i) dx[i] = weight * (std::exp(x[i] - lse) - (i == target ? 1 : 0));
  return loss;
}

template <class X>
float cross_entropy_row(const X* x, int64_t n, int64_t target, double weight, X* dx) {
  return VIGOR_PICK(cross_entropy_row)(x, n, target, static_cast<float>(weight), dx);
}

}  // namespace

void cross_entropy_rows_cpu(const CrossEntropyRows& rows) {
  const int64_t N = rows.logits.sizes[0], V = rows.logits.sizes[1];
  const int64_t* targets = rows.targets.as<int64_t>();
  const double weight = *rows.weight.as<double>();
  visit_float(rows.logits.dtype, "cross_entropy", [&]<class X>() {
    const X* logits = rows.logits.as<X>();
    X* dlogits = rows.dlogits.as<X>();
    Accumulator<X>* losses = rows.losses.as<Accumulator<X>>();
    parallel_blocks(N, std::max<int64_t>(1, kElementsPerBlock / V), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        X* dx = dlogits != nullptr ? dlogits + i * V : nullptr;
        if (targets[i] != rows.ignore_index) {
          losses[i] = cross_entropy_row(logits + i * V, V, targets[i], weight, dx);
        } else {
          losses[i] = 0;
          if (dx != nullptr) std::fill_n(dx, V, X(0));
        }
      }
    });
  });
}

void weighted_loss_cpu(const TensorView& loss, const TensorView& losses, const TensorView& weight) {
  const auto sum_up = [&]<class S>(S* out) {
    double sum = 0;
    for (int64_t i = 0; i < losses.numel(); ++i) sum += static_cast<double>(losses.as<S>()[i]);
    *out = static_cast<S>(sum * *weight.as<double>());
  };
  if (loss.dtype == Dtype::f64) sum_up(loss.as<double>());
  else sum_up(loss.as<float>());
}

void scaled_gradient_cpu(const GradientView& to, const TensorView& from, const TensorView& dloss) {
  visit_float(to.view.dtype, "cross_entropy_backward", [&]<class To>() {
    visit_float(from.dtype, "cross_entropy_backward", [&]<class From>() {
      using S = Accumulator<From>;
      const S scale = *dloss.as<S>();
      if (to.view.data == from.data && !to.accumulate && scale == S(1)) return;
      const From* in = from.as<From>();
      To* out = to.view.as<To>();
      parallel_blocks(from.numel(), kElementsPerBlock, [&](int64_t begin, int64_t end) {
        if (to.accumulate)
          for (int64_t i = begin; i < end; ++i)
            out[i] =
                To(static_cast<Accumulator<To>>(out[i]) + static_cast<Accumulator<To>>(scale * static_cast<S>(in[i])));
        else
          for (int64_t i = begin; i < end; ++i)
            out[i] = To(static_cast<Accumulator<To>>(scale * static_cast<S>(in[i])));
      });
    });
  });
}

}  // namespace vigor
