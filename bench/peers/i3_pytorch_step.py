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
import json
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

# form -> (mixer form, attention form, AdamW fused, compile: None | "recurrence_eager" | "all")
FORMS = {
    "published": ("loop", "explicit", False, None),
    "vectorised": ("vectorised", "explicit", False, None),
    "vectorised_fused": ("vectorised", "fused", True, None),
    "compiled": ("vectorised", "fused", True, "recurrence_eager"),
    "compiled_unrolled": ("vectorised", "fused", True, "all"),
}
DEFAULT_FORMS = [form for form in FORMS if form != "compiled_unrolled"]
WARMUP_STEPS = 1


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--form", action="append", choices=FORMS, help="repeat for several")
    parser.add_argument("--steps", type=int, default=5, help="timed steps, after one untimed (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seq-len", type=int, default=256)
    parser.add_argument("--layers", type=int, default=16, help="fewer for a smoke test; the first 10/16 are hybrid")
    parser.add_argument("--vocab-size", type=int, default=35560)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=1800, help="seconds a form may take, compilation included")
    parser.add_argument("--in-process", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.form = args.form or DEFAULT_FORMS
    return args


def peak_rss_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts KiB


def build(args, form):
    """-> model, its callable form, optimizer."""
    import torch

    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "parity"))
    import i3_reference

    mixer, attention, fused_adamw, compilation = FORMS[form]
    hybrid = args.layers * 10 // 16
    config = replace(
        i3_reference.I3_80M,
        vocab_size=args.vocab_size,
        max_seq_len=max(256, args.seq_len),
        layer_types=["hybrid"] * hybrid + ["attention"] * (args.layers - hybrid),
    )
    model = i3_reference.I3Model(config, mixer, attention)
    if compilation == "recurrence_eager":
        i3_reference.scan_sequentially = torch.compiler.disable(i3_reference.scan_sequentially)
    forward = torch.compile(model) if compilation else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.01, fused=fused_adamw)
    return model, forward, optimizer


def measure(args, form):
    """Runs the steps in this process -> the result as a dictionary."""
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    import_rss = peak_rss_bytes()
    model, forward, optimizer = build(args, form)
    vocab = model.config.vocab_size
    generator = torch.Generator().manual_seed(1)

    parts = {"forward_s": [], "backward_s": [], "optimizer_s": []}
    steps, losses, first_step_s = [], [], 0.0
    for step in range(WARMUP_STEPS + args.steps):
        windows = torch.randint(0, vocab, (args.batch, args.seq_len + 1), generator=generator)
        inputs, targets = windows[:, :-1], windows[:, 1:]
        times = [time.perf_counter()]
        optimizer.zero_grad(set_to_none=True)
        logits = forward(inputs)  # [B,T,V]
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        losses.append(loss.item())
        times.append(time.perf_counter())
        loss.backward()
        times.append(time.perf_counter())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        times.append(time.perf_counter())
        del logits, loss  # 146 MB that the next forward would otherwise find still held
        seconds = times[-1] - times[0]
        print(f"{form}: step {step} {seconds:.2f} s, loss {losses[-1]:.4f}", file=sys.stderr, flush=True)
        if step < WARMUP_STEPS:
            first_step_s = first_step_s or seconds
            continue
        steps.append(seconds)
        for values, begin, end in zip(parts.values(), times, times[1:]):
            values.append(end - begin)

    step_s = statistics.median(steps)
    return {
        "form": form,
        "step_s": step_s,
        "tokens_per_s": args.batch * args.seq_len / step_s,
        **{name: statistics.median(values) for name, values in parts.items()},
        "step_s_all": steps,
        "first_step_s": first_step_s,  # with compilation, in the compiled forms
        "peak_rss_bytes": peak_rss_bytes(),
        "import_rss_bytes": import_rss,  # of which so much was there before the model: PyTorch's own libraries
        "parameters": sum(p.numel() for p in model.parameters()),
        "batch": args.batch,
        "seq_len": args.seq_len,
        "threads": args.threads,
        "losses": losses,
        "torch": torch.__version__,
    }


def measure_in_child(args, form):
    """The same in a fresh process; a form that fails or takes too long is reported, not fatal."""
    command = [sys.executable, __file__, "--in-process", "--form", form]
    for name in ("steps", "batch", "seq_len", "layers", "vocab_size", "threads"):
        command += [f"--{name.replace('_', '-')}", str(getattr(args, name))]
    try:
        child = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=args.timeout)
    except subprocess.TimeoutExpired:
        return {"form": form, "error": f"not finished after {args.timeout:.0f} s"}
    if child.returncode != 0:
        return {"form": form, "error": f"exit status {child.returncode}"}
    return json.loads(child.stdout.splitlines()[-1])


def main():
    args = parse_arguments()
    for form in args.form:
        result = measure(args, form) if args.in_process else measure_in_child(args, form)
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
