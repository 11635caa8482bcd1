#pragma once
// The fixtures of tests/fixtures/blocks (its README says what they hold): a mixer on a device against them.
#include <string>

#include "autograd/engine.h"
#include "autograd/variable.h"
#include "nn/mamba1.h"
#include "nn/parameter_arena.h"
#include "nn/rwkv.h"
#include "tensor/safetensors.h"
#include "tests/support/near_largest.h"

namespace vigor::testing {

// The sizes of the fixtures.
inline Mamba1Options fixture_mamba1() {
  Mamba1Options options;
  options.channels = 6;
  options.inner = 12;
  options.states = 5;
  options.dt_rank = 3;
  return options;
}
inline RwkvTimeMixingOptions fixture_time_mixing() {
  RwkvTimeMixingOptions options;
  options.channels = 8;
  return options;
}
inline RwkvChannelMixingOptions fixture_channel_mixing() {
  RwkvChannelMixingOptions options;
  options.channels = 8;
  options.hidden = 20;
  return options;
}

inline SafetensorsFile block_fixture(const std::string& name) {
  return SafetensorsFile::open(VIGOR_SOURCE_DIR "/tests/fixtures/blocks/" + name + ".safetensors");
}

// Errors are measured against the largest value of a tensor.
struct BlockTolerance {
  double y, gradients;
};

// A mixer with the parameters of a fixture.
class BlockParity {
 public:
  BlockParity(Mixer& mixer, const std::string& fixture, Dtype dtype, Device device = kCpu)
      : mixer_(mixer),
        file_(block_fixture(fixture)),
        dtype_(dtype),
        device_(device),
        arena_(mixer, options_of(dtype, device)) {
    for (const ArenaSlot& slot : arena_.parameters()) copy(slot.tensor, there(file_.tensor(slot.name)));
  }

  // y and the gradients of x and every parameter.
  void expect(const BlockTolerance& tolerance) const {
    for (const ArenaSlot& slot : arena_.parameters()) set_grad_buffer(slot.tensor, zeros_like(slot.tensor));
    const Tensor x = set_requires_grad(there(converted(file_.tensor("x"), dtype_)));
    const Tensor y = mixer_.forward(x), dy = there(converted(file_.tensor("dy"), dtype_));
    backward(std::span(&y, 1), std::span(&dy, 1));
    expect_near(y, "y", tolerance.y);
    expect_near(grad(x), "d.x", tolerance.gradients);
    for (const ArenaSlot& slot : arena_.parameters())
      expect_near(grad(slot.tensor), "d." + slot.name, tolerance.gradients);
  }

  // y again, in two pieces joined by the cache.
  void expect_pieces(double tolerance) const {
    const NoGrad no_grad;
    const Tensor x = converted(file_.tensor("x"), dtype_), expected = file_.tensor("y");
    const int64_t B = x.size(0), T = x.size(1), first = T / 2;
    LayerCache cache = mixer_.make_cache(B, T);
    for (const auto& [begin, end] : {std::pair{int64_t{0}, first}, std::pair{first, T}}) {
      const std::vector<int32_t> offsets(static_cast<size_t>(B), static_cast<int32_t>(begin)),
          lengths(static_cast<size_t>(B), static_cast<int32_t>(end - begin));
      const Tensor piece = there(clone(x.with_view(sliced(x, 1, begin, end, 1, "piece"))));
      const Tensor y = mixer_.forward(piece, cache, TokenPositions(offsets, lengths, end - begin, device_));
      const Tensor wanted = expected.with_view(sliced(expected, 1, begin, end, 1, "piece"));
      expect_close(to_device(y, kCpu), wanted, tolerance * largest(expected));
    }
  }

 private:
  static ArenaOptions options_of(Dtype dtype, Device device) {
    ArenaOptions options;
    options.dtype = dtype;
    options.device = device;
    return options;
  }
  void expect_near(const Tensor& actual, const std::string& name, double relative) const {
    SCOPED_TRACE(name);
    expect_near_largest(actual, file_.tensor(name), relative);
  }
  Tensor there(const Tensor& x) const { return to_device(x, device_); }

  Mixer& mixer_;
  SafetensorsFile file_;
  Dtype dtype_;
  Device device_;
  ParameterArena arena_;
};

}  // namespace vigor::testing
