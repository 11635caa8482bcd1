"""Writes tests/fixtures/blocks/: Mamba-1 and RWKV-4 blocks, as plain loops over time written from the equations.

tests/fixtures/blocks/README.md lists the tensors. Computed in float64 from float32 inputs, rounded to float32 at the
end. Every definition is also compared with the layer of that name in transformers.

    python tests/parity/make_block_fixtures.py
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from fixture_files import save
from transformers import MambaConfig, RwkvConfig
from transformers.models.mamba.modeling_mamba import MambaMixer
from transformers.models.rwkv.modeling_rwkv import RwkvFeedForward, RwkvSelfAttention

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "blocks"


def mamba1(x, p, N):
    """x [B,T,d] -> y [B,T,d]; p: parameters by their published names."""
    B, T, _ = x.shape
    E, _, K = p["conv1d.weight"].shape
    R = p["dt_proj.weight"].shape[1]
    A = -torch.exp(p["A_log"])  # [E,N]
    inputs, outputs, h = [], [], torch.zeros(B, E, N, dtype=x.dtype)
    for t in range(T):
        u, z = (x[:, t] @ p["in_proj.weight"].T).split(E, dim=-1)  # [B,E] each
        inputs.append(u)
        u = p["conv1d.bias"]
        for k in range(K):  # tap k sees the input of K-1-k steps ago
            if t - (K - 1 - k) >= 0:
                u = u + p["conv1d.weight"][:, 0, k] * inputs[t - (K - 1 - k)]
        u = F.silu(u)
        low, b, c = (u @ p["x_proj.weight"].T).split([R, N, N], dim=-1)
        delta = F.softplus(low @ p["dt_proj.weight"].T + p["dt_proj.bias"])  # [B,E]
        h = torch.exp(delta[:, :, None] * A) * h + delta[:, :, None] * b[:, None, :] * u[:, :, None]
        y = (h * c[:, None, :]).sum(-1) + p["D"] * u
        outputs.append((y * F.silu(z)) @ p["out_proj.weight"].T)
    return torch.stack(outputs, dim=1)


def shifted(x, t, mix):
    """The token shift of step t: x_t mix + x_{t-1} (1 - mix), with zeros before the first token."""
    before = x[:, t - 1] if t > 0 else torch.zeros_like(x[:, 0])
    return x[:, t] * mix + before * (1 - mix)


def rwkv_time_mixing(x, p):
    """x [B,T,d] -> y [B,T,d]. WKV as the two sums of its definition, without a running maximum."""
    w, u = -torch.exp(p["time_decay"]), p["time_first"]  # [A]
    keys, values, outputs = [], [], []
    for t in range(x.shape[1]):
        keys.append(shifted(x, t, p["time_mix_k"][0]) @ p["key.weight"].T)
        values.append(shifted(x, t, p["time_mix_v"][0]) @ p["value.weight"].T)
        r = torch.sigmoid(shifted(x, t, p["time_mix_r"][0]) @ p["receptance.weight"].T)
        above = torch.exp(u + keys[t]) * values[t]
        below = torch.exp(u + keys[t])
        for i in range(t):
            weight = torch.exp((t - 1 - i) * w + keys[i])
            above = above + weight * values[i]
            below = below + weight
        outputs.append((r * above / below) @ p["output.weight"].T)
    return torch.stack(outputs, dim=1)


def rwkv_channel_mixing(x, p):
    outputs = []
    for t in range(x.shape[1]):
        k = torch.relu(shifted(x, t, p["time_mix_k"][0]) @ p["key.weight"].T) ** 2
        r = torch.sigmoid(shifted(x, t, p["time_mix_r"][0]) @ p["receptance.weight"].T)
        outputs.append(r * (k @ p["value.weight"].T))
    return torch.stack(outputs, dim=1)


def leaf(generator, shape, scale=1.0, shift=0.0):
    """A float64 leaf whose values are exactly representable in float32."""
    values = torch.randn(shape, generator=generator) * scale + shift
    return values.float().double().requires_grad_()


def mamba1_parameters(generator, d, E, N, R, K):
    def matrix(out, into):
        return leaf(generator, (out, into), into**-0.5)

    return {
        "in_proj.weight": matrix(2 * E, d),
        "conv1d.weight": leaf(generator, (E, 1, K), 0.5),
        "conv1d.bias": leaf(generator, (E,), 0.2),
        "x_proj.weight": matrix(R + 2 * N, E),
        "dt_proj.weight": matrix(E, R),
        "dt_proj.bias": leaf(generator, (E,), 1.0, -2.0),
        "A_log": leaf(generator, (E, N), 0.7, 0.5),
        "D": leaf(generator, (E,)),
        "out_proj.weight": matrix(d, E),
    }


def rwkv_parameters(generator, d, matrices, mixes, vectors=()):
    """matrices: name -> (out, in); mixes and vectors: names, of [1,1,d] and [d]."""
    parameters = {f"time_mix_{m}": leaf(generator, (1, 1, d), 0.2, 0.5) for m in mixes}
    parameters |= {name: leaf(generator, (d,), 0.7) for name in vectors}
    return parameters | {f"{name}.weight": leaf(generator, s, s[1] ** -0.5) for name, s in matrices.items()}


# What transformers calls the published time_mix_k, _v and _r.
RENAMED = {"time_mix_k": "time_mix_key", "time_mix_v": "time_mix_value", "time_mix_r": "time_mix_receptance"}


def check_same(name, ours, theirs, parameters, x):
    """`theirs` is a layer of transformers; with our parameters it must give the same."""
    layer = theirs.double()
    layer.load_state_dict({RENAMED.get(key, key): value.detach() for key, value in parameters.items()})
    with torch.no_grad():
        y = layer(x.detach())
    y = y[0] if isinstance(y, tuple) else y
    error = (y - ours).abs().max() / ours.abs().max()
    assert error < 1e-5, f"{name} differs from transformers by {error:.1e}"  # parts of theirs are float32
    print(f"{name}: differs from transformers by {error:.1e}")


def write(name, x, parameters, y, generator):
    dy = torch.randn(y.shape, generator=generator).double()
    inputs = {"x": x} | parameters
    gradients = torch.autograd.grad(y, list(inputs.values()), dy)
    tensors = inputs | {"y": y, "dy": dy} | {f"d.{key}": value for key, value in zip(inputs, gradients)}
    save({key: value.float() for key, value in tensors.items()}, FIXTURES / f"{name}.safetensors")


def main():
    torch.set_num_threads(1)
    FIXTURES.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(20260101)

    d, E, N, R, K = 6, 12, 5, 3, 4
    config = MambaConfig(
        hidden_size=d, intermediate_size=E, expand=E // d, state_size=N, time_step_rank=R, conv_kernel=K
    )
    for T in (3, 37):  # shorter than the convolution; more than two of the scan's chunks
        x, p = leaf(generator, (2, T, d)), mamba1_parameters(generator, d, E, N, R, K)
        y = mamba1(x, p, N)
        check_same(f"mamba1_{T}", y, MambaMixer(config, layer_idx=0), p, x)
        write(f"mamba1_{T}", x, p, y, generator)

    d, hidden = 8, 20
    config = RwkvConfig(hidden_size=d, attention_hidden_size=d, intermediate_size=hidden)
    x = leaf(generator, (2, 70, d))  # more than two of wkv's chunks
    matrices = {name: (d, d) for name in ("key", "value", "receptance", "output")}
    p = rwkv_parameters(generator, d, matrices, "kvr", ("time_decay", "time_first"))
    y = rwkv_time_mixing(x, p)
    check_same("rwkv_time_mixing", y, RwkvSelfAttention(config), p, x)
    write("rwkv_time_mixing", x, p, y, generator)

    x = leaf(generator, (2, 9, d))
    matrices = {"key": (hidden, d), "receptance": (d, d), "value": (d, hidden)}
    p = rwkv_parameters(generator, d, matrices, "kr")
    y = rwkv_channel_mixing(x, p)
    check_same("rwkv_channel_mixing", y, RwkvFeedForward(config), p, x)
    write("rwkv_channel_mixing", x, p, y, generator)


if __name__ == "__main__":
    main()
