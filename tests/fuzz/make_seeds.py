"""Writes tests/fuzz/seeds/: small valid inputs for the fuzz targets, from tests/fixtures/ and from the lists below."""
import json
import pathlib
import zipfile

here = pathlib.Path(__file__).parent
files = here.parent / "fixtures" / "files"


def put(loader, name, content):
    path = here / "seeds" / loader / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def safetensors(header, data):
    text = json.dumps(header, separators=(",", ":")).encode()
    return len(text).to_bytes(8, "little") + text + data


put("safetensors", "reference", (files / "reference.safetensors").read_bytes())
put("safetensors", "none", safetensors({}, b""))
put("safetensors", "one", safetensors({"w": {"dtype": "F32", "shape": [2, 1], "data_offsets": [0, 8]}}, bytes(8)))

put("safetensors_index", "two", json.dumps(
    {"metadata": {"total_size": 16}, "weight_map": {"a": "a.safetensors", "b": "b.safetensors"}}))
put("safetensors_index", "one", '{"weight_map":{"a":"a.safetensors"}}')

for name in ["state_dict.bin", "dtypes.bin", "training_checkpoint.bin"]:
    put("torch_zip", name, (files / name).read_bytes())
for path in sorted(files.glob("*.bin")):
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            put("pickle", path.stem, archive.read(f"{path.stem}/data.pkl"))
# One tensor of six floats, whose only storage is the one that the target provides.
put("pickle", "one_tensor", b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storage"
    b"ctorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQK\x00K\x02K\x03\x86K\x03K\x01\x86\x89"
    b"ccollections\nOrderedDict\n)RtRs.")
