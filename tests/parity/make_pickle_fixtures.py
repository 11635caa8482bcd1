"""Writes small checkpoints of torch.save to tests/fixtures/files/ for pickle_checkpoint_test (pip install torch)."""
import collections
import pathlib
import zipfile

import torch

folder = pathlib.Path(__file__).parents[1] / "fixtures" / "files"
folder.mkdir(parents=True, exist_ok=True)
torch.manual_seed(1)


def small_module():
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.arange(parameter.numel(), dtype=torch.float32).view_as(parameter) / 4)
    return module


base = torch.arange(24, dtype=torch.float32)
tensors = {
    "f32": torch.tensor([[1.5, -2.0, 3.25], [0.0, 1e-30, float("inf")]]),
    "f64": torch.tensor([1.0 / 3.0], dtype=torch.float64),
    "f16": torch.tensor([0.5, -65504.0], dtype=torch.float16),
    "bf16": torch.tensor([1.0, -3.0], dtype=torch.bfloat16),
    "i32": torch.tensor([-7], dtype=torch.int32),
    "i64": torch.tensor(1 << 40),
    "u8": torch.tensor([0, 255], dtype=torch.uint8),
    "bool": torch.tensor([True, False, True]),
    "i8": torch.tensor([-1], dtype=torch.int8),
    "empty": torch.zeros(0, 4),
    "transposed": base[:6].clone().view(2, 3).t(),
    "shared.rows": base.view(4, 6)[1:3],
    "shared.column": base.view(4, 6)[:, 5],
    "parameter": torch.nn.Parameter(torch.tensor([4.0])),
}
torch.save(small_module().state_dict(), folder / "state_dict.bin")
torch.save(tensors, folder / "dtypes.bin")
torch.save(tensors, folder / "dtypes_protocol_4.bin", pickle_protocol=4)
torch.save(tensors, folder / "dtypes_protocol_5.bin", pickle_protocol=5)

module = small_module()
optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3)
module(torch.ones(1, 3)).square().sum().backward()
optimizer.step()
torch.save(
    {
        "iter": 500,
        "model_state_dict": collections.OrderedDict((k, v.clone()) for k, v in module.state_dict().items()),
        "optimizer_state_dict": optimizer.state_dict(),
        "loss": 2.5,
        "history": [3.5, 3.0, -1, 2**33, -(2**33), True, None, ("a", ())],
        "note": "tête",
    },
    folder / "training_checkpoint.bin",
)
torch.save({"weight": torch.ones(2)}, folder / "old_format.bin", _use_new_zipfile_serialization=False)


class Custom:
    pass


torch.save({"weight": torch.ones(2), "config": Custom()}, folder / "custom_class.bin")

for name in sorted(path.name for path in folder.glob("*.bin")):
    print(name, (folder / name).stat().st_size, "bytes", zipfile.is_zipfile(folder / name))
