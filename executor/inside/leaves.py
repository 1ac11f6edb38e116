"""What a checkpoint holds, taken apart into named leaves: tensors as their bits, everything else as canonical bytes.

A mapping with text keys leaves no trace but the names of what is in it, so a state dict is the same in every format.
Other containers (lists, tuples, sets, mappings with other keys, empty ones) are leaves themselves too. A nested mapping
and a key with a dot in it read alike.
"""

from __future__ import annotations

import struct
import sys
from argparse import Namespace
from collections.abc import Mapping
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, SimpleNamespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

_MOST = 1000000  # leaves: a small pickle can repeat itself without end


class Unreadable(Exception):
    """A file cannot be compared; the message goes on after the words "the file"."""


class Later:
    """A value that is read when it is needed, so that not all of them are in memory at once."""

    def __init__(self, function: Callable[[str], Any], name: str) -> None:
        self.function = function
        self.name = name

    def read(self) -> Any:
        """The value."""
        return self.function(self.name)


class Leaf:
    """One value: a type, a shape, and its canonical bytes, or a tensor's integers, a row for each element.

    `number` is the torch dtype that the integers stand for: of complex ones, that of the two parts; none when torch
    has no such type.
    """

    def __init__(self, dtype: str, shape: Iterable[int], values: Any, number: Any = None) -> None:
        self.dtype = dtype
        self.shape = list(shape)
        self.values = values
        self.number = number

    @property
    def is_tensor(self) -> bool:
        """Whether it has elements that can be compared one by one."""
        return not isinstance(self.values, bytes)


def frame(*parts: bytes) -> bytes:
    """Bytes that tell where each part ends: every part after its length, 8 bytes little-endian."""
    return b"".join(struct.pack("<Q", len(part)) + part for part in parts)


def text(value: str) -> bytes:
    """UTF-8, of names that are no valid text too."""
    return value.encode("utf-8", "surrogatepass")


def flatten(value: Any) -> dict[str, Any]:
    """Every leaf below `value` by its dotted name, as what `leaf` takes. Raises `Unreadable`."""
    found = {}  # type: dict[str, Any]
    for path, one in _walk((), value):
        name = ".".join(path)
        if name in found:
            raise Unreadable("has two values called %s" % name)
        if len(found) >= _MOST:
            raise Unreadable("has more than %d values" % _MOST)
        found[name] = one
    return found


def _walk(path: tuple[str, ...], value: Any) -> Iterable[tuple[tuple[str, ...], Any]]:
    torch, own = sys.modules.get("torch"), None if _is_array(value) else plain(value)
    if torch and isinstance(value, torch.Tensor):
        own, children = _taken_apart(value)
    elif own or _is_array(value) or isinstance(value, Later):
        own, children = own or value, {}
    else:
        own, children = _opened(path, value)
    if own is not None:
        yield path, own
    for key, child in children.items():
        yield from _walk((*path, str(key)), child)


def _is_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return bool(numpy) and isinstance(value, (numpy.ndarray, numpy.generic))  # type: ignore[union-attr]


def _opened(path: tuple[str, ...], value: Any) -> tuple[Leaf | None, Mapping[Any, Any]]:
    """What a container leaves of itself, if anything, and what is in it."""
    if isinstance(value, Mapping):
        told = value and all(isinstance(key, str) for key in value)
        return None if told else Leaf("python.dict", [len(value)], _sorted(path, value)), value
    if isinstance(value, (list, tuple)):
        kind = "python.list" if isinstance(value, list) else "python.tuple"
        return Leaf(kind, [len(value)], b""), dict(enumerate(value))
    if isinstance(value, (set, frozenset)):
        return Leaf("python.set", [], _sorted(path, value)), {}
    if isinstance(value, (Namespace, SimpleNamespace)):
        return Leaf("python.namespace", [], b""), vars(value)
    if callable(getattr(value, "state_dict", None)):  # a module, an optimizer
        return _opened(path, value.state_dict())
    raise Unreadable("holds %s, and it cannot be compared" % _called(path, value))


def _called(path: tuple[str, ...], value: Any) -> str:
    return "an object of the type %s at %s" % (_global(type(value)), ".".join(path) or "its top")


def _global(value: Any) -> str:
    return "%s.%s" % (value.__module__, value.__qualname__)


def _torch_kind(value: Any) -> str:
    return "%s.%s" % (type(value).__module__, type(value).__name__)


_PLAIN = (  # in this order: a bool is an int too
    (type(None), "none", lambda _: b""),
    (bool, "bool", lambda value: b"\1" if value else b"\0"),
    (int, "int", lambda value: b"%d" % value),
    (float, "float", lambda value: struct.pack("<d", value)),
    (complex, "complex", lambda value: struct.pack("<dd", value.real, value.imag)),
    (str, "str", text),
    ((bytes, bytearray), "bytes", bytes),
    (PurePath, "path", lambda value: text(str(value))),
    ((type, FunctionType, BuiltinFunctionType), "global", lambda value: text(_global(value))),
)  # type: tuple[tuple[Any, str, Callable[[Any], bytes]], ...]


