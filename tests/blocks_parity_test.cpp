// Mamba-1 and RWKV-4 blocks against plain Python definitions: results and the gradient of every parameter
// (tests/fixtures/blocks, whose README says what the files hold).
#include <gtest/gtest.h>

#include "autograd/engine.h"
#include "autograd/variable.h"
#include "nn/mamba1.h"
#include "nn/parameter_arena.h"
#include "nn/rwkv.h"
#include "tests/support/against_f64.h"

namespace vigor {
namespace {

Mamba1Options mamba_options() {
  Mamba1Options options;
  options.channels = 6;
  options.inner = 12;
  options.states = 5;
  options.dt_rank = 3;
  return options;
}
RwkvTimeMixingOptions time_mixing_options() {
  RwkvTimeMixingOptions options;
  options.channels = 8;
  return options;
}
RwkvChannelMixingOptions channel_mixing_options() {
  RwkvChannelMixingOptions options;
  options.channels = 8;
  options.hidden = 20;
  return options;
}

// Within `relative` of the tensor's largest value.
void expect_near(const Tensor& actual, const Tensor& expected, double relative, const std::string& name) {
  SCOPED_TRACE(name);
  double largest = 0;
  for (const double value : expected.to_vector<double>()) largest = std::max(largest, std::fabs(value));
  testing::expect_close(actual, expected, relative * largest);
}

// In f64, where only the rounding of the fixture is left, and in f32 with the fast code of every instruction set.
void expect_parity(Mixer& mixer, const std::string& fixture, Dtype dtype, double of_y, double of_gradients) {
  const SafetensorsFile file =
      SafetensorsFile::open(VIGOR_SOURCE_DIR "/tests/fixtures/blocks/" + fixture + ".safetensors");
  ArenaOptions options;
  options.dtype = dtype;
  const ParameterArena arena(mixer, options);
  for (const ArenaSlot& slot : arena.parameters()) copy(slot.tensor, file.tensor(slot.name));
  testing::for_each_isa([&] {
    for (const ArenaSlot& slot : arena.parameters()) set_grad_buffer(slot.tensor, zeros_like(slot.tensor));
    const Tensor x = set_requires_grad(testing::converted(file.tensor("x"), dtype));
    const Tensor y = mixer.forward(x), dy = testing::converted(file.tensor("dy"), dtype);
    backward(std::span(&y, 1), std::span(&dy, 1));
    expect_near(y, file.tensor("y"), of_y, "y");
    expect_near(grad(x), file.tensor("d.x"), of_gradients, "d.x");
    for (const ArenaSlot& slot : arena.parameters())
      expect_near(grad(slot.tensor), file.tensor("d." + slot.name), of_gradients, "d." + slot.name);
  });
}

TEST(BlocksParity, Mamba1) {
  for (const char* fixture : {"mamba1_3", "mamba1_37"}) {
    SCOPED_TRACE(fixture);
    Mamba1 exact(mamba_options()), fast(mamba_options());
    expect_parity(exact, fixture, Dtype::f64, 2e-7, 2e-7);
    expect_parity(fast, fixture, Dtype::f32, 2e-6, 1e-5);
  }
}

TEST(BlocksParity, RwkvTimeMixing) {
  RwkvTimeMixing exact(time_mixing_options()), fast(time_mixing_options());
  expect_parity(exact, "rwkv_time_mixing", Dtype::f64, 2e-7, 2e-7);
  expect_parity(fast, "rwkv_time_mixing", Dtype::f32, 2e-6, 1e-5);
}

TEST(BlocksParity, RwkvChannelMixing) {
  RwkvChannelMixing exact(channel_mixing_options()), fast(channel_mixing_options());
  expect_parity(exact, "rwkv_channel_mixing", Dtype::f64, 2e-7, 2e-7);
  expect_parity(fast, "rwkv_channel_mixing", Dtype::f32, 2e-6, 1e-5);
}

// Every parameter has its gradient in the file, and the file holds no other.
TEST(BlocksParity, FixturesHoldEveryParameter) {
  const Mamba1 mamba(mamba_options());
  const RwkvTimeMixing time_mixing(time_mixing_options());
  const RwkvChannelMixing channel_mixing(channel_mixing_options());
  const std::pair<const char*, const Module*> files[] = {
      {"mamba1_37", &mamba}, {"rwkv_time_mixing", &time_mixing}, {"rwkv_channel_mixing", &channel_mixing}};
  for (const auto& [name, module] : files) {
    const SafetensorsFile file =
        SafetensorsFile::open(std::string(VIGOR_SOURCE_DIR "/tests/fixtures/blocks/") + name + ".safetensors");
    const std::vector<NamedParameter> parameters = module->named_parameters();
    EXPECT_EQ(file.entries().size(), 2 * parameters.size() + 4) << name;  // beside x, d.x, y and dy
    for (const NamedParameter& parameter : parameters)
      EXPECT_EQ(file.tensor(parameter.name).shape(), parameter.sizes) << name << " " << parameter.name;
  }
}

}  // namespace
}  // namespace vigor
