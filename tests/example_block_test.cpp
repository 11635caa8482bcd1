// The block of docs/add-a-block.md passes what every mixer must.
#include <gtest/gtest.h>

#include "autograd/variable.h"
#include "nn/parameter_arena.h"
#include "tests/examples/gated_average.h"
#include "tests/support/testing.h"

namespace vigor {
namespace {

using testing::expect_close;
using testing::random;

TEST(GatedAverage, HasRightGradients) {
  example::GatedAverage mixer(3);
  ArenaOptions options;
  options.dtype = Dtype::f64;
  ParameterArena arena(mixer, options);
  const std::vector<NamedParameter> parameters = mixer.named_parameters();
  std::vector<Tensor> inputs{random({2, 4, 3}, Dtype::f64)};
  for (const NamedParameter& parameter : parameters)
    inputs.push_back(random(parameter.sizes, Dtype::f64, static_cast<uint32_t>(inputs.size())));
  testing::expect_gradients(
      [&](std::span<const Tensor> in) {
        for (size_t i = 0; i < parameters.size(); ++i) *parameters[i].tensor = in[i + 1];
        return mixer.forward(in[0]);
      },
      inputs);
}

// Rows of 5 and 3 tokens in pieces of (4, 1) and (1, 2).
TEST(GatedAverage, PiecesEqualTheWholeSequence) {
  example::GatedAverage mixer(3);
  ParameterArena arena(mixer);
  for (const ArenaSlot& slot : arena.parameters()) copy(slot.tensor, random(slot.tensor.shape(), Dtype::f32, 7));
  const NoGrad no_grad;
  const Tensor x = random({2, 5, 3});
  const Tensor whole = mixer.forward(x);
  LayerCache cache = mixer.make_cache(2, 5);
  std::vector<int32_t> offsets{0, 0};
  for (const std::vector<int32_t>& lengths : {std::vector<int32_t>{4, 1}, {1, 2}}) {
    const int64_t T = std::max(lengths[0], lengths[1]);
    const Tensor piece = full({2, T, 3}, 5.0);
    for (int64_t b = 0; b < 2; ++b) {
      const int64_t start = offsets[static_cast<size_t>(b)], length = lengths[static_cast<size_t>(b)];
      copy(slice(slice(piece, 0, b, b + 1), 1, 0, length), slice(slice(x, 0, b, b + 1), 1, start, start + length));
    }
    const Tensor y = mixer.forward(piece, cache, TokenPositions(offsets, lengths, T));
    for (int64_t b = 0; b < 2; ++b) {
      const int64_t start = offsets[static_cast<size_t>(b)], length = lengths[static_cast<size_t>(b)];
      expect_close(slice(slice(y, 0, b, b + 1), 1, 0, length),
                   slice(slice(whole, 0, b, b + 1), 1, start, start + length), 1e-6, 1e-5);
      offsets[static_cast<size_t>(b)] += lengths[static_cast<size_t>(b)];
    }
  }
}

}  // namespace
}  // namespace vigor
