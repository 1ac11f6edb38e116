"""Weights files as named values, in whatever format: torch (zip, legacy, TorchScript), safetensors, npz, npy.

A name is the path to a value, joined by dots: `optimizer.state.0.exp_avg`. The format is told from the content. A
pickle that torch's restricted loader refuses is unpickled in full, code and all: this runs in a container of its own.
"""

from __future__ import annotations

import inspect
import json
import mmap
import os
import struct
import warnings
import zipfile
from collections.abc import Mapping

from .leaves import Later, Unreadable, flatten

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SAFETENSORS = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16", "U32": "uint32", "I32": "int32",
    "U64": "uint64", "I64": "int64", "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64",
    "C64": "complex64", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz", "F4": "float4_e2m1fn_x2",
}  # fmt: skip


def read(path: str) -> dict[str, Any]:
    """Everything in a weights file by name, for `leaves.leaf`. Raises `Unreadable`."""
    if not os.path.isfile(path):
        raise Unreadable("is not there")
    name = _format(path)
    try:
        import torch
    except Exception as error:
        raise Unreadable("cannot be read: the image has no torch (%s)" % sentence(error)) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return flatten(_READERS[name](torch, path))
    except Unreadable:
        raise
    except RecursionError:
        raise Unreadable("is nested too deep") from None
    except BaseException as error:  # a pickle may raise whatever it likes
        raise Unreadable("cannot be read as %s: %s" % (name, sentence(error))) from None


def sentence(error: BaseException) -> str:
    """The first line of what an error says, in few words."""
    if not isinstance(error, Exception):
        return "it raises %s" % type(error).__name__
    lines = str(error).strip().splitlines() or [type(error).__name__]
    text = lines[0] if len(lines[0]) <= 200 else lines[0][:200] + "…"
    return "%s is missing" % text if type(error) is KeyError else text.rstrip(". ")


def _format(path: str) -> str:
    with open(path, "rb") as file:
        head = file.read(16)
    if head.startswith(b"PK"):
        return _zip_format(path)
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] < 1 << 32:
        return "safetensors"
    if head.startswith(b"\x80"):  # a pickle
        return "torch"
    raise Unreadable("is in none of the formats torch, safetensors, npz and npy" if head else "is empty")


def _zip_format(path: str) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        raise Unreadable("is a zip file that is damaged or cut short") from None
    if any(name.endswith("/data.pkl") for name in names):
        return "torch"
    if all(name.endswith(".npy") for name in names):
        return "npz"
    raise Unreadable("is a zip file of neither torch nor numpy")


def _torch(torch: Any, path: str) -> Any:
    known = inspect.signature(torch.load).parameters  # old ones lack both
    problem = None  # type: BaseException | None
    for options in _ways(zipped=zipfile.is_zipfile(path)):
        try:
            return torch.load(path, map_location="cpu", **{key: options[key] for key in options if key in known})
        except BaseException as error:
            problem = error
    raise problem or Unreadable("cannot be read")


def _ways(zipped: bool) -> list[dict[str, bool]]:
    """Options for `torch.load`, the best first; the last one's complaint is the one that is told."""
    if zipped:
        mapped = [{"weights_only": True, "mmap": True}, {"weights_only": False, "mmap": True}]
        return [*mapped, {"weights_only": False}]  # TorchScript cannot be mapped
    return [{"weights_only": True}, {"weights_only": False}]


def _npy(_: Any, path: str) -> Any:
    import numpy as np

    try:
        return np.load(path, mmap_mode="c", allow_pickle=False)
    except ValueError:  # some cannot be mapped
        return np.load(path, allow_pickle=False)


def _npz(_: Any, path: str) -> Any:
    import numpy as np

    archive = np.load(path, allow_pickle=False)
    return {name: Later(archive.__getitem__, name) for name in archive.files}


def _safetensors(torch: Any, path: str) -> Any:
    with open(path, "rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)  # torch wants memory that it might write to
    start = 8 + struct.unpack("<Q", data[:8])[0]
    if start > len(data):
        raise Unreadable("is damaged: it ends within its header")
    header = json.loads(data[8:start].decode())
    header.pop("__metadata__", None)
    return {name: _mapped(torch, data, start, name, entry) for name, entry in header.items()}


def _mapped(torch: Any, data: mmap.mmap, start: int, name: str, entry: Mapping[str, Any]) -> Any:
    first, last = entry["data_offsets"]
    if not 0 <= first <= last <= len(data) - start:
        raise Unreadable("is damaged: it ends before the values of %s" % name)
    dtype = getattr(torch, _SAFETENSORS.get(entry["dtype"], ""), None)
    if dtype is None:
        raise Unreadable("has %s of type %s, which this torch has not" % (name, entry["dtype"]))
    shape = list(entry["shape"])
    if entry["dtype"] == "F4" and shape:  # torch counts pairs
        shape[-1] //= 2
    if first == last:
        return torch.empty(shape, dtype=dtype)
    values = torch.frombuffer(data, dtype=torch.uint8, offset=start + first, count=last - first)
    aligned = values.data_ptr() % 16 == 0
    return (values if aligned else values.clone()).view(dtype).reshape(shape)


_READERS = {"torch": _torch, "safetensors": _safetensors, "npz": _npz, "npy": _npy}
