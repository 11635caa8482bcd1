#include "kernels/adamw/adamw.h"

#include "kernels/adamw/adamw_kernels.h"
#include "tests/support/cuda_testing.h"
#include "tests/support/emulator_counters.h"

namespace vigor {
namespace {

using namespace vigor::testing;

StepState state_of(int64_t step) {
  StepState s;
  s.step = step;
  s.learning_rate = 0.01f;
  set_bias_corrections(s, {});
  return s;
}

// A StepState in device memory.
StepStateMemory on_device(const StepState& state) {
  StepStateMemory memory(kCuda);
  memory.set_inputs(state);
  return memory;
}

struct Arrays {
  Tensor param, master, grad, m, v;
};

// Float parameters are their own master.
Arrays arrays_of(int64_t n, Dtype dtype) {
  const Tensor master = random({n}, Dtype::f32, 0);
  return {dtype == Dtype::f32 ? master : converted(master, dtype), master, random({n}, dtype, 1),
          random({n}, Dtype::f32, 2), random({n}, Dtype::f32, 3, 0)};
}
Arrays on_cuda(const Arrays& a) {
  return {testing::on_cuda(a.param), testing::on_cuda(a.master), testing::on_cuda(a.grad), testing::on_cuda(a.m),
          testing::on_cuda(a.v)};
}

AdamWOptions strong() {
  AdamWOptions options;
  options.weight_decay = 0.1;
  options.eps = 1e-3;
  options.learning_rate_scale = 0.5;
  return options;
}

TEST(AdamWCuda, EqualsTheCpuInF32) {
  for (const int64_t n : {1, 3, 17, 64, 4099})
    for_each_warp_order([&] {
      const Arrays host = arrays_of(n, Dtype::f32), device = on_cuda(host);
      for (int64_t step = 4; step < 6; ++step) {
        const StepState state = state_of(step);
        const StepStateMemory memory = on_device(state);
        adamw_update(host.param, host.grad, host.m, host.v, &state, strong());
        adamw_update(device.param, device.grad, device.m, device.v, memory.on_device(), strong());
      }
      expect_close(on_host(device.param), host.param, 1e-7, 1e-6);
      expect_close(on_host(device.m), host.m, 1e-8, 1e-6);
      expect_close(on_host(device.v), host.v, 1e-8, 1e-6);
    });
}

TEST(AdamWCuda, MixedEqualsTheCpu) {
  for (const bool stochastic : {false, true})
    for (const int64_t n : {1, 3, 17, 64, 4099}) {
      const Bf16Rounding rounding{stochastic, 11, 2};
      for_each_warp_order([&] {
        const Arrays host = arrays_of(n, Dtype::bf16), device = on_cuda(host);
        for (int64_t step = 4; step < 6; ++step) {
          const StepState state = state_of(step);
          const StepStateMemory memory = on_device(state);
          adamw_update_mixed(host.param, host.master, host.grad, host.m, host.v, &state, strong(), rounding);
          adamw_update_mixed(device.param, device.master, device.grad, device.m, device.v, memory.on_device(), strong(),
                             rounding);
        }
        const Tensor master = on_host(device.master);
        expect_close(master, host.master, 1e-7, 1e-6);
        expect_close(on_host(device.m), host.m, 1e-8, 1e-6);
        expect_close(on_host(device.v), host.v, 1e-8, 1e-6);
        // The parameter is its own master rounded: with the same random words as on the CPU.
        const Tensor expected = converted(master, Dtype::bf16);
        const RandomKey key = rounding_key(rounding, state_of(5));
        for (int64_t i = 0; stochastic && i < n; ++i)
          expected.data<bf16>()[i].bits =
              round_stochastically(master.data<float>()[i], random_bits(key, static_cast<uint64_t>(i)));
        expect_equal(on_host(device.param), expected);
      });
    }
}

// Both devices fuse multiply and add, so that not even a random threshold tells them apart.
TEST(AdamWCuda, Bf16MomentsEqualTheCpu) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16})
    for (const int64_t n : {1, 3, 17, 64, 4099}) {
      const Bf16Rounding rounding{true, 11, 2};
      const Arrays f32 = arrays_of(n, dtype);
      const Arrays host = {f32.param, f32.master, f32.grad, converted(f32.m, Dtype::bf16),
                           converted(f32.v, Dtype::bf16)};
      const Arrays device = on_cuda(host);
      for (int64_t step = 4; step < 6; ++step) {
        const StepState state = state_of(step);
        const StepStateMemory memory = on_device(state);
        for (const Arrays* a : {&host, &device}) {
          const StepState* s = a == &host ? &state : memory.on_device();
          if (dtype == Dtype::f32) adamw_update(a->param, a->grad, a->m, a->v, s, strong(), rounding);
          else adamw_update_mixed(a->param, a->master, a->grad, a->m, a->v, s, strong(), rounding);
        }
      }
      if (dtype == Dtype::f32) expect_close(on_host(device.param), host.param, 1e-7, 1e-6);
      else expect_close(on_host(device.master), host.master, 1e-7, 1e-6);
      expect_close(on_host(device.m), host.m, 1e-8, 1.0 / 127);
      expect_close(on_host(device.v), host.v, 1e-8, 1.0 / 127);
      int64_t others = 0;
      const Tensor v = on_host(device.v);
      for (int64_t i = 0; i < n; ++i) others += v.data<bf16>()[i].bits != host.v.data<bf16>()[i].bits ? 1 : 0;
      EXPECT_LE(others, n / 1000);
    }
}

