"""Writes tests/fixtures/falcon_h1/: tiny Falcon-H1 models with what transformers computes for them.

tests/fixtures/falcon_h1/README.md says what each file holds. The model is the one of the transformers package on its plain
path (CPU, eager attention). That path casts to float32 in several places; here these casts go to float64, so that the
expected values carry no rounding of their own until they are stored as float32. meta.json says how far the package's own
float32 run is from them, the yardstick for a test's tolerance.

    python tests/parity/make_falcon_h1_fixtures.py
"""

import contextlib
import json
from pathlib import Path

import torch
import transformers
from fixture_files import make_reproducible, print_size, train, write_case
from transformers import FalconH1Config, FalconH1ForCausalLM
from transformers.models.falcon_h1 import modeling_falcon_h1

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "falcon_h1"

SIZES = dict(
    vocab_size=31,
    hidden_size=24,
    intermediate_size=26,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    mamba_d_ssm=32,
    mamba_n_heads=4,
    mamba_d_head=8,
    mamba_n_groups=1,
    mamba_d_state=6,
    mamba_chunk_size=8,
    rope_theta=1e11,
    # No id of the fixtures: transformers keeps this row of the embedding out of training.
    pad_token_id=30,
    bos_token_id=None,
    eos_token_id=None,
)
MULTIPLIERS = dict(
    embedding_multiplier=1.7,
    lm_head_multiplier=0.6,
    key_multiplier=0.8,
    attention_in_multiplier=1.2,
    attention_out_multiplier=0.9,
    ssm_in_multiplier=1.25,
    ssm_out_multiplier=0.7,
    mlp_multipliers=[0.85, 0.6],
    ssm_multipliers=[0.7, 1.3, 0.9, 1.1, 0.75],
)
BIASES = dict(attention_bias=True, mlp_bias=True, projectors_bias=True, mamba_proj_bias=True)

# Batch and length of each case, and what it adds to SIZES. T is below, at and above the chunk size of 8.
CASES = {
    "plain": (2, 17, {}),  # all multipliers 1, no norm, untied
    "multipliers": (2, 8, MULTIPLIERS),
    "norm_after_gate": (2, 19, MULTIPLIERS | dict(mamba_rms_norm=True, mamba_norm_before_gate=False)),
    "groups_norm_before_gate": (
        2,
        17,
        MULTIPLIERS | dict(mamba_n_groups=2, mamba_rms_norm=True, mamba_norm_before_gate=True),
    ),
    "groups_norm_after_gate": (2, 16, dict(mamba_n_groups=2, mamba_rms_norm=True, mamba_norm_before_gate=False)),
    "groups_tied": (2, 5, MULTIPLIERS | dict(mamba_n_groups=2, tie_word_embeddings=True)),
    "biases": (2, 11, MULTIPLIERS | BIASES),
    "biases_norm_no_conv_bias": (
        1,
        9,
        MULTIPLIERS | BIASES | dict(mamba_conv_bias=False, mamba_rms_norm=True, mamba_norm_before_gate=True),
    ),
    "head_dim_and_time_step_limit": (2, 13, dict(head_dim=12, num_key_value_heads=1, time_step_limit=[0.05, 0.6])),
    "ragged": (3, 18, MULTIPLIERS | dict(tie_word_embeddings=True)),
}
LENGTHS = {"ragged": [18, 7, 11]}  # tokens of each row; padding follows


class Float64InPlaceOfFloat32:
    """`torch` as the package's model code sees it, with another meaning of float32."""

    float32 = float = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


@contextlib.contextmanager
def everything_in_float64():
    """Casts to float32 inside the package's model code give float64."""
    plain_torch, plain_float = modeling_falcon_h1.torch, torch.Tensor.float
    modeling_falcon_h1.torch = Float64InPlaceOfFloat32()
    torch.Tensor.float = torch.Tensor.double
    try:
        yield
    finally:
        modeling_falcon_h1.torch, torch.Tensor.float = plain_torch, plain_float


def randomise(model, generator):
    """Weights with something to see: every term of every equation contributes."""

    def normal(like, std, mean=0.0):
        return mean + std * torch.randn(like.shape, generator=generator, dtype=torch.float32)

    for name, p in model.named_parameters():
        leaf = name.rsplit(".", 1)[-1]
        if leaf == "A_log":
            p.copy_(torch.log(torch.arange(1, len(p) + 1)) + normal(p, 0.3))
        elif leaf == "D":
            p.copy_(normal(p, 0.3, mean=0.8))
        elif leaf == "dt_bias":
            p.copy_(normal(p, 0.8, mean=-1.0))
        elif "norm" in name:
            p.copy_(normal(p, 0.2, mean=1.0))
        elif "embed" in name:
            p.copy_(normal(p, 0.5))
        elif leaf == "bias":
            p.copy_(normal(p, 0.2))
        elif "conv1d" in name:
            p.copy_(normal(p, 0.6))
        else:  # matrices [out,in]
            p.copy_(normal(p, 1.0 / p.shape[1] ** 0.5))


def make_model(config, weights, dtype):
    model = FalconH1ForCausalLM._from_config(config, attn_implementation="eager").to(dtype)
    model.load_state_dict(weights, strict=True)
    return model.eval()  # nothing here has dropout; in training mode the package would look for its fused kernels


def forward(model, ids, lengths):
    """Logits, and the mean cross-entropy of the next ids within each row's length."""
    mask = (torch.arange(ids.shape[1])[None] < torch.tensor(lengths)[:, None]).long()
    labels = ids.masked_fill(mask == 0, -100)
    result = model(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False)
    return result.logits, result.loss


def saved_config(config):
    """config.json as save_pretrained writes it, without the version of the package."""
    values = json.loads(config.to_json_string())
    del values["transformers_version"]
    return values | {"architectures": ["FalconH1ForCausalLM"], "dtype": "float32"}


def make_case(name, batch, T, changes, seed):
    generator = torch.Generator().manual_seed(seed)
    config = FalconH1Config(**(SIZES | changes))
    reference = FalconH1ForCausalLM(config)
    with torch.no_grad():
        randomise(reference, generator)
    weights = {key: value.clone() for key, value in reference.state_dict().items()}
    lengths = LENGTHS.get(name, [T] * batch)
    ids = torch.randint(0, config.pad_token_id, (batch, T), generator=generator)

    def run(dtype):
        return train(make_model(config, weights, dtype), lambda model: forward(model, ids, lengths))

    with everything_in_float64():
        results = run(torch.float64)
    single = run(torch.float32)
    stored = dict(weights)
    if config.tie_word_embeddings:
        del stored["lm_head.weight"]
    inputs = {"ids": ids, "lengths": torch.tensor(lengths, dtype=torch.int32)}
    write_case(
        FIXTURES / name, saved_config(config), stored, inputs, results, single, transformers=transformers.__version__
    )


def main():
    make_reproducible()
    for seed, (name, (batch, T, changes)) in enumerate(CASES.items(), start=1):
        make_case(name, batch, T, changes, seed)
    print_size(FIXTURES)


if __name__ == "__main__":
    main()
