// What mixes along time: the mixer of i3, the scans of Mamba and Mamba-2, RWKV's wkv and token shift, the convolution.
// "_step" is one token of a text, which reads and writes the state. Of the scan of Mamba-2 the floating-point
// operations of the chunked form's products are counted, so its share of the roofline says how well these are done;
// what works element by element (exponentials above all) comes on top.
#include "bench/kernels/kernel_case.h"
#include "kernels/causal_conv1d/causal_conv1d.h"
#include "kernels/hybrid_mixer/hybrid_mixer.h"
#include "kernels/mamba2_scan/mamba2_scan.h"
#include "kernels/selective_scan/selective_scan.h"
#include "kernels/token_shift/token_shift.h"
#include "kernels/views/views.h"
#include "kernels/wkv/wkv.h"

namespace vigor {
namespace {

using Inputs = std::vector<Tensor>;

// The same operation for one token after others: its operands, then its state.
KernelCase step_case(const KernelCase& training, const Shape& state, Role state_role, const Operation& run) {
  KernelCase step = training;
  step.name.insert(step.name.find('/'), "_step");
  step.operands = [operands = training.operands, state, state_role](Tokens) {
    Operands result = operands({1, 1});
    return state_role == Role::full_weight ? result.full_weight(state, -1, 1) : result.activation(state);
  };
  step.run = run;
  step.has_backward = false;
  return step;
}

void add_hybrid_mixer(std::vector<KernelCase>& cases, const std::string& name) {
  const I3Config config = i3_preset(name);
  const int64_t d = config.d_model, n = config.d_state;
  const KernelCase training{
      .name = "hybrid_mixer/" + name,
      .operands =
          [=](Tokens t) {
            return Operands()
                .activation({t.batch, t.time, d})
                .full_weight({d}, 0.5, 1)
                .full_weight({n, n}, -0.1, 0.1)
                .full_weight({n, d}, -0.1, 0.1)
                .full_weight({d, n}, -0.1, 0.1)
                .full_weight({d}, -1, 1);
          },
      .run = [](const Inputs& in) { return hybrid_mixer(in[0], in[1], in[2], in[3], in[4], in[5]).y; }};
  cases.push_back(training);
  cases.push_back(step_case(training, {1, d + n}, Role::full_weight, [=](const Inputs& in) {
    HybridMixerOptions options;
    options.h0 = slice(in[6], 1, 0, d);
    options.s0 = slice(in[6], 1, d, d + n);
    return hybrid_mixer(in[0], in[1], in[2], in[3], in[4], in[5], options).y;
  }));
}

void add_mamba2(std::vector<KernelCase>& cases, const std::string& name) {
  const FalconH1Config config = falcon_preset(name);
  const int64_t H = config.mamba_heads, P = config.mamba_head_width, G = config.groups, N = config.states;
  const int64_t channels = H * P + 2 * G * N, K = config.conv_width;
  const KernelCase scan{
      .name = "mamba2_scan/" + name,
      .operands =
          [=](Tokens n) {
            return Operands()
                .activation({n.batch, n.time, H, P})
                .activation({n.batch, n.time, H})
                .activation({n.batch, n.time, G, N})
                .activation({n.batch, n.time, G, N})
                .full_weight({H}, 0, 3)     // a_log: log(1 .. H) at the start of training
                .full_weight({H}, -1, 1)    // D
                .full_weight({H}, -7, -2);  // dt_bias: step sizes from 0.001 to 0.1
          },
      .run = [](const Inputs& in) { return mamba2_scan(in[0], in[1], in[2], in[3], in[4], in[5], in[6]).y; }};
  cases.push_back(scan);
  cases.push_back(step_case(scan, {1, H, P, N}, Role::full_weight, [](const Inputs& in) {
    Mamba2ScanOptions options;
    options.state = in[7];
    return mamba2_scan(in[0], in[1], in[2], in[3], in[4], in[5], in[6], options).y;
  }));
  if (name == "falcon-h1-0.5b") {
    KernelCase long_scan = scan;
    long_scan.name += "_long";
    long_scan.measured = {1, 2048};
    cases.push_back(long_scan);
  }
  const KernelCase conv{.name = "causal_conv1d/" + name,
                        .operands =
                            [=](Tokens n) {
                              return Operands()
                                  .activation({n.batch, n.time, channels})
                                  .full_weight({channels, 1, K}, -0.5, 0.5)
                                  .full_weight({channels}, -0.1, 0.1);
                            },
                        .run = [](const Inputs& in) { return causal_conv1d(in[0], in[1], in[2]).y; }};
  cases.push_back(conv);
  cases.push_back(step_case(conv, {1, K - 1, channels}, Role::activation, [](const Inputs& in) {
    CausalConv1dOptions options;
    options.state = in[3];
    return causal_conv1d(in[0], in[1], in[2], options).y;
  }));
}

// Blocks of vigor_hybrid as wide as i3-80m: d 512; Mamba-1 with 1024 inner channels of 16 states.
void add_mamba1_and_rwkv(std::vector<KernelCase>& cases) {
  constexpr int64_t d = 512, E = 1024, N = 16;
  cases.push_back(
      {.name = "selective_scan/d512",
       .operands =
           [](Tokens n) {
             return Operands()
                 .activation({n.batch, n.time, E})
                 .activation({n.batch, n.time, E})
                 .activation({n.batch, n.time, N})
                 .activation({n.batch, n.time, N})
                 .full_weight({E, N}, 0, 2.8)  // a_log: log(1 .. N)
                 .full_weight({E}, -1, 1)
                 .full_weight({E}, -7, -2);
           },
       .run = [](const Inputs& in) { return selective_scan(in[0], in[1], in[2], in[3], in[4], in[5], in[6]).y; }});
  cases.push_back(
      {.name = "wkv/d512",
       .operands =
           [](Tokens n) {
             const Shape sizes{n.batch, n.time, d};
             return Operands().activation(sizes).activation(sizes).full_weight({d}, -5, 3).full_weight({d}, -2, 0);
           },
       .run = [](const Inputs& in) { return wkv(in[0], in[1], in[2], in[3]).y; }});
  cases.push_back({.name = "token_shift/d512",
                   .operands =
                       [](Tokens n) {
                         return Operands().activation({n.batch, n.time, d}).full_weight({d}, 0, 1);
                       },
                   .run = [](const Inputs& in) { return token_shift(in[0], in[1]).y; }});
}

}  // namespace

void add_recurrence_cases(std::vector<KernelCase>& cases) {
  for (const char* name : {"i3-tiny", "i3-80m"}) add_hybrid_mixer(cases, name);
  for (const char* name : {"falcon-h1-tiny-90m", "falcon-h1-0.5b"}) add_mamba2(cases, name);
  add_mamba1_and_rwkv(cases);
}

}  // namespace vigor
