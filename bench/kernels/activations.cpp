// What works element by element: activation functions, gates, dropout, residual sums.
#include "bench/kernels/kernel_case.h"
#include "kernels/dropout/dropout.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/gelu/gelu.h"
#include "kernels/softmax/softmax.h"
#include "kernels/squared_relu/squared_relu.h"
#include "kernels/swiglu/swiglu.h"

namespace vigor {

void add_activation_cases(std::vector<KernelCase>& cases) {
  // `count` tensors of `width` channels.
  const auto add_case = [&](const std::string& name, int count, int64_t width, const Operation& run) {
    const auto operands = [=](Tokens n) {
      Operands result;
      for (int i = 0; i < count; ++i) result.activation({n.batch, n.time, width});
      return result;
    };
    cases.push_back({.name = name, .operands = operands, .run = run});
  };
  using Inputs = std::vector<Tensor>;

  const int64_t d = i3_preset("i3-80m").d_model, hidden = 4 * d;
  const RandomKey key{1, RandomStream::dropout, 1, 1};
  add_case("gelu_erf/i3-22m", 1, hidden, [](const Inputs& in) { return gelu(in[0]); });  // between low-rank products
  add_case("gelu_tanh/i3-22m", 1, hidden, [](const Inputs& in) { return gelu(in[0], GeluKind::tanh); });
  add_case("add/i3-80m", 2, d, [](const Inputs& in) { return add(in[0], in[1]); });
  add_case("dropout/i3-80m", 1, d, [key](const Inputs& in) { return dropout(in[0], 0.1, key); });
  add_case("softmax/2048", 1, 2048, [](const Inputs& in) { return softmax(in[0]); });
  // RWKV blocks as wide as i3-80m
  add_case("squared_relu/d2048", 1, hidden, [](const Inputs& in) { return squared_relu(in[0]); });
  add_case("sigmoid/d512", 1, d, [](const Inputs& in) { return sigmoid(in[0]); });
  add_case("mul/d512", 2, d, [](const Inputs& in) { return mul(in[0], in[1]); });
  for (const char* name : {"falcon-h1-tiny-90m", "falcon-h1-0.5b"}) {
    const FalconH1Config config = falcon_preset(name);
    add_case("swiglu/" + std::string(name), 2, config.hidden, [](const Inputs& in) { return swiglu(in[0], in[1]); });
    add_case("mul_number/" + std::string(name), 1, config.d_model, [](const Inputs& in) { return in[0] * 0.5; });
  }
}

}  // namespace vigor
