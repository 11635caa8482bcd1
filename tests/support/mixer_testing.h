#pragma once
// What every mixer must pass: gradients of the whole module, and pieces that equal the whole.
#include <algorithm>

#include "autograd/variable.h"
#include "kernels/views/views.h"
#include "nn/mixer.h"
#include "nn/parameter_arena.h"
#include "tests/support/testing.h"

namespace vigor::testing {

// gradient_check of the input [2,5,channels] and every parameter of a module with forward(x).
template <class M>
void expect_module_gradients(M& module, int64_t channels = 3) {
  ArenaOptions options;
  options.dtype = Dtype::f64;
  const ParameterArena arena(module, options);
  const std::vector<NamedParameter> parameters = module.named_parameters();
  std::vector<Tensor> inputs{random({2, 5, channels}, Dtype::f64)};
  for (const NamedParameter& parameter : parameters)
    inputs.push_back(random(parameter.sizes, Dtype::f64, static_cast<uint32_t>(inputs.size())));
  expect_gradients(
      [&](std::span<const Tensor> in) {
        for (size_t i = 0; i < parameters.size(); ++i) *parameters[i].tensor = in[i + 1];
        return module.forward(in[0]);
      },
      inputs);
}

// Rows of 7 and 4 tokens in pieces of (3, 1), (1, 2) and (3, 1), with padding.
inline void expect_pieces_equal_whole(Mixer& mixer, int64_t channels = 3) {
  ParameterArena arena(mixer);
  uint32_t salt = 7;
  for (const ArenaSlot& slot : arena.parameters()) copy(slot.tensor, random(slot.tensor.shape(), Dtype::f32, salt++));
  const NoGrad no_grad;
  const Tensor x = random({2, 7, channels});
  const Tensor whole = mixer.forward(x);
  LayerCache cache = mixer.make_cache(2, 7);
  std::vector<int32_t> offsets{0, 0};
  for (const std::vector<int32_t>& lengths : {std::vector<int32_t>{3, 1}, {1, 2}, {3, 1}}) {
    const int64_t T = std::max(lengths[0], lengths[1]);
    const Tensor piece = full({2, T, channels}, 5.0);
    const auto row = [](const Tensor& of, int64_t b, int64_t start, int64_t length) {
      return slice(slice(of, 0, b, b + 1), 1, start, start + length);
    };
    for (size_t b = 0; b < 2; ++b)
      copy(row(piece, static_cast<int64_t>(b), 0, lengths[b]), row(x, static_cast<int64_t>(b), offsets[b], lengths[b]));
    const Tensor y = mixer.forward(piece, cache, TokenPositions(offsets, lengths, T));
    for (size_t b = 0; b < 2; ++b) {
      expect_close(row(y, static_cast<int64_t>(b), 0, lengths[b]),
                   row(whole, static_cast<int64_t>(b), offsets[b], lengths[b]), 1e-6, 1e-5);
      offsets[b] += lengths[b];
    }
  }
}

}  // namespace vigor::testing
