// Attention, in training and for one new token, and the rotation of its queries.
#include "kernels/attention/attention.h"

#include "bench/kernels/kernel_case.h"
#include "kernels/rope/rope.h"

namespace vigor {
namespace {

using Inputs = std::vector<Tensor>;

struct Heads {
  int64_t q, kv, width;
};

KernelCase separate_case(const std::string& name, Heads heads, Tokens tokens) {
  const auto operands = [=](Tokens n) {
    const Shape keys{n.batch, n.time, heads.kv, heads.width};
    return Operands().activation({n.batch, n.time, heads.q, heads.width}).activation(keys).activation(keys);
  };
  const Operation run = [](const Inputs& in) { return attention(in[0], in[1], in[2]).y; };
  return {.name = "attention/" + name, .operands = operands, .run = run, .measured = tokens};
}

// One token after `keys` others, as in generation.
KernelCase decode_case(const std::string& name, Heads heads, int64_t keys) {
  const auto operands = [=](Tokens) {
    const Shape cache{1, keys, heads.kv, heads.width};
    return Operands().activation({1, 1, heads.q, heads.width}).activation(cache).activation(cache);
  };
  const Tensor last = full({1}, static_cast<double>(keys - 1), Dtype::i32);
  const Operation run = [last](const Inputs& in) {
    AttentionOptions options;
    options.offsets = last;
    return attention(in[0], in[1], in[2], options).y;
  };
  return {.name = "attention_decode/" + name, .operands = operands, .run = run, .has_backward = false};
}

}  // namespace

void add_attention_cases(std::vector<KernelCase>& cases) {
  for (const char* name : {"i3-tiny", "i3-80m"}) {
    const I3Config config = i3_preset(name);
    const int64_t heads = config.n_heads, width = config.d_model / heads;
    cases.push_back({.name = "attention_qkv/" + std::string(name),
                     .operands =
                         [=](Tokens n) {
                           return Operands().activation({n.batch, n.time, 3 * heads, width});
                         },
                     .run = [=](const Inputs& in) { return attention_qkv(in[0], heads).y; }});
  }
  const Heads i3{16, 16, 32};
  const FalconH1Config config = falcon_preset("falcon-h1-0.5b");  // tiny-90m has the same heads
  const Heads falcon{config.heads, config.kv_heads, config.head_width};
  cases.push_back(separate_case("falcon-h1", falcon, {}));
  cases.push_back(separate_case("i3-80m_long", i3, {1, 2048}));
  cases.push_back(decode_case("i3-80m_at_256", i3, 256));
  cases.push_back(decode_case("falcon-h1_at_16384", falcon, 16384));
  const double theta = config.rope_theta;
  cases.push_back({.name = "rope/falcon-h1",
                   .operands =
                       [=](Tokens n) {
                         return Operands().activation({n.batch, n.time, falcon.q, falcon.width});
                       },
                   .run = [=](const Inputs& in) { return rope(in[0], {.theta = theta}); }});
}

}  // namespace vigor
