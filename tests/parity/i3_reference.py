"""The i3 model in PyTorch: the reference that Vigor's fixtures and peer benchmarks are made with.

Written from the model's equations, with the parameter names of the published
checkpoints. The hybrid mixer exists in two forms with the same result:

  loop        the published form: one interpreted step per token
  vectorised  U = X B^T and Y = S C^T as two matrix products; only the thin recurrence over s and the
              element-wise scan over h stay sequential

Sizes: B batch, T time, d model width, V vocabulary, H heads, P = d / H, n state width, r rank.

Run it to check that both forms agree, values and gradients:  python tests/parity/i3_reference.py
"""

import json
import math
from dataclasses import dataclass, fields
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

MIXER_FORMS = ("loop", "vectorised")
ATTENTION_FORMS = ("explicit", "fused")


@dataclass
class I3Config:
    """The keys of a published config.json, and two of our own: ffn_rank and layer_types."""

    vocab_size: int
    d_model: int
    n_heads: int
    max_seq_len: int = 256
    d_state: int = 32
    conv_layers: int = 10  # hybrid layers; the published default where the key is absent
    attn_layers: int = 6
    n_layers: int = 0
    ffn_rank: int = 0  # 0: dense; otherwise both feed-forward matrices are lora_A [out,r] x lora_B [r,in]
    layer_types: list | None = None  # "hybrid" | "attention" per layer; None: conv_layers, then attn_layers

    def __post_init__(self):
        if self.layer_types is None:
            self.layer_types = ["hybrid"] * self.conv_layers + ["attention"] * self.attn_layers
        self.n_layers = len(self.layer_types)

    @classmethod
    def from_json(cls, path):
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        known = {field.name for field in fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known})

    def to_json(self):
        """The dictionary to write as config.json; our own keys appear only where they say something."""
        values = {
            "architectures": ["i3Model"],
            "model_type": "i3",
            "vocab_size": self.vocab_size,
            "d_model": self.d_model,
            "n_layers": self.n_layers,
            "n_heads": self.n_heads,
            "max_seq_len": self.max_seq_len,
            "d_state": self.d_state,
            "conv_layers": self.layer_types.count("hybrid"),
            "attn_layers": self.layer_types.count("attention"),
            "tokenizer_type": "chunk",
        }
        if self.ffn_rank:
            values["ffn_rank"] = self.ffn_rank
        if self.layer_types != sorted(self.layer_types, reverse=True):  # not "all hybrid, then all attention"
            values["layer_types"] = self.layer_types
        return values


I3_80M = I3Config(vocab_size=35560, d_model=512, n_heads=16)
I3_22M = I3Config(vocab_size=4466, d_model=512, n_heads=16, conv_layers=24, attn_layers=0, ffn_rank=138)


class HybridMixer(nn.Module):
    """h_t = w_mix h_{t-1} + (1 - w_mix) x_t;  s_t = A s_{t-1} + B x_t;  y_t = C s_t + D h_t."""

    def __init__(self, d_model, d_state, form="vectorised"):
        super().__init__()
        self.form = form
        self.w_mix = nn.Parameter(torch.full((d_model,), 0.5))
        self.A = nn.Parameter(0.01 * torch.randn(d_state, d_state))
        self.B = nn.Parameter(0.01 * torch.randn(d_state, d_model))
        self.C = nn.Parameter(0.01 * torch.randn(d_model, d_state))
        self.D = nn.Parameter(torch.full((d_model,), 0.1))

    def forward(self, x):
        return self.scan(x)[0]

    def scan(self, x, h=None, s=None):
        """x [B,T,d], optional initial states h [B,d] and s [B,n] -> y [B,T,d], final h, final s."""
        h = x.new_zeros(x.shape[0], x.shape[2]) if h is None else h
        s = x.new_zeros(x.shape[0], self.A.shape[0]) if s is None else s
        return self._loop(x, h, s) if self.form == "loop" else self._vectorised(x, h, s)

    def _loop(self, x, h, s):
        outputs = []
        for t in range(x.shape[1]):
            x_t = x[:, t]  # [B,d]
            h = self.w_mix * h + (1 - self.w_mix) * x_t
            s = s @ self.A.T + x_t @ self.B.T
            outputs.append(s @ self.C.T + self.D * h)
        return torch.stack(outputs, dim=1), h, s

    def _vectorised(self, x, h, s):
        inputs = ((1 - self.w_mix) * x).unbind(1)  # T x [B,d]
        updates = (x @ self.B.T).unbind(1)  # T x [B,n]
        hs, ss = scan_sequentially(inputs, updates, self.w_mix, self.A.T, h, s)
        y = ss @ self.C.T + self.D * hs
        return y, hs[:, -1], ss[:, -1]


def scan_sequentially(inputs, updates, w_mix, a_transposed, h, s):
    """The two recurrences alone, so that a compiler can be told to leave these T steps as they are."""
    hs, ss = [], []
    for v_t, u_t in zip(inputs, updates):
        h = torch.addcmul(v_t, w_mix, h)
        s = torch.addmm(u_t, s, a_transposed)
        hs.append(h)
        ss.append(s)
    return torch.stack(hs, dim=1), torch.stack(ss, dim=1)


