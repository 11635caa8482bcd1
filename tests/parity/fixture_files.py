"""What the make_*_fixtures.py scripts share: writing of fixture files, and the training that model fixtures record."""

import json

import torch
from safetensors.torch import save_file

STEPS = 5


def save(tensors, path, metadata=None):
    """Contiguous copies of the tensors, in a file everyone may read (the package writes 0600)."""
    save_file({name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}, path, metadata=metadata)
    path.chmod(0o644)


def save_json(values, path):
    path.write_text(json.dumps(values, indent=2) + "\n")


def train(model, forward):
    """STEPS steps of AdamW with clipping and warm-up -> tensors by name, losses, gradient norms before clipping.

    `forward(model)` gives the logits and the loss of the one batch.
    """
    learning_rate = 3e-4
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=learning_rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01
    )
    tensors, losses, norms = {}, [], []
    for it in range(STEPS):
        optimizer.param_groups[0]["lr"] = learning_rate * (it + 1) / 100
        optimizer.zero_grad()
        logits, loss = forward(model)
        loss.backward()
        if it == 0:
            tensors |= {"logits": logits.detach(), "loss": loss.detach()}
            tensors |= {f"grad.{name}": p.grad.clone() for name, p in model.named_parameters()}
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item())
        losses.append(loss.item())
        optimizer.step()
    tensors |= {f"step{STEPS}.{name}": p.detach().clone() for name, p in model.named_parameters()}
    return tensors, losses, norms


def relative_deviation(actual, expected):
    """Largest difference over the largest expected value of one tensor."""
    scale = expected.abs().max().item()
    return (actual.double() - expected).abs().max().item() / scale if scale else 0.0


def float32_deviation(single, expected, noise=None):
    """How far a float32 run's tensors by name are from the expected ones, at most: the yardstick for tolerances.

    Weights whose name ends in `noise` are reported by themselves: their gradient is only rounding, of which Adam makes
    full steps.
    """
    deviation = {key: relative_deviation(single[key], expected[key]) for key in expected}
    steps = {key: value for key, value in deviation.items() if key.startswith(f"step{STEPS}.")}
    noisy = [value for key, value in steps.items() if noise and key.endswith(noise)]
    summary = {
        "logits": deviation["logits"],
        "grad": max(value for key, value in deviation.items() if key.startswith("grad.")),
        "step": max(value for key, value in steps.items() if not (noise and key.endswith(noise))),
    }
    return summary | ({"step_" + noise.replace(".", "_"): max(noisy, default=0.0)} if noise else {})


def write_case(folder, config, weights, tensors, results, single, noise=None, **versions):
    """The files of one model's fixture folder: config.json, model.safetensors, expected.safetensors, meta.json.

    `tensors` are further ones for expected.safetensors, as they are; `results` and `single` what train() gave in
    float64 and in float32.
    """
    expected, losses, norms = results
    folder.mkdir(parents=True, exist_ok=True)
    save_json(config, folder / "config.json")
    save(weights, folder / "model.safetensors", metadata={"format": "pt"})
    save(tensors | {key: value.float() for key, value in expected.items()}, folder / "expected.safetensors")
    deviation = float32_deviation(single[0], expected, noise)
    meta = {"losses": losses, "grad_norms": norms, "float32_deviation": deviation}
    save_json(meta | {"torch": torch.__version__.split("+")[0]} | versions, folder / "meta.json")
    print(f"{folder.name}: losses {losses[0]:.4f} -> {losses[-1]:.4f}, grad norm {norms[0]:.3f}, {deviation}")


def make_reproducible():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)


def print_size(folder):
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{size / 1e6:.2f} MB in {folder}")
