"""safetensors, tensor by tensor, apart from the order of its header."""

from __future__ import annotations

from typing import Any, NamedTuple

from executor.evidence.content.elements import explain_elements
from executor.evidence.content.found import Explanation, Found, Limits, names, reject
from executor.evidence.content.json_values import MOST_JSON, differences, read_json

MOST_DIMENSIONS = 64


class Tensor(NamedTuple):
    """One tensor of a file."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes


class File(NamedTuple):
    """A whole file."""

    tensors: dict[str, Tensor]
    metadata: dict[str, Any]


def explain_safetensors(_path: str, reference: bytes, observed: bytes, _limits: Limits) -> Explanation:
    """Two files; metadata that differ are a difference, their order is none."""
    old, new = _read(reference), _read(observed)
    found = Found("safetensors")
    for which, one, other in (("the reference", old, new), ("this attempt", new, old)):
        if only := [name for name in one.tensors if name not in other.tensors]:
            found.add(f"{'tensor' if len(only) == 1 else f'{len(only)} tensors'} only in {which}: {names(only)}")
    for name, tensor in old.tensors.items():
        if name in new.tensors and tensor != new.tensors[name]:
            found.add(f"tensor {name}: {_difference(tensor, new.tensors[name])}")
    for path, left, right in differences(old.metadata, new.metadata):
        found.value(f"metadata {path}", left, right, name=path)
    same = not found.count
    if same:
        found.add("the same tensors and metadata; only the header is written differently")
    return found.explanation(same=same)


def _difference(old: Tensor, new: Tensor) -> str:
    if old[:2] != new[:2]:
        return f"{old.dtype} {list(old.shape)} → {new.dtype} {list(new.shape)}"
    return explain_elements(old.dtype, old.shape, old.data, new.data)


def _read(data: bytes) -> File:
    length = int.from_bytes(data[:8], "little")
    reject(len(data) < 8 + length or length > MOST_JSON, "no safetensors header")
    header = read_json(data[8 : 8 + length].decode())
    reject(not isinstance(header, dict), "no safetensors header")
    metadata = header.pop("__metadata__", {})
    reject(not isinstance(metadata, dict), "metadata are no fields")
    body = memoryview(data)[8 + length :]
    # as the format demands: without holes and without tensors that lie over each other
    reject(
        sum(end - start for start, end in (entry["data_offsets"] for entry in header.values())) != len(body), "holes"
    )
    return File({name: _tensor(entry, body) for name, entry in header.items()}, metadata)


def _tensor(entry: dict[str, Any], body: memoryview) -> Tensor:
    start, end = entry["data_offsets"]
    shape = tuple(map(int, entry["shape"]))
    reject(not 0 <= start <= end <= len(body), "a tensor is cut off")
    reject(len(shape) > MOST_DIMENSIONS or not all(0 <= length < 1 << 63 for length in shape), "no shape")
    return Tensor(str(entry["dtype"]), shape, bytes(body[start:end]))
