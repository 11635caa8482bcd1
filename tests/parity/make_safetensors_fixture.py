"""Writes tests/fixtures/files/reference.safetensors with the reference implementation (pip install safetensors numpy)."""
import pathlib

import numpy as np
from safetensors.numpy import save_file

target = pathlib.Path(__file__).parents[1] / "fixtures" / "files" / "reference.safetensors"
target.parent.mkdir(parents=True, exist_ok=True)
tensors = {
    "f32": np.array([[1.5, -2.0, 3.25], [0.0, 1e-30, np.inf]], dtype=np.float32),
    "f64": np.array([1.0 / 3.0]),
    "f16": np.array([0.5, -65504.0], dtype=np.float16),
    "i32": np.array([-7], dtype=np.int32),
    "i64": np.array(1 << 40),
    "u8": np.array([0, 255], dtype=np.uint8),
    "bool": np.array([True, False, True]),
    "i8": np.array([-1], dtype=np.int8),
    "empty": np.zeros((0, 4), dtype=np.float32),
}
save_file(tensors, target, metadata={"format": "pt", "note": "tête \"quoted\"\n"})
