#!/usr/bin/env python3
"""Times a whole training step of falcon-h1-tiny-90m in transformers, on the CPU, in float32: forward, backward, clip +
AdamW.

Forms (--form, several allowed; default: both):
  eager   the plain path: explicit attention, AdamW parameter by parameter
  fused   scaled_dot_product_attention and fused AdamW: the best eager form. The Mamba-2 part is the same: transformers'
          fast kernels for it need a GPU.

Each form runs in a fresh process, so that peak_rss_bytes (ru_maxrss) is its own. Output: one JSON object a form on
standard output, the last line; progress goes to standard error. step_s and its parts are medians over the timed steps.

  python bench/peers/falcon_h1_transformers_step.py --form fused --steps 3
"""

import argparse

import timed_steps

# form -> (attention, AdamW fused)
FORMS = {"eager": ("eager", False), "fused": ("sdpa", True)}
# The preset falcon-h1-tiny-90m.
CONFIG = dict(
    vocab_size=32768,
    hidden_size=512,
    num_hidden_layers=24,
    num_attention_heads=8,
    num_key_value_heads=2,
    head_dim=64,
    mamba_d_ssm=768,
    mamba_n_heads=24,
    mamba_d_head=32,
    mamba_d_state=64,
    mamba_n_groups=1,
    mamba_chunk_size=128,
    intermediate_size=768,
    tie_word_embeddings=True,
    use_cache=False,
)


def build(args, form):
    """-> model, function from inputs to logits, optimizer, vocabulary size."""
    import torch
    from transformers import FalconH1Config, FalconH1ForCausalLM
    from transformers.utils import logging

    logging.set_verbosity_error()  # it warns of the missing GPU kernels
    attention, fused_adamw = FORMS[form]
    settings = CONFIG | {"vocab_size": args.vocab_size or CONFIG["vocab_size"]}
    settings["num_hidden_layers"] = args.layers or CONFIG["num_hidden_layers"]
    config = FalconH1Config(**settings, attn_implementation=attention)
    model = FalconH1ForCausalLM(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.01, fused=fused_adamw)
    return model, lambda inputs: model(inputs).logits, optimizer, config.vocab_size


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    timed_steps.add_arguments(parser, FORMS)
    args = parser.parse_args()
    args.form = args.form or list(FORMS)
    return args


if __name__ == "__main__":
    timed_steps.run(parse_arguments(), build, __file__)
