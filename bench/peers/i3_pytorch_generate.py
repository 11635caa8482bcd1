#!/usr/bin/env python3
"""Times text generation with i3-80M in PyTorch as published: the whole context is recomputed for each token.

Output: one JSON object; progress goes to standard error. Untrained weights: the time does not depend on them.

  python bench/peers/i3_pytorch_generate.py --new-tokens 100
  python bench/peers/i3_pytorch_generate.py --form vectorised --prompt-tokens 256    # at full context
"""

import argparse
import json
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "parity"))
from i3_reference import I3_80M, I3Model, MIXER_FORMS  # noqa: E402

TEMPERATURE = 0.8
TOP_K = 40


@torch.no_grad()
def generate(model, ids, new_tokens):
    """ids [1,T0] -> ids [1,T0+new_tokens] and the seconds of each token."""
    seconds = []
    for _ in range(new_tokens):
        begin = time.perf_counter()
        context = ids[:, -model.config.max_seq_len :]  # [1,T]
        logits = model(context)[:, -1] / TEMPERATURE  # [1,V]
        values, candidates = logits.topk(TOP_K)  # [1,k]
        choice = torch.multinomial(values.softmax(dim=-1), 1)  # [1,1]
        ids = torch.cat([ids, candidates.gather(1, choice)], dim=1)
        seconds.append(time.perf_counter() - begin)
    return ids, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--form", choices=MIXER_FORMS, default="loop", help="loop is the published form")
    parser.add_argument("--new-tokens", type=int, default=100)
    parser.add_argument("--prompt-tokens", type=int, default=8)
    parser.add_argument("--vocab-size", type=int, default=35560)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = I3Model(replace(I3_80M, vocab_size=args.vocab_size), mixer_form=args.form).eval()
    prompt = torch.randint(0, args.vocab_size, (1, args.prompt_tokens))
    generate(model, prompt, 2)  # warm-up
    _, seconds = generate(model, prompt, args.new_tokens)

    total = sum(seconds)
    print(f"{args.form}: {args.new_tokens} tokens in {total:.2f} s", file=sys.stderr)
    result = {
        "form": args.form,
        "tokens_per_s": args.new_tokens / total,
        "first_token_s": seconds[0],
        "last_token_s": seconds[-1],
        "new_tokens": args.new_tokens,
        "prompt_tokens": args.prompt_tokens,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "threads": args.threads,
        "torch": torch.__version__,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
