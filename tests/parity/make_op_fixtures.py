"""Writes tests/fixtures/ops/: one small file per operation, inputs and what PyTorch computes for them.

tests/fixtures/ops/README.md lists the tensors. Computed in float64 from float32 inputs, rounded to float32 at the end.

    python tests/parity/make_op_fixtures.py
"""

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from fixture_files import save
from i3_reference import HybridMixer

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "ops"


def random_inputs(generator, **shapes):
    """Float64 leaves whose values are exactly representable in float32."""
    return {
        name: torch.randn(shape, generator=generator).double().requires_grad_() for name, shape in shapes.items()
    }


def write(name, inputs, outputs, generator, integers=()):
    """Saves inputs, outputs y, random output gradients dy, and the input gradients they lead to.

    inputs and outputs are dictionaries of tensors; a scalar output gets the gradient 1 and no dy entry.
    """
    douts = {
        key: torch.ones_like(value) if value.dim() == 0 else torch.randn(value.shape, generator=generator).double()
        for key, value in outputs.items()
    }
    grads = torch.autograd.grad(list(outputs.values()), list(inputs.values()), list(douts.values()))
    tensors = inputs | outputs
    tensors |= {f"d{key}": value for key, value in douts.items() if value.dim() > 0}
    tensors |= {f"d{key}": value for key, value in zip(inputs, grads)}
    save({key: value.float() for key, value in tensors.items()} | dict(integers), FIXTURES / f"{name}.safetensors")


def norms(generator):
    inputs = random_inputs(generator, x=(3, 5, 17), weight=(17,), bias=(17,))
    outputs = {"y": F.layer_norm(inputs["x"], (17,), inputs["weight"], inputs["bias"], eps=1e-5)}
    write("layer_norm", inputs, outputs, generator)

    inputs = random_inputs(generator, x=(3, 5, 17), weight=(17,))
    outputs = {"y": F.rms_norm(inputs["x"], (17,), inputs["weight"], eps=1e-5)}
    write("rms_norm", inputs, outputs, generator)


def elementwise(generator):
    functions = {
        "gelu": F.gelu,
        "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
        "silu": F.silu,
        "softplus": F.softplus,
        "sigmoid": torch.sigmoid,
    }
    for name, function in functions.items():
        # A normal range and both far tails, where naive formulas lose digits or overflow.
        x = torch.cat([torch.randn(40, generator=generator), torch.linspace(-30, 30, 21)]).double().requires_grad_()
        write(name, {"x": x}, {"y": function(x)}, generator)


def softmax_and_cross_entropy(generator):
    inputs = random_inputs(generator, x=(7, 33))
    write("softmax", inputs, {"y": inputs["x"].softmax(dim=-1)}, generator)

    logits = (10 * torch.randn(9, 33, generator=generator)).double().requires_grad_()
    targets = torch.randint(0, 33, (9,), generator=generator)
    outputs = {"loss": F.cross_entropy(logits, targets)}
    write("cross_entropy", {"logits": logits}, outputs, generator, {"targets": targets})


def attention(generator):
    B, T, Hq, Hkv, P = 2, 13, 6, 2, 5
    inputs = random_inputs(generator, q=(B, T, Hq, P), k=(B, T, Hkv, P), v=(B, T, Hkv, P))
    q = inputs["q"].transpose(1, 2)  # [B,Hq,T,P]
    k, v = (inputs[name].transpose(1, 2).repeat_interleave(Hq // Hkv, dim=1) for name in ("k", "v"))  # [B,Hq,T,P]
    scores = q @ k.transpose(-2, -1) / math.sqrt(P)
    scores = scores.masked_fill(torch.ones(T, T, dtype=torch.bool).triu(1), float("-inf"))
    y = (scores.softmax(dim=-1) @ v).transpose(1, 2)  # [B,T,Hq,P]
    log_sum_exp = scores.logsumexp(dim=-1)  # [B,Hq,T]
    write("attention", inputs, {"y": y}, generator, {"log_sum_exp": log_sum_exp.float()})


def hybrid_mixer(generator):
    B, T, d, n = 3, 17, 11, 4
    mixer = HybridMixer(d, n, form="loop").double()
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
        mixer.w_mix.copy_((0.5 * mixer.w_mix).float())
        mixer.w_mix[:4] = torch.tensor([0.0, 1.0, -0.4, 1.08])  # nothing keeps w_mix inside (0, 1)
        mixer.A.copy_((0.4 * mixer.A).float())
    states = random_inputs(generator, x=(B, T, d), h0=(B, d), s0=(B, n))
    y, h, s = mixer.scan(states["x"], states["h0"], states["s0"])
    write("hybrid_mixer", states | dict(mixer.named_parameters()), {"y": y, "hT": h, "sT": s}, generator)


def adamw(generator):
    """Three steps over two tensors with different gradients each step, clipped by their common norm."""
    lr, steps = 1e-2, 3
    params = [torch.randn(shape, generator=generator).double().requires_grad_() for shape in ((5, 7), (7,))]
    tensors = {f"p{i}": p.detach().clone() for i, p in enumerate(params)}
    optimizer = torch.optim.AdamW(params, lr=lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    grad_norms = []
    for step in range(1, steps + 1):
        for i, p in enumerate(params):
            p.grad = (0.3 * step * torch.randn(p.shape, generator=generator)).double()
            tensors[f"step{step}.grad{i}"] = p.grad.clone()
        grad_norms.append(torch.nn.utils.clip_grad_norm_(params, 1.0))
        optimizer.step()
        tensors |= {f"step{step}.p{i}": p.detach().clone() for i, p in enumerate(params)}
    for i, p in enumerate(params):
        tensors |= {f"m{i}": optimizer.state[p]["exp_avg"], f"v{i}": optimizer.state[p]["exp_avg_sq"]}
    tensors["grad_norms"] = torch.stack(grad_norms)
    save({key: value.float() for key, value in tensors.items()}, FIXTURES / "adamw.safetensors")


def main():
    torch.set_num_threads(1)
    FIXTURES.mkdir(parents=True, exist_ok=True)
    makers = (norms, elementwise, softmax_and_cross_entropy, attention, hybrid_mixer, adamw)
    for seed, make in enumerate(makers, start=1):
        make(torch.Generator().manual_seed(seed))
    files = sorted(FIXTURES.glob("*.safetensors"))
    print(f"{len(files)} files, {sum(path.stat().st_size for path in files) / 1e3:.0f} kB in {FIXTURES}")


if __name__ == "__main__":
    main()
