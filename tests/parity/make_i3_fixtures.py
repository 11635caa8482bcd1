"""Writes tests/fixtures/i3/: tiny i3 models with what PyTorch computes for them.

tests/fixtures/i3/README.md says what each file holds. Everything is computed in float64 from float32 weights and
rounded to float32 at the end, so the expected values carry no rounding of their own; meta.json says how far
PyTorch's own float32 run is from them, the yardstick for a test's tolerance.

    python tests/parity/make_i3_fixtures.py
"""

from pathlib import Path

import torch
from fixture_files import make_reproducible, print_size, save, save_json, train, write_case
from i3_reference import I3Config, I3Model, MIXER_FORMS, next_token_loss

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "i3"

SIZES = dict(vocab_size=37, d_model=24, n_heads=4, max_seq_len=20, d_state=5)
CASES = {
    "pure_hybrid": I3Config(**SIZES, conv_layers=2, attn_layers=0),
    "mixed": I3Config(**SIZES, conv_layers=2, attn_layers=1),
    "pure_attention": I3Config(**{**SIZES, "n_heads": 3}, conv_layers=0, attn_layers=2),
    "low_rank": I3Config(**SIZES, conv_layers=2, attn_layers=0, ffn_rank=7),
    # Our extension: layers in any order.
    "interleaved": I3Config(
        vocab_size=29,
        d_model=15,
        n_heads=3,
        max_seq_len=17,
        d_state=3,
        layer_types=["attention", "hybrid", "attention"],
    ),
}


def randomise(model, generator):
    """Weights with something to see: every term of every equation contributes, and w_mix leaves [0, 1]."""

    def normal(like, std, mean=0.0):
        return mean + std * torch.randn(like.shape, generator=generator, dtype=like.dtype)

    layer = 0
    for name, p in model.named_parameters():
        leaf = name.rsplit(".", 1)[-1]
        if leaf == "w_mix":
            special = torch.tensor([0.0, 1.0, -0.4, 1.08, 0.5, 0.97, -1.02])
            p.copy_(normal(p, 0.4, mean=0.5))
            p[: len(special)] = special
        elif leaf == "A":
            p.copy_(normal(p, 1.0))
            radius = torch.linalg.eigvals(p).abs().max()
            p.mul_((1.03 if layer % 2 else 0.9) / radius)  # growing in every second layer, decaying in the others
            layer += 1
        elif leaf == "D":
            p.copy_(normal(p, 0.5, mean=0.3))
        elif name.endswith(("ln1.weight", "ln2.weight", "ln_f.weight")):
            p.copy_(normal(p, 0.2, mean=1.0))
        elif "embed" in name:
            p.copy_(normal(p, 0.5))
        elif leaf == "bias":
            p.copy_(normal(p, 0.1))
        else:  # matrices [out,in]
            p.copy_(normal(p, 1.0 / p.shape[1] ** 0.5))


def record_intermediates(model, ids):
    """Output of every stage of the forward pass, for finding the first wrong one."""
    values = {}
    handles = []

    def keep(name):
        return lambda module, inputs, output: values.__setitem__(name, output.detach().clone())

    for i, layer in enumerate(model.layers):
        handles.append(layer.ln1.register_forward_hook(keep(f"inter.layers.{i}.ln1")))
        handles.append(layer.mixer.register_forward_hook(keep(f"inter.layers.{i}.mixer")))
        handles.append(layer.ffn.register_forward_hook(keep(f"inter.layers.{i}.ffn")))
        handles.append(layer.register_forward_hook(keep(f"inter.layers.{i}")))
    handles.append(model.ln_f.register_forward_hook(keep("inter.ln_f")))
    with torch.no_grad():
        model(ids)
        values["inter.embed"] = model.embed(ids) + model.pos_embed.weight[: ids.shape[1]]
    for handle in handles:
        handle.remove()
    return values


def check_mixer_forms(model, ids):
    outputs = []
    for form in MIXER_FORMS:
        model.set_mixer_form(form)
        with torch.no_grad():
            outputs.append(model(ids))
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-10, atol=1e-12)


def make_case(name, config, seed):
    generator = torch.Generator().manual_seed(seed)
    weights_model = I3Model(config)
    with torch.no_grad():
        randomise(weights_model, generator)
    weights = {key: value.detach().clone() for key, value in weights_model.state_dict().items()}
    B, T = 3, 17
    ids = torch.randint(0, config.vocab_size, (B, T), generator=generator)

    model = I3Model(config).double()
    model.load_state_dict(weights)
    check_mixer_forms(model, ids)
    tensors = {"ids": ids}
    if name == "mixed":
        tensors |= {key: value.float() for key, value in record_intermediates(model, ids).items()}
    single = I3Model(config)
    single.load_state_dict(weights)
    results, single_results = (train(each, lambda m: next_token_loss(m, ids)) for each in (model, single))
    # A key bias has gradient 0 (softmax ignores it).
    write_case(FIXTURES / name, config.to_json(), weights, tensors, results, single_results, noise="qkv.bias")


def make_pickled_case():
    """A checkpoint as published training code writes it: torch.save, names prefixed, training facts beside them."""
    config = I3Config(vocab_size=11, d_model=8, n_heads=2, max_seq_len=9, d_state=3, conv_layers=1, attn_layers=1)
    generator = torch.Generator().manual_seed(99)
    model = I3Model(config)
    with torch.no_grad():
        randomise(model, generator)
    ids = torch.randint(0, config.vocab_size, (2, 9), generator=generator)
    with torch.no_grad():
        logits, loss = next_token_loss(model.double(), ids)
    model.float()

    folder = FIXTURES / "pickled_prefixed"
    folder.mkdir(parents=True, exist_ok=True)
    # As in a published revision: the config states 64 where the weights have another state width.
    values = config.to_json() | {"d_state": 64, "torch_dtype": "float32", "dataset_sources": ["tiny"]}
    save_json(values, folder / "config.json")
    torch.save(
        {
            "model_state_dict": {f"i3.{key}": value for key, value in model.state_dict().items()},
            "iteration": 500,
            "loss": loss.item(),
            "config": {"vocab_size": config.vocab_size, "d_model": config.d_model, "tied": False},
        },
        folder / "pytorch_model.bin",
    )
    expected = {"ids": ids, "logits": logits.float(), "loss": loss.float()}
    expected |= {f"weight.{key}": value for key, value in model.state_dict().items()}
    save(expected, folder / "expected.safetensors")
    print(f"pickled_prefixed: loss {loss.item():.4f}")


def main():
    make_reproducible()
    for seed, (name, config) in enumerate(CASES.items(), start=1):
        make_case(name, config, seed)
    make_pickled_case()
    print_size(FIXTURES)


if __name__ == "__main__":
    main()
