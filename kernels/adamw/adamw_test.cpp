#include "kernels/adamw/adamw.h"

#include <gtest/gtest.h>
#include <omp.h>

#include "kernels/adamw/adamw_kernels.h"
#include "kernels/global_norm/global_norm.h"
#include "tensor/safetensors.h"
#include "tensor/simd.h"
#include "tests/support/against_f64.h"

namespace vigor {
namespace {

using testing::expect_close;
using testing::expect_error;
using testing::random;

StepState state_of(int64_t step, double lr, double clip = 1) {
  StepState s;
  s.step = step;
  s.learning_rate = static_cast<float>(lr);
  set_bias_corrections(s, {});
  s.clip_factor = static_cast<float>(clip);
  return s;
}

TEST(AdamW, FirstStepByHand) {
  // At the first step m / (1 - beta1) is the gradient and sqrt(v / (1 - beta2)) its size: p moves by lr, after decay.
  const Tensor p = full({1}, 2, Dtype::f64), g = full({1}, -4, Dtype::f64);
  const Tensor m = zeros({1}, Dtype::f64), v = zeros({1}, Dtype::f64);
  const StepState state = state_of(0, 0.5, 0.25);
  adamw_update(p, g, m, v, &state);
  testing::expect_values(m, {-0.1}, 1e-12);
  testing::expect_values(v, {0.001}, 1e-12);
  testing::expect_values(p, {2 * (1 - 0.5 * 0.01) + 0.5}, 1e-6);  // the bias corrections are f32
}

TEST(AdamW, ScaledLearningRateIsThatLearningRate) {
  std::vector<Tensor> plain, scaled;
  for (uint32_t i = 0; i < 4; ++i) {  // param, grad, m, v >= 0
    plain.push_back(random({37}, Dtype::f32, i, i == 3 ? 0 : -1));
    scaled.push_back(clone(plain.back()));
  }
  AdamWOptions quarter;
  quarter.learning_rate_scale = 0.25;
  const StepState state = state_of(3, 0.5), small = state_of(3, 0.125);
  adamw_update(plain[0], plain[1], plain[2], plain[3], &small);
  adamw_update(scaled[0], scaled[1], scaled[2], scaled[3], &state, quarter);
  for (size_t i = 0; i < 4; ++i) testing::expect_equal(scaled[i], plain[i]);
  quarter.learning_rate_scale = -1;
  expect_error([&] { adamw_update(plain[0], plain[1], plain[2], plain[3], &state, quarter); },
               {"learning_rate_scale", "-1"});
}

TEST(AdamW, EqualsPyTorchWithClipping) {
  const SafetensorsFile file = SafetensorsFile::open(VIGOR_SOURCE_DIR "/tests/fixtures/ops/adamw.safetensors");
  std::vector<Tensor> p, m, v;
  for (const char* name : {"p0", "p1"}) {
    p.push_back(clone(file.tensor(name)));
    m.push_back(zeros(p.back().shape()));
    v.push_back(zeros(p.back().shape()));
  }
  for (int64_t step = 0; step < 3; ++step) {
    const std::string prefix = fmt::format("step{}.", step + 1);
    const std::vector<Tensor> grads = {file.tensor(prefix + "grad0"), file.tensor(prefix + "grad1")};
    StepState state = state_of(step, 1e-2);
    global_norm(grads, 1.0, &state);
    EXPECT_NEAR(state.grad_norm, file.tensor("grad_norms").to_vector<float>()[static_cast<size_t>(step)], 1e-5);
    for (size_t i = 0; i < 2; ++i) {
      adamw_update(p[i], grads[i], m[i], v[i], &state);
      expect_close(p[i], file.tensor(prefix + fmt::format("p{}", i)), 1e-6, 1e-6);
    }
  }
  for (size_t i = 0; i < 2; ++i) {
    expect_close(m[i], file.tensor(fmt::format("m{}", i)), 1e-8, 1e-5);
    expect_close(v[i], file.tensor(fmt::format("v{}", i)), 1e-8, 1e-5);
  }
}

TEST(AdamW, FastEqualsF64OnEveryInstructionSet) {
  for (const Isa isa : {Isa::portable, Isa::neon, Isa::avx2, Isa::avx512}) {
    if (!is_supported(isa)) continue;
    const IsaScope scope(isa);
    for (const int64_t n : {1, 3, 17, 33, 40'000}) {
      std::vector<Tensor> fast, exact;
      for (uint32_t i = 0; i < 4; ++i) {  // param, grad, m, v >= 0
        fast.push_back(random({n}, Dtype::f32, i, i == 3 ? 0 : -1));
        exact.push_back(testing::converted(fast.back(), Dtype::f64));
      }
      AdamWOptions options;
      options.weight_decay = 0.1;
      options.eps = 1e-3;
      for (int64_t step = 4; step < 6; ++step) {
        const StepState state = state_of(step, 0.01, 0.7);
        adamw_update(fast[0], fast[1], fast[2], fast[3], &state, options);
        adamw_update(exact[0], exact[1], exact[2], exact[3], &state, options);
      }
      for (size_t i = 0; i < 4; ++i) expect_close(fast[i], exact[i], 1e-6, 1e-6);
    }
  }
}

// Without gradients the moments reach 0 and do not stop at subnormal numbers.
TEST(AdamW, MomentsDecayToZero) {
  const Tensor p = full({20}, 1), g = zeros({20}), m = full({20}, 1e-35), v = full({20}, 1e-37);
  for (int64_t step = 1000; step < 1030; ++step) {
    const StepState state = state_of(step, 0.1);
    adamw_update(p, g, m, v, &state);
  }
  testing::expect_equal(m, zeros({20}));
  testing::expect_equal(v, zeros({20}));
  testing::expect_values(p, std::vector<double>(20, std::pow(1 - 0.1 * 0.01, 30)), 1e-5);
}

TEST(AdamW, BiasCorrections) {
  StepState state;
  state.step = 1;
  AdamWOptions options;
  options.beta1 = 0.5;
  options.beta2 = 0.9;
  set_bias_corrections(state, options);
  EXPECT_FLOAT_EQ(state.bias_correction1, 0.75f);
  EXPECT_FLOAT_EQ(state.bias_correction2, 0.19f);
}

TEST(AdamW, DoesNothingAfterAFailedStep) {
  const Tensor p = random({5}), g = random({5}, Dtype::f32, 1), m = zeros({5}), v = zeros({5}), before = clone(p);
  StepState state = state_of(3, 0.1);
  state.failed_step = 2;
  adamw_update(p, g, m, v, &state);
  testing::expect_equal(p, before);
  testing::expect_equal(m, zeros({5}));
}

// param, master, grad, m, v with an update that differs from step to step.
struct MixedArena {
  explicit MixedArena(int64_t n)
      : master(random({n}, Dtype::f32, 0)),
        grad(random({n}, Dtype::bf16, 1)),
        m(random({n}, Dtype::f32, 2)),
        v(random({n}, Dtype::f32, 3, 0)),
        param(testing::converted(master, Dtype::bf16)) {}
  Tensor master, grad, m, v, param;
};

TEST(AdamW, MixedUpdatesTheMasterAsF32AndRoundsIt) {
  testing::for_each_isa([] {
    for (const int64_t n : {1, 3, 17, 33, 40'000}) {
      MixedArena mixed(n), plain(n);
      const Tensor grad = testing::converted(plain.grad, Dtype::f32);
      for (int64_t step = 0; step < 2; ++step) {
        const StepState state = state_of(step, 0.01, 0.7);
        adamw_update_mixed(mixed.param, mixed.master, mixed.grad, mixed.m, mixed.v, &state);
        adamw_update(plain.master, grad, plain.m, plain.v, &state);
      }
      testing::expect_equal(mixed.master, plain.master);
      testing::expect_equal(mixed.m, plain.m);
      testing::expect_equal(mixed.v, plain.v);
      testing::expect_equal(mixed.param, testing::converted(plain.master, Dtype::bf16));
    }
  });
}

TEST(AdamW, StochasticRoundingKeepsTheMean) {
  // 1 + 1/512 lies a quarter of the way from 1 to the next bf16, 1 + 1/128.
  const int64_t n = 20'000;
  const Tensor master = full({n}, 1 + 1.0 / 512), param = zeros({n}, Dtype::bf16), grad = zeros({n}, Dtype::bf16);
  const Tensor m = zeros({n}), v = zeros({n});
  StepState state;  // learning rate 0
  const Bf16Rounding rounding{true, 7, 3};
  const auto rounded = [&](int64_t step) {
    state.step = step;
    adamw_update_mixed(param, master, grad, m, v, &state, {}, rounding);
    return param.to_vector<float>();
  };
  const std::vector<float> first = rounded(0);
  double up = 0;
  for (int64_t i = 0; i < n; ++i) {
    const float value = first[static_cast<size_t>(i)];
    EXPECT_TRUE(value == 1 || value == 1 + 1.0f / 128);
    up += value > 1 ? 1 : 0;
    // The definition: up where the upper 16 bits of the element's random word are at least 3/4 of their range.
    const RandomKey key{7, RandomStream::rounding, 3, 0};
    EXPECT_EQ(value > 1, random_bits(key, static_cast<uint64_t>(i)) >> 16 >= 0xc000u);
  }
  EXPECT_NEAR(up / static_cast<double>(n), 0.25, 0.01);  // the standard deviation is 0.003
  EXPECT_NE(rounded(1), first);
  EXPECT_EQ(rounded(0), first);
}

TEST(AdamW, StochasticRoundingKeepsExactAndNonFiniteValues) {
  const Tensor master = from_values<float>({0, -1.5f, HUGE_VALF, -HUGE_VALF, NAN}, {5});
  const Tensor param = zeros({5}, Dtype::bf16), grad = zeros({5}, Dtype::bf16), m = zeros({5}), v = zeros({5});
  const StepState state;
  adamw_update_mixed(param, master, grad, m, v, &state, {}, {true, 1, 0});
  testing::expect_equal(param, testing::converted(master, Dtype::bf16));
}

// One step by its definition, in f32 but for the moments, which are kept as bf16 with the halves of one random word.
void step_with_bf16_moments(float* p, const float* g, bf16* m, bf16* v, int64_t n, const StepState& state,
                            const AdamWOptions& options, const Bf16Rounding& rounding) {
  const auto f = adamw_factors<float>(state, options);
  const MomentsKey key = moments_key(rounding, state);
  for (int64_t i = 0; i < n; ++i) {
    const float gradient = g[i] * f.clip;
    const float mean = std::fma(static_cast<float>(m[i]), f.beta1, gradient * f.one_minus_beta1);
    const float square = std::fma(static_cast<float>(v[i]), f.beta2, gradient * gradient * f.one_minus_beta2);
    p[i] = std::fma(mean / std::fma(std::sqrt(square), f.denominator_scale, f.eps), -f.step_size, p[i] * f.decay);
    const uint32_t word = moments_word(key, i);
    m[i].bits = round_stochastically(mean, word << 16);
    v[i].bits = round_stochastically(square, word);
  }
}

// The words of a step are evenly spread, bit by bit, and have nothing to do with those of the next step or element.
TEST(AdamW, WordsOfBf16MomentsAreEvenAndIndependent) {
  const int64_t n = 1 << 16;
  const MomentsKey one = moments_key({true, 7, 1}, state_of(3, 0.1)),
                   next = moments_key({true, 7, 1}, state_of(4, 0.1));
  const MomentsKey other = moments_key({true, 7, 2}, state_of(3, 0.1));
  const auto expect_half = [&](const char* what, const auto& word_of) {
    for (int bit = 0; bit < 32; ++bit) {
      int64_t ones = 0;
      for (int64_t i = 0; i < n; ++i) ones += (word_of(i) >> bit) & 1u;
      EXPECT_NEAR(static_cast<double>(ones) / static_cast<double>(n), 0.5, 0.01) << what << ", bit " << bit;
    }
  };
  expect_half("words", [&](int64_t i) { return moments_word(one, i); });
  expect_half("beside the next step", [&](int64_t i) { return moments_word(one, i) ^ moments_word(next, i); });
  expect_half("beside another tensor", [&](int64_t i) { return moments_word(one, i) ^ moments_word(other, i); });
  expect_half("beside the next element", [&](int64_t i) { return moments_word(one, i) ^ moments_word(one, i + 1); });
  expect_half("the halves of a word", [&](int64_t i) { return moments_word(one, i) ^ (moments_word(one, i) >> 16); });
}

// Sums that are rounded twice, without a fused instruction, may fall on the other side of a random threshold: then a
// moment is its neighbour, 1 part in 128 away. That is rare, and with the fused instruction it never happens.
TEST(AdamW, Bf16MomentsFollowTheDefinition) {
  testing::for_each_isa([] {
    for (const int64_t n : {1, 3, 17, 127, 40'000}) {
      const Tensor p = random({n}), g = random({n}, Dtype::f32, 1), m = random({n}, Dtype::bf16, 2),
                   v = random({n}, Dtype::bf16, 3, 0);
      const Tensor p0 = clone(p), m0 = clone(m), v0 = clone(v);
      const AdamWOptions options{0.9, 0.999, 1e-3, 0.1};
      const Bf16Rounding rounding{false, 5, 1};
      const StepState state = state_of(6, 0.01, 0.7);
      adamw_update(p, g, m, v, &state, options, rounding);
      step_with_bf16_moments(p0.data<float>(), g.data<float>(), m0.data<bf16>(), v0.data<bf16>(), n, state, options,
                             rounding);
      expect_close(p, p0, 1e-6, 1e-6);
      expect_close(m, m0, 1e-6, 1.0 / 127);
      expect_close(v, v0, 1e-6, 1.0 / 127);
      int64_t others = 0;
      for (int64_t i = 0; i < n; ++i)
        others += (m.data<bf16>()[i].bits != m0.data<bf16>()[i].bits ? 1 : 0) +
                  (v.data<bf16>()[i].bits != v0.data<bf16>()[i].bits ? 1 : 0);
      EXPECT_LE(others, current_isa() == Isa::portable ? n / 1000 : 0);
    }
  });
}

// v falls from 1 to a quarter of that, by less than bf16 resolves in every step: to nearest it would not move at all.
TEST(AdamW, Bf16MomentsKeepTheMeanOverManySteps) {
  const int64_t n = 4096, steps = 700;
  const Tensor p = zeros({n}), g = full({n}, 0.5), m = zeros({n}, Dtype::bf16), v = full({n}, 1, Dtype::bf16);
  const Tensor p32 = zeros({n}), m32 = zeros({n}), v32 = full({n}, 1);
  for (int64_t step = 0; step < steps; ++step) {
    const StepState state = state_of(step, 1e-3);
    adamw_update(p, g, m, v, &state, {}, {false, 3, 0});
    adamw_update(p32, g, m32, v32, &state);
  }
  const auto mean_of = [](const Tensor& x) {
    double sum = 0;
    for (const double value : x.to_vector<double>()) sum += value;
    return sum / static_cast<double>(x.numel());
  };
  const double expected = mean_of(v32);
  EXPECT_NEAR(expected, 0.25 + 0.75 * std::pow(0.999, steps), 1e-4);
  // An element wanders by at most a part in 256 a step, and forgets at the pace of beta2: 9 % after many steps. The
  // mean of 4096 of them is within 0.15 %, here with a margin of three.
  EXPECT_NEAR(mean_of(v) / expected, 1, 0.005);
  EXPECT_NEAR(mean_of(m), 0.5, 0.001);
  expect_close(p, p32, 0, 0.1);  // the worst of 4096
  EXPECT_EQ(m.nbytes() + v.nbytes(), static_cast<size_t>(4 * n));
}

TEST(AdamW, Bf16MomentsBesideAMaster) {
  const int64_t n = 3000;
  MixedArena mixed(n);
  const Tensor m = testing::converted(mixed.m, Dtype::bf16), v = testing::converted(mixed.v, Dtype::bf16);
  const Tensor p = clone(mixed.master), m_plain = clone(m), v_plain = clone(v);
  const Bf16Rounding rounding{true, 7, 2};
  const StepState state = state_of(4, 0.01, 0.7);
  adamw_update_mixed(mixed.param, mixed.master, mixed.grad, m, v, &state, {}, rounding);
  adamw_update(p, testing::converted(mixed.grad, Dtype::f32), m_plain, v_plain, &state, {}, rounding);
  testing::expect_equal(mixed.master, p);
  testing::expect_equal(m, m_plain);
  testing::expect_equal(v, v_plain);
}

// Threads share an arena out; a step and its words depend on the element alone.
TEST(AdamW, Bf16MomentsRepeat) {
  const int64_t n = 100'003;
  std::vector<std::vector<float>> found;
  const int threads = omp_get_max_threads();
  for (const int count : {1, 2, 3}) {
    omp_set_num_threads(count);
    const Tensor p = random({n}), g = random({n}, Dtype::f32, 1), m = zeros({n}, Dtype::bf16),
                 v = zeros({n}, Dtype::bf16);
    for (int64_t step = 0; step < 2; ++step) {
      const StepState state = state_of(step, 0.01);
      adamw_update(p, g, m, v, &state, {}, {false, 9, 0});
    }
    found.push_back(v.to_vector<float>());
  }
  omp_set_num_threads(threads);
  EXPECT_EQ(found[1], found[0]);
  EXPECT_EQ(found[2], found[0]);
}

TEST(AdamW, CountsAsAWrite) {
  const Tensor p = random({5}), g = random({5}), m = zeros({5}), v = zeros({5});
  const uint32_t before = p.storage()->version();
  const StepState state = state_of(0, 0.1);
  adamw_update(p, g, m, v, &state);
  EXPECT_GT(p.storage()->version(), before);
}

TEST(AdamW, Errors) {
  const Tensor p = random({4}), g = random({5});
  const StepState state;
  expect_error([&] { adamw_update(p, g, p, p, &state); },
               {"adamw: grad must be contiguous and like param", "[5]", "[4]"});
  expect_error([&] { adamw_update(p, p, Tensor(), p, &state); }, {"adamw: m must be", "undefined"});
  expect_error([&] { adamw_update(p, p, p, p, nullptr); }, {"adamw: a StepState must be given"});
  const Tensor half = random({4}, Dtype::bf16);
  expect_error([&] { adamw_update(half, half, half, half, &state); },
               {"adamw: param must be contiguous, in f32", "bf16"});
  expect_error([&] { adamw_update_mixed(p, p, half, p, p, &state); }, {"adamw: beside a master", "bf16", "[4] f32"});
  expect_error([&] { adamw_update_mixed(half, p, p, p, p, &state); }, {"adamw: grad must be", "in bf16", "[4] f32"});
  expect_error([&] { adamw_update(p, p, half, p, &state); }, {"adamw: v must be", "in bf16", "[4] f32"});
  const Tensor wide = random({4}, Dtype::f64);
  expect_error([&] { adamw_update(wide, wide, half, half, &state); }, {"adamw: m must be", "in f64", "[4] bf16"});
  AdamWOptions options;
  options.beta2 = 1;
  expect_error([&] { adamw_update(p, p, p, p, &state, options); }, {"adamw: beta1 and beta2 must be in [0, 1)"});
}

}  // namespace
}  // namespace vigor
