#!/usr/bin/env python3
"""Loads a folder saved by vigor into PyTorch and compares logits and gradients: i3 into i3_reference.py, Falcon-H1 into
the transformers package.

DIR holds config.json and model.safetensors (for Falcon-H1 also shards); vigor reads the same folder with

    vigor eval --model DIR --ids ids.json --save-logits L.safetensors --save-grads G.safetensors

Usage:   python tests/parity/check_saved_folder.py DIR [--vigor build/release/vigor] [--batch 2] [--seq-len 64]
Exit status 0 if every comparison holds, 1 if not.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from i3_reference import I3Config, I3Model, next_token_loss
from safetensors.torch import load_file

LOGITS_TOLERANCE = 1e-4  # absolute and relative
GRADIENT_TOLERANCE = 1e-3  # of the largest value of each gradient


def i3_reference(folder):
    """Logits and loss of ids [B,T] as a function, and the module; loading is strict in names and shapes."""
    weights = load_file(folder / "model.safetensors")
    weights = {name.removeprefix("i3."): value.double() for name, value in weights.items()}
    config = I3Config.from_json(folder / "config.json")
    for name, value in weights.items():
        if name.endswith("hybrid.A"):
            config.d_state = value.shape[0]  # shapes in the weights win
    model = I3Model(config).double()
    model.load_state_dict(weights)
    return model, lambda ids: next_token_loss(model, ids), config.max_seq_len


def falcon_h1_reference(folder):
    """The same with transformers, on its plain path."""
    from transformers import FalconH1ForCausalLM

    model, report = FalconH1ForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    wrong = {kind: names for kind, names in report.items() if names}
    if wrong:
        sys.exit(f"{folder}: transformers found {wrong}")
    padding = model.config.pad_token_id

    def forward(ids):
        if padding is not None:  # transformers keeps that row of the embedding out of training
            ids[ids == padding] = (padding + 1) % model.config.vocab_size
        result = model(input_ids=ids, labels=ids, use_cache=False)
        return result.logits, result.loss

    return model.eval(), forward, model.config.max_position_embeddings


def load_reference(folder):
    kind = json.loads((folder / "config.json").read_text())["model_type"]
    return falcon_h1_reference(folder) if kind == "falcon_h1" else i3_reference(folder)


def run_vigor(vigor, folder, ids, work):
    """vigor's logits and gradients for ids [B,T]."""
    ids_file, logits_file, grads_file = work / "ids.json", work / "logits.safetensors", work / "grads.safetensors"
    ids_file.write_text(json.dumps(ids.tolist()))
    command = [vigor, "eval", "--model", folder, "--ids", ids_file]
    command += ["--save-logits", logits_file, "--save-grads", grads_file]
    print("$", *command, flush=True)
    subprocess.run([str(word) for word in command], check=True)
    logits = list(load_file(logits_file).values())
    if len(logits) != 1:
        sys.exit(f"{logits_file}: expected one tensor; got {len(logits)}")
    return logits[0].double(), {name: value.double() for name, value in load_file(grads_file).items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--vigor", default="build/release/vigor", help="the vigor program (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--seq-len", type=int, default=64, help="capped at the model's max_seq_len")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    model, forward, max_seq_len = load_reference(args.folder)
    count = sum(p.numel() for p in model.parameters())
    print(f"{args.folder}: {count:,} parameters loaded, names and shapes as published")
    T = min(args.seq_len, max_seq_len)
    generator = torch.Generator().manual_seed(args.seed)
    ids = torch.randint(0, model.config.vocab_size, (args.batch, T), generator=generator)
    expected, loss = forward(ids)
    loss.backward()

    with tempfile.TemporaryDirectory() as work:
        logits, grads = run_vigor(args.vigor, args.folder, ids, Path(work))

    failures = 0
    difference = (logits - expected).abs()
    limit = LOGITS_TOLERANCE * (1 + expected.abs())
    failures += not bool((difference <= limit).all())  # written so that a NaN fails
    print(f"logits {list(logits.shape)}: largest difference {difference.max().item():.2e}")

    expected_grads = {name: p.grad for name, p in model.named_parameters()}
    if grads.keys() != expected_grads.keys():
        sys.exit(f"gradient names differ: {sorted(grads.keys() ^ expected_grads.keys())}")
    deviation = {
        name: ((grads[name] - reference).abs().max() / reference.abs().max().clamp_min(1e-30)).item()
        for name, reference in expected_grads.items()
    }
    failures += sum(not value <= GRADIENT_TOLERANCE for value in deviation.values())
    worst = max(deviation, key=deviation.get)
    print(f"{len(grads)} gradients: largest relative difference {deviation[worst]:.2e} ({worst})")
    print("agree" if failures == 0 else f"{failures} comparisons outside the tolerance")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
