// Linear layers: every matrix product of a model but the head's (vocabulary.cpp). bench/gemm_bench measures the bare
// products, library by library; here they are with bias, GELU and the sums of the gradients.
#include "bench/kernels/kernel_case.h"
#include "kernels/linear/linear.h"
#include "kernels/low_rank_linear/low_rank_linear.h"

namespace vigor {
namespace {

enum class Bias : bool { no, yes };

KernelCase linear_case(const std::string& name, int64_t in, int64_t out, Bias bias, Tokens tokens = {}) {
  const auto operands = [=](Tokens n) {
    Operands result = Operands().activation({n.batch, n.time, in}).weight({out, in});
    if (bias == Bias::yes) result.weight({out});
    return result;
  };
  const Operation run = [](const std::vector<Tensor>& x) { return linear(x[0], x[1], x.size() > 2 ? x[2] : Tensor()); };
  return {.name = "linear/" + name, .operands = operands, .run = run, .measured = tokens, .checked = {1, 24}};
}

KernelCase low_rank_case(const std::string& name, int64_t in, int64_t rank, int64_t out) {
  const auto operands = [=](Tokens n) {
    return Operands().activation({n.batch, n.time, in}).weight({out, rank}).weight({rank, in}).weight({out});
  };
  const Operation run = [](const std::vector<Tensor>& x) { return low_rank_linear(x[0], x[1], x[2], x[3]); };
  return {.name = "low_rank_linear/" + name, .operands = operands, .run = run, .checked = {1, 24}};
}

void add_i3_cases(std::vector<KernelCase>& cases, const std::string& name) {
  const I3Config config = i3_preset(name);
  const int64_t d = config.d_model, hidden = 4 * d;
  if (config.ffn_rank > 0) {
    cases.push_back(low_rank_case(name + "_up", d, config.ffn_rank, hidden));
    cases.push_back(low_rank_case(name + "_down", hidden, config.ffn_rank, d));
    return;
  }
  const auto operands = [=](Tokens n) {
    return Operands().activation({n.batch, n.time, d}).weight({hidden, d}).weight({hidden});
  };
  const Operation run = [](const std::vector<Tensor>& x) { return linear_gelu(x[0], x[1], x[2]); };
  cases.push_back({.name = "linear_gelu/" + name + "_up", .operands = operands, .run = run, .checked = {1, 24}});
  cases.push_back(linear_case(name + "_down", hidden, d, Bias::yes));
  cases.push_back(linear_case(name + "_qkv", d, 3 * d, Bias::yes));
  cases.push_back(linear_case(name + "_out", d, d, Bias::yes));
}

void add_falcon_cases(std::vector<KernelCase>& cases, const std::string& name, Tokens tokens) {
  const FalconH1Config config = falcon_preset(name);
  const int64_t d = config.d_model, inner = config.mamba_heads * config.mamba_head_width;
  const int64_t states = config.groups * config.states;
  const auto add = [&](const char* part, int64_t in, int64_t out) {
    cases.push_back(linear_case(name + part, in, out, Bias::no, tokens));
  };
  add("_in_proj", d, 2 * inner + 2 * states + config.mamba_heads);
  add("_out_proj", inner, d);
  add("_q_proj", d, config.heads * config.head_width);
  add("_k_proj", d, config.kv_heads * config.head_width);
  add("_up_proj", d, config.hidden);
  add("_down_proj", config.hidden, d);
}

}  // namespace

void add_product_cases(std::vector<KernelCase>& cases) {
  for (const char* name : {"i3-tiny", "i3-22m", "i3-80m"}) add_i3_cases(cases, name);
  add_falcon_cases(cases, "falcon-h1-tiny-90m", {});
  add_falcon_cases(cases, "falcon-h1-0.5b", {1, 256});
}

}  // namespace vigor
