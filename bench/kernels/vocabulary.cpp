// What is as wide as the vocabulary: embeddings, the head with its loss, sampling.
#include "bench/kernels/kernel_case.h"
#include "kernels/cross_entropy/cross_entropy.h"
#include "kernels/embedding/embedding.h"
#include "kernels/linear_cross_entropy/linear_cross_entropy.h"
#include "kernels/repetition_penalty/repetition_penalty.h"
#include "kernels/sampling/sampling.h"

namespace vigor {
namespace {

using Inputs = std::vector<Tensor>;

// Few tokens, as in a check, take part of the vocabulary.
int64_t entries(int64_t V, Tokens n) { return std::min(V, 512 * n.batch * n.time); }

// As in training: forward computes the gradients too, and backward adds them up.
KernelCase head_case(const std::string& name, int64_t d, int64_t V, bool has_bias, Tokens tokens) {
  const auto operands = [=](Tokens n) {
    const int64_t rows = n.batch * n.time, some = entries(V, n);
    Operands result = Operands().activation({rows, d}).ids({rows}, some).weight({some, d});
    if (has_bias) result.weight({some});
    return result;
  };
  const Operation run = [](const Inputs& in) {
    return linear_cross_entropy(in[0], in[2], in.size() > 3 ? in[3] : Tensor(), in[1]);
  };
  return {
      .name = "linear_cross_entropy/" + name, .operands = operands, .run = run, .measured = tokens, .checked = {1, 4}};
}

void add_i3(std::vector<KernelCase>& cases, const std::string& name) {
  const I3Config config = i3_preset(name);
  const int64_t V = config.vocab_size, d = config.d_model, longest = config.max_seq_len;
  cases.push_back(head_case(name, d, V, true, {}));
  if (name == "i3-22m") return;  // its embedding differs in V alone
  cases.push_back({.name = "embedding_with_positions/" + name,
                   .operands =
                       [=](Tokens n) {
                         return Operands()
                             .ids({n.batch, n.time}, entries(V, n))
                             .weight({entries(V, n), d})
                             .weight({std::max(longest, n.time), d});
                       },
                   .run = [](const Inputs& in) { return embedding_with_positions(in[0], in[1], in[2]); },
                   .checked = {1, 8}});
}

void add_falcon(std::vector<KernelCase>& cases, const std::string& name, Tokens tokens) {
  const FalconH1Config config = falcon_preset(name);
  const int64_t V = config.vocab_size, d = config.d_model;
  cases.push_back(head_case(name, d, V, false, tokens));
  cases.push_back({.name = "embedding/" + name,
                   .operands =
                       [=](Tokens n) {
                         return Operands().ids({n.batch, n.time}, entries(V, n)).weight({entries(V, n), d});
                       },
                   .run = [](const Inputs& in) { return embedding(in[0], in[1]); },
                   .checked = {1, 8}});
}

// One token from logits of standard deviation 3.
KernelCase sampling_case(const std::string& name, int64_t V, const SamplingOptions& options) {
  return {.name = "sample/" + name,
          .operands =
              [=](Tokens) {
                return Operands().activation({1, V}, 3);
              },
          .run = [=](const Inputs& in) { return sample(in[0], options, {}); },
          .has_backward = false,
          .dtypes = {Dtype::f32}};
}

}  // namespace

void add_vocabulary_cases(std::vector<KernelCase>& cases) {
  for (const char* name : {"i3-tiny", "i3-22m", "i3-80m"}) add_i3(cases, name);
  add_falcon(cases, "falcon-h1-tiny-90m", {1, 256});
  add_falcon(cases, "falcon-h1-0.5b", {1, 256});
  const int64_t V = i3_preset("i3-80m").vocab_size;
  cases.push_back({.name = "cross_entropy/i3-80m",
                   .operands =
                       [=](Tokens n) {
                         return Operands().activation({n.batch * n.time, V}).ids({n.batch * n.time}, V);
                       },
                   .run = [](const Inputs& in) { return cross_entropy(in[0], in[1]); },
                   .measured = {1, 256},
                   .checked = {1, 24}});
  constexpr int64_t kLargest = 261120;  // falcon-h1-34b
  cases.push_back(sampling_case("v35560_top_k", V, {.temperature = 0.8, .top_k = 40}));
  cases.push_back(sampling_case("v261120_top_k", kLargest, {.temperature = 0.8, .top_k = 40}));
  cases.push_back(sampling_case("v261120_top_p", kLargest, {.temperature = 0.8, .top_p = 0.9}));
  cases.push_back(sampling_case("v261120_all", kLargest, {.temperature = 0.8}));
  cases.push_back({.name = "repetition_penalty/i3-80m",
                   .operands =
                       [=](Tokens) {
                         return Operands().activation({1, V}, 3).ids({1, 256}, V);
                       },
                   .run = [](const Inputs& in) { return repetition_penalty(in[0], in[1], {}, 1.1); },
                   .has_backward = false});
}

}  // namespace vigor
