"""Writing of fixture tensors, shared by the make_*_fixtures.py scripts."""

from safetensors.torch import save_file


def save(tensors, path, metadata=None):
    """Contiguous copies of the tensors, in a file everyone may read (the package writes 0600)."""
    save_file({name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}, path, metadata=metadata)
    path.chmod(0o644)
