"""What the step benchmarks of the peers share: timing whole training steps, each form in a fresh process."""

import json
import resource
import statistics
import subprocess
import sys
import time

WARMUP_STEPS = 1


def add_arguments(parser, forms):
    parser.add_argument("--form", action="append", choices=forms, help="repeat for several")
    parser.add_argument("--steps", type=int, default=5, help="timed steps, after one untimed (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seq-len", type=int, default=256)
    parser.add_argument("--layers", type=int, help="fewer for a smoke test")
    parser.add_argument("--vocab-size", type=int)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=1800, help="seconds a form may take, compilation included")
    parser.add_argument("--in-process", action="store_true", help="measure here, not in a process of its own")


def peak_rss_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts KiB


def measure(args, form, build):
    """Runs the steps in this process -> the result as a dictionary.

    build(args, form) -> model, logits_of (inputs [B,T] -> logits [B,T,V]), optimizer, vocabulary size.
    """
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    import_rss = peak_rss_bytes()
    model, logits_of, optimizer, vocab = build(args, form)
    generator = torch.Generator().manual_seed(1)

    parts = {"forward_s": [], "backward_s": [], "optimizer_s": []}
    steps, losses, first_step_s = [], [], 0.0
    for step in range(WARMUP_STEPS + args.steps):
        windows = torch.randint(0, vocab, (args.batch, args.seq_len + 1), generator=generator)
        inputs, targets = windows[:, :-1], windows[:, 1:]
        times = [time.perf_counter()]
        optimizer.zero_grad(set_to_none=True)
        logits = logits_of(inputs)  # [B,T,V]
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


def measure_in_child(args, form, script):
    """The same in a fresh process; a form that fails or takes too long is reported, not fatal."""
    command = [sys.executable, script, "--in-process", "--form", form]
    for name in ("steps", "batch", "seq_len", "layers", "vocab_size", "threads"):
        if getattr(args, name) is not None:
            command += [f"--{name.replace('_', '-')}", str(getattr(args, name))]
    try:
        child = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=args.timeout)
    except subprocess.TimeoutExpired:
        return {"form": form, "error": f"not finished after {args.timeout:.0f} s"}
    if child.returncode != 0:
        return {"form": form, "error": f"exit status {child.returncode}"}
    return json.loads(child.stdout.splitlines()[-1])


def run(args, build, script):
    """Prints one JSON object a form."""
    for form in args.form:
        result = measure(args, form, build) if args.in_process else measure_in_child(args, form, script)
        print(json.dumps(result), flush=True)