TEST(AdamWCuda, TakesTheClipFactorOfTheState) {
  const int64_t n = 33;
  const Arrays host = arrays_of(n, Dtype::f32), device = on_cuda(host);
  StepState state = state_of(0);
  state.clip_factor = 0.25f;
  const Tensor bytes = empty({static_cast<int64_t>(sizeof state)}, Dtype::u8);
  std::memcpy(bytes.raw(), static_cast<const void*>(&state), sizeof state);
  const Tensor there = testing::on_cuda(bytes);
  adamw_update(host.param, host.grad, host.m, host.v, &state);
  adamw_update(device.param, device.grad, device.m, device.v, static_cast<const StepState*>(there.raw()));
  expect_close(on_host(device.param), host.param, 1e-7, 1e-6);
  expect_close(on_host(device.m), host.m, 1e-8, 1e-6);
}

TEST(AdamWCuda, ElementsThatAreNotAligned) {
  const auto from_one = [](const Tensor& x) { return x.with_view(sliced(x, 0, 1, x.numel(), 1, "test")); };
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    const Arrays host = arrays_of(38, dtype), device = on_cuda(host);
    const StepState state = state_of(1);
    const StepStateMemory memory = on_device(state);
    for (const Arrays* a : {&host, &device}) {
      const StepState* s = a == &host ? &state : memory.on_device();
      if (dtype == Dtype::f32) adamw_update(from_one(a->param), from_one(a->grad), from_one(a->m), from_one(a->v), s);
      else
        adamw_update_mixed(from_one(a->param), from_one(a->master), from_one(a->grad), from_one(a->m), from_one(a->v),
                           s, {}, {true, 5, 0});
    }
    expect_close(on_host(device.param), host.param, 1e-7, dtype == Dtype::f32 ? 1e-6 : 8e-3);
    expect_close(on_host(device.m), host.m, 1e-8, 1e-6);
  }
}

TEST(AdamWCuda, DoubleIsRefused) {
  const Tensor p = zeros({2}, Dtype::f64, kCuda);
  const StepStateMemory memory(kCuda);
  expect_error([&] { adamw_update(p, p, p, p, memory.on_device()); }, {"adamw: on CUDA param must be f32", "f64"});
}

// 16 n bytes in and 12 n out; beside a master 14 n both ways. bf16 moments: 4 n less both ways.
TEST(AdamWCuda, BytesMoved) {
  const int64_t n = 1 << 14;
  const StepStateMemory memory = on_device(state_of(0));
  const Arrays plain = on_cuda(arrays_of(n, Dtype::f32)), mixed = on_cuda(arrays_of(n, Dtype::bf16));
  expect_bytes_moved("adamw_kernel", 16.0 * n, 12.0 * n,
                     [&] { adamw_update(plain.param, plain.grad, plain.m, plain.v, memory.on_device()); });
  expect_bytes_moved("adamw_kernel", 14.0 * n, 14.0 * n, [&] {
    adamw_update_mixed(mixed.param, mixed.master, mixed.grad, mixed.m, mixed.v, memory.on_device());
  });
  const Tensor m = zeros({n}, Dtype::bf16, kCuda), v = zeros({n}, Dtype::bf16, kCuda);
  expect_bytes_moved("adamw_kernel", 12.0 * n, 8.0 * n,
                     [&] { adamw_update(plain.param, plain.grad, m, v, memory.on_device()); });
}

}  // namespace
}  // namespace vigor
