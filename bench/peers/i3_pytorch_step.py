#!/usr/bin/env python3
"""Times a whole i3-80M training step in PyTorch, on the CPU, in float32: forward, backward, clip + AdamW.

Forms (--form, several allowed; default: all but compiled_unrolled):
  published          the published loop over T, explicit attention, eager
  vectorised         two GEMMs + thin recurrence, explicit attention, eager
  vectorised_fused   the same with scaled_dot_product_attention and fused AdamW: the best eager form
  compiled           torch.compile of vectorised_fused; the two recurrences stay eager (a graph break a mixer)
  compiled_unrolled  torch.compile of all of it, recurrences unrolled: thousands of nodes, may compile for very long

Each form runs in a fresh process, so that peak_rss_bytes (ru_maxrss) is its own. Output: one JSON object a form on
standard output, the last line; progress goes to standard error. step_s and its parts are medians over the timed steps.

  python bench/peers/i3_pytorch_step.py --form vectorised --steps 5
  python bench/peers/i3_pytorch_step.py --batch 1 --seq-len 1024 --form vectorised_fused
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import timed_steps

# form -> (mixer form, attention form, AdamW fused, compile: None | "recurrence_eager" | "all")
FORMS = {
    "published": ("loop", "explicit", False, None),
    "vectorised": ("vectorised", "explicit", False, None),
    "vectorised_fused": ("vectorised", "fused", True, None),
    "compiled": ("vectorised", "fused", True, "recurrence_eager"),
    "compiled_unrolled": ("vectorised", "fused", True, "all"),
}
DEFAULT_FORMS = [form for form in FORMS if form != "compiled_unrolled"]
LAYERS, VOCAB_SIZE = 16, 35560  # of i3-80M; of fewer layers the first 10/16 are hybrid


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    timed_steps.add_arguments(parser, FORMS)
    args = parser.parse_args()
    args.form = args.form or DEFAULT_FORMS
    return args


def build(args, form):
    """-> model, its callable form, optimizer, vocabulary size."""
    import torch

    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "parity"))
    import i3_reference

    mixer, attention, fused_adamw, compilation = FORMS[form]
    layers, vocab = args.layers or LAYERS, args.vocab_size or VOCAB_SIZE
    hybrid = layers * 10 // 16
    config = replace(
        i3_reference.I3_80M,
        vocab_size=vocab,
        max_seq_len=max(256, args.seq_len),
        layer_types=["hybrid"] * hybrid + ["attention"] * (layers - hybrid),
    )
    model = i3_reference.I3Model(config, mixer, attention)
    if compilation == "recurrence_eager":
        i3_reference.scan_sequentially = torch.compiler.disable(i3_reference.scan_sequentially)
    forward = torch.compile(model) if compilation else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.01, fused=fused_adamw)
    return model, forward, optimizer, vocab


if __name__ == "__main__":
    timed_steps.run(parse_arguments(), build, __file__)