class CausalAttention(nn.Module):
    def __init__(self, d_model, n_heads, form="explicit"):
        super().__init__()
        self.n_heads = n_heads
        self.form = form
        self.qkv = nn.Linear(d_model, 3 * d_model)
        self.out_proj = nn.Linear(d_model, d_model)

    def forward(self, x):
        B, T, d = x.shape
        q, k, v = (part.view(B, T, self.n_heads, -1).transpose(1, 2) for part in self.qkv(x).split(d, dim=2))
        if self.form == "fused":
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # [B,H,T,P]
        else:
            scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # [B,H,T,T]
            future = torch.ones(T, T, dtype=torch.bool, device=x.device).triu(1)
            y = scores.masked_fill(future, float("-inf")).softmax(dim=-1) @ v  # [B,H,T,P]
        return self.out_proj(y.transpose(1, 2).reshape(B, T, d))


class LowRankLinear(nn.Module):
    """y = (x lora_B^T) lora_A^T + bias; the full matrix lora_A lora_B is never formed."""

    def __init__(self, d_in, d_out, rank):
        super().__init__()
        self.lora_A = nn.Parameter(0.02 * torch.randn(d_out, rank))
        self.lora_B = nn.Parameter(0.02 * torch.randn(rank, d_in))
        self.bias = nn.Parameter(torch.zeros(d_out))

    def forward(self, x):
        return x @ self.lora_B.T @ self.lora_A.T + self.bias


class Block(nn.Module):
    def __init__(self, config, layer_type, mixer_form, attention_form):
        super().__init__()
        d = config.d_model
        self.ln1 = nn.LayerNorm(d)
        if layer_type == "hybrid":
            self.hybrid = HybridMixer(d, config.d_state, mixer_form)
        elif layer_type == "attention":
            self.attn = CausalAttention(d, config.n_heads, attention_form)
        else:
            raise ValueError(f"layer_types: a layer is 'hybrid' or 'attention'; got {layer_type!r}")
        self.ln2 = nn.LayerNorm(d)
        linear = (lambda i, o: LowRankLinear(i, o, config.ffn_rank)) if config.ffn_rank else nn.Linear
        self.ffn = nn.Sequential(linear(d, 4 * d), nn.GELU(), linear(4 * d, d))

    @property
    def mixer(self):
        return self.hybrid if hasattr(self, "hybrid") else self.attn

    def forward(self, x):
        x = x + self.mixer(self.ln1(x))
        return x + self.ffn(self.ln2(x))


class I3Model(nn.Module):
    def __init__(self, config, mixer_form="vectorised", attention_form="explicit"):
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocab_size, config.d_model)
        self.pos_embed = nn.Embedding(config.max_seq_len, config.d_model)
        self.layers = nn.ModuleList(Block(config, kind, mixer_form, attention_form) for kind in config.layer_types)
        self.ln_f = nn.LayerNorm(config.d_model)
        self.head = nn.Linear(config.d_model, config.vocab_size)
        self.apply(self._initialise)

    @staticmethod
    def _initialise(module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)

    def forward(self, ids):
        """ids [B,T] -> logits [B,T,V]."""
        T = ids.shape[1]
        if T > self.config.max_seq_len:
            raise ValueError(f"i3: T must be at most max_seq_len = {self.config.max_seq_len}; got {T}")
        x = self.embed(ids) + self.pos_embed.weight[:T]
        for layer in self.layers:
            x = layer(x)
        return self.head(self.ln_f(x))

    def set_mixer_form(self, form):
        for layer in self.layers:
            if hasattr(layer, "hybrid"):
                layer.hybrid.form = form


def next_token_loss(model, ids):
    """Mean cross-entropy of positions 0..T-2 against ids[:,1:] -> logits [B,T,V], loss []."""
    logits = model(ids)
    return logits, F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


def check_forms_agree():
    torch.manual_seed(0)
    config = I3Config(vocab_size=37, d_model=24, n_heads=4, max_seq_len=20, d_state=5, conv_layers=2, attn_layers=1)
    model = I3Model(config).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    ids = torch.randint(0, config.vocab_size, (3, 17))

    results = {}
    for form in MIXER_FORMS:
        model.set_mixer_form(form)
        model.zero_grad()
        logits, loss = next_token_loss(model, ids)
        loss.backward()
        results[form] = {"logits": logits.detach()} | {k: p.grad.clone() for k, p in model.named_parameters()}
    for name, expected in results["loop"].items():
        torch.testing.assert_close(results["vectorised"][name], expected, rtol=1e-10, atol=1e-12, msg=name)
    print(f"loop == vectorised for logits and {len(results['loop']) - 1} gradients (float64, rtol 1e-10)")

    for name, preset, expected in (("i3-80m", I3_80M, 76_861_160), ("i3-22m", I3_22M, 22_613_362)):
        count = sum(p.numel() for p in I3Model(preset).parameters())
        assert count == expected, (name, count)
        print(f"{name} at V = {preset.vocab_size:,} has {count:,} parameters")


if __name__ == "__main__":
    check_forms_agree()
