"""Writes tests/fixtures/ops/{gated_rms_norm_*,rope_transformers}.safetensors: what Falcon-H1's own layers in the
transformers package compute, on its plain path. tests/fixtures/ops/README.md lists the tensors.

    python tests/parity/make_falcon_op_fixtures.py
"""

import torch
from fixture_files import save
from make_op_fixtures import FIXTURES, random_inputs, write
from transformers import FalconH1Config
from transformers.models.falcon_h1.modeling_falcon_h1 import (
    FalconH1RMSNormGated,
    FalconH1RotaryEmbedding,
    apply_rotary_pos_emb,
)


def gated_rms_norm(groups, norm_before_gate, dtype, generator):
    B, T, C = 2, 5, 24
    inputs = random_inputs(generator, x=(B, T, C), gate=(B, T, C), weight=(C,))
    inputs = {name: value.detach().to(dtype).requires_grad_() for name, value in inputs.items()}
    norm = FalconH1RMSNormGated(C, eps=1e-5, n_groups=groups, norm_before_gate=norm_before_gate).to(dtype)
    del norm.weight
    norm.weight = inputs["weight"]
    y = norm(inputs["x"], inputs["gate"])
    name = f"gated_rms_norm_{'before' if norm_before_gate else 'after'}_{groups}"
    if dtype == torch.bfloat16:
        save({key: value.detach() for key, value in (inputs | {"y": y}).items()}, FIXTURES / f"{name}_bf16.safetensors")
    else:
        write(name, inputs, {"y": y}, generator)


def rope_transformers(generator):
    """float32 angles at small and large positions; theta as published."""
    P, theta = 64, 1e11
    config = FalconH1Config(head_dim=P, rope_parameters={"rope_type": "default", "rope_theta": theta})
    offsets = torch.tensor([0, 1000, 262_140], dtype=torch.int32)
    positions = offsets[:, None] + torch.arange(4)  # [B,T]
    x = torch.randn(3, 2, 4, P, generator=generator)  # [B,H,T,P]
    cos, sin = FalconH1RotaryEmbedding(config)(x, positions)
    y, _ = apply_rotary_pos_emb(x, x, cos, sin)
    tensors = {"x": x.transpose(1, 2), "offsets": offsets, "y": y.transpose(1, 2)}
    save({key: value.contiguous() for key, value in tensors.items()}, FIXTURES / "rope_transformers.safetensors")


def main():
    torch.set_num_threads(1)
    for groups in (1, 2):
        for norm_before_gate in (True, False):
            for dtype in (torch.float64, torch.bfloat16):
                generator = torch.Generator().manual_seed(10 * groups + norm_before_gate)
                gated_rms_norm(groups, norm_before_gate, dtype, generator)
    rope_transformers(torch.Generator().manual_seed(30))


if __name__ == "__main__":
    main()