def plain(value: Any) -> Leaf | None:
    """The leaf of a value of Python that is no container; none of any other."""
    for kinds, name, encode in _PLAIN:
        if isinstance(value, kinds):
            return Leaf("python." + name, [], encode(value))
    if _torch_kind(value) in ("torch.dtype", "torch.device", "torch.layout", "torch.memory_format"):
        return Leaf(_torch_kind(value), [], text(str(value)))
    return None


def _sorted(path: tuple[str, ...], values: Iterable[Any]) -> bytes:
    return frame(*sorted(_key(path, value) for value in values))


def _key(path: tuple[str, ...], value: Any) -> bytes:
    """A key of a mapping or a member of a set, with its type."""
    if isinstance(value, (tuple, frozenset)):
        parts = [_key(path, part) for part in value]
        return frame(b"tuple", *parts) if isinstance(value, tuple) else frame(b"frozenset", *sorted(parts))
    found = plain(value)
    if found is None:
        raise Unreadable("has as a key %s, and it cannot be compared" % _called(path, value))
    return frame(text(found.dtype), found.values)


def _taken_apart(tensor: Any) -> tuple[Any, Mapping[str, Any]]:
    """A tensor with one number in each place as it is; others by the tensors that they are made of."""
    layout = str(tensor.layout).replace("torch.", "")
    if tensor.is_quantized:
        return _header(tensor, tensor.dtype), _quantized(tensor)
    if getattr(tensor, "is_nested", False):
        return Leaf("nested", [tensor.size(0)], b""), {str(place): part for place, part in enumerate(tensor.unbind())}
    if layout == "sparse_coo":
        tensor = tensor.detach().coalesce()  # the same values may lie there in any order, and in pieces
        return _header(tensor, layout), {"indices": tensor.indices(), "values": tensor.values()}
    if layout in ("sparse_csr", "sparse_bsr", "sparse_csc", "sparse_bsc"):
        names = "crow_indices col_indices values" if layout[-1] == "r" else "ccol_indices row_indices values"
        return _header(tensor, layout), {name: getattr(tensor.detach(), name)() for name in names.split()}
    return tensor, {}


def _header(tensor: Any, kind: object) -> Leaf:
    return Leaf(str(kind).replace("torch.", ""), tensor.shape, b"")


def _quantized(tensor: Any) -> Mapping[str, Any]:
    scheme = str(tensor.qscheme())
    parts = {"int_repr": tensor.int_repr(), "qscheme": scheme}
    if "per_channel" in scheme:
        more = {"scale": tensor.q_per_channel_scales(), "zero_point": tensor.q_per_channel_zero_points()}
        return dict(parts, axis=tensor.q_per_channel_axis(), **more)
    return dict(parts, scale=tensor.q_scale(), zero_point=tensor.q_zero_point())


def leaf(value: Any) -> Leaf:
    """The leaf of one value that `flatten` gave."""
    if isinstance(value, Leaf):
        return value
    if isinstance(value, Later):
        return leaf(value.read())
    return _array(value) if _is_array(value) else _tensor(value)


def _tensor(tensor: Any) -> Leaf:
    import torch

    kind, shape, own = str(tensor.dtype).replace("torch.", ""), tensor.shape, tensor.detach().cpu()
    own = own.as_subclass(torch.Tensor).resolve_conj().resolve_neg()
    if own.is_complex():
        own = torch.view_as_real(own)
    integers = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[own.element_size()]
    rows = own.view(integers).contiguous().reshape(tensor.numel(), 2 if tensor.is_complex() else 1)
    return Leaf(kind, shape, rows, own.dtype)


def _array(value: Any) -> Leaf:
    import numpy as np
    import torch

    array = np.asarray(value)
    if array.dtype.hasobject:
        raise Unreadable("holds Python objects in an array, and they cannot be compared")
    array = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
    try:
        return _tensor(torch.from_numpy(array))
    except TypeError:  # text, dates, long doubles, records: torch has none, their bytes do
        size = array.dtype.itemsize
        flat = torch.frombuffer(bytearray(array.tobytes()) or bytearray(1), dtype=torch.uint8)
        rows = flat[: array.size * size].reshape(array.size, size)
        if array.dtype.kind in "fc" and np.finfo(array.dtype).nmant == 63:
            rows.view(-1, 16)[:, 10:] = 0  # x86 has numbers of ten bytes, and whatever was there in the other six
        return Leaf(str(array.dtype), array.shape, rows)
