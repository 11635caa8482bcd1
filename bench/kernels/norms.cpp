// Normalisations: in front of every mixer and feed-forward, and the gated one of Mamba-2.
#include "bench/kernels/kernel_case.h"
#include "kernels/gated_rms_norm/gated_rms_norm.h"
#include "kernels/layer_norm/layer_norm.h"
#include "kernels/rms_norm/rms_norm.h"

namespace vigor {

void add_norm_cases(std::vector<KernelCase>& cases) {
  for (const char* name : {"i3-tiny", "i3-80m"}) {
    const int64_t d = i3_preset(name).d_model;
    cases.push_back({.name = "layer_norm/" + std::string(name),
                     .operands =
                         [d](Tokens n) {
                           return Operands()
                               .activation({n.batch, n.time, d})
                               .full_weight({d}, 0.5, 1.5)
                               .full_weight({d}, -0.1, 0.1);
                         },
                     .run = [](const std::vector<Tensor>& in) { return layer_norm(in[0], in[1], in[2]); }});
  }
  for (const char* name : {"falcon-h1-tiny-90m", "falcon-h1-0.5b"}) {
    const FalconH1Config config = falcon_preset(name);
    const int64_t d = config.d_model, inner = config.mamba_heads * config.mamba_head_width, groups = config.groups;
    cases.push_back({.name = "rms_norm/" + std::string(name),
                     .operands =
                         [d](Tokens n) {
                           return Operands().activation({n.batch, n.time, d}).full_weight({d}, 0.5, 1.5);
                         },
                     .run = [](const std::vector<Tensor>& in) { return rms_norm(in[0], in[1]); }});
    cases.push_back(
        {.name = "gated_rms_norm/" + std::string(name),
         .operands =
             [inner](Tokens n) {
               const Shape sizes{n.batch, n.time, inner};
               return Operands().activation(sizes).activation(sizes).full_weight({inner}, 0.5, 1.5);
             },
         .run =
             [groups](const std::vector<Tensor>& in) { return gated_rms_norm(in[0], in[1], in[2], groups, false); }});
  }
}

}  // namespace vigor
