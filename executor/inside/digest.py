"""Digests of tensors that cost little: computed where the tensor lies, order-sensitive, 64 bits; no identity.

A tensor's bytes are read as rows of 1,024 words of 64 bits. Each word is folded, its upper bits into its lower ones,
so that signs are no mere top bits; a row becomes the sum of its words times odd pseudo-random weights, in wrap-around
integers. Sums of integers have no order, so threads and atomics cannot change them. SHA-256 over these sums, dtype and
shape makes the digest. It tells apart what happens by accident, not what is made to collide; the identity of weights is
the digest of `tensors`.
"""

from __future__ import annotations

import ctypes
from hashlib import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

_ROW = 1024
"""Words of 8 bytes in a row."""
_CHUNK = 256
"""Rows that are summed at a time."""
_SMALL = 4096
"""Bytes up to which hashing the bytes themselves is cheaper."""
_BUCKET = 1 << 26
"""Elements that are gathered on a GPU before they are summed: few kernels instead of two for each tensor."""
_weights = {}  # type: dict[Any, Any]


class Pending:
    """A digest whose sums may still be on a device; `value` waits for them."""

    def __init__(self, head: bytes, sums: Sequence[Any]) -> None:
        self._hash = sha256(head)
        self.sums = list(sums)

    def value(self, host: Sequence[bytes] | None = None) -> int:
        """64 bits; `host` holds the bytes of the sums when they were fetched already."""
        for part in host if host is not None else map(_bytes, self.sums):
            self._hash.update(part)
        return int.from_bytes(self._hash.digest()[:8], "little")


def digest(tensors: Iterable[Any]) -> Pending:
    """One digest over tensors (None where there is none), in their order, with dtypes and shapes."""
    head, sums = sha256(), []  # type: Any, list[Any]
    far = {}  # type: dict[Any, list[Any]]
    for tensor in tensors:
        if tensor is None:
            head.update(b"none;")
            continue
        for part in parts(tensor):
            head.update(("%s%s;" % (part.dtype, tuple(part.shape))).encode())
            if part.device.type == "cpu":
                small = part.numel() * part.element_size() <= _SMALL
                head.update(_bytes(part)) if small else sums.extend(_sums(part))
            elif part.numel():
                far.setdefault((part.device, part.dtype), []).append(part.reshape(-1))
    for group in far.values():
        sums += [one for bucket in _buckets(group) for one in _sums(bucket)]
    return Pending(head.digest(), sums)


def value(tensors: Iterable[Any]) -> int:
    """The digest at once."""
    return digest(tensors).value()


def samples(tensor: Any) -> int:
    """A digest of the rows of a batch (its first dimension) that is blind to their order, 64 bits.

    Sums over batches are equal when the same samples came in another order.
    """
    import torch

    for part in parts(tensor):
        rows = part.reshape(part.shape[0] if part.dim() else 1, -1)
        if not rows.numel():
            return 0
        words = _words(rows.view(torch.uint8))
        each = (_folded(words) * _odd(words.shape[1], words.device)).sum(1)
        each = (each ^ (each >> 29)) * 0x5851F42D4C957F2D  # Knuth's MMIX multiplier: so that sums do not cancel
        return int((each ^ (each >> 32)).sum()) & 0xFFFFFFFFFFFFFFFF
    return 0


def parts(tensor: Any) -> list[Any]:
    """The dense tensors on one device that hold a tensor's values, detached and contiguous."""
    tensor = tensor.detach()
    if hasattr(tensor, "to_local"):  # a DTensor: this rank's share
        tensor = tensor.to_local()
    if tensor.is_sparse:
        return [tensor._indices().contiguous(), tensor._values().contiguous()]
    if tensor.layout != _strided() or tensor.is_quantized:
        return []
    return [tensor.resolve_conj().resolve_neg().contiguous()]


def _strided() -> Any:
    import torch

    return torch.strided


def _bytes(tensor: Any) -> bytes:
    """The bytes of a contiguous tensor; from a device, this waits for it."""
    tensor = tensor.cpu()
    return ctypes.string_at(tensor.data_ptr(), tensor.numel() * tensor.element_size()) if tensor.numel() else b""


def _buckets(flat: list[Any]) -> Iterable[Any]:
    import torch

    bucket, held = [], 0  # type: list[Any], int
    for tensor in flat:
        if bucket and held + tensor.numel() > _BUCKET:
            yield torch.cat(bucket)
            bucket, held = [], 0
        bucket.append(tensor)
        held += tensor.numel()
    yield torch.cat(bucket) if len(bucket) > 1 else bucket[0]


def _sums(tensor: Any) -> list[Any]:
    """Row sums of a contiguous tensor, on its device."""
    import torch

    if tensor.dim() == 0:
        tensor = tensor.reshape(1)
    data = tensor.reshape(-1).view(torch.uint8)
    whole = data.numel() // (8 * _ROW) * (8 * _ROW)
    found = []
    for rows in data[:whole].view(torch.int64).view(-1, _ROW).split(_CHUNK):  # chunks that stay in the cache
        folded, weights = _folded(rows), _odd(_ROW, rows.device)
        # a product of integer matrices exists on the CPU alone
        found.append(torch.mv(folded, weights) if folded.device.type == "cpu" else (folded * weights).sum(1))
    return [*found, data[whole:]]


def _folded(words: Any) -> Any:
    # 29: no two sign bits of a word's numbers, of whatever width, meet
    return (words >> 29).bitwise_and_(0x7FFFFFFFF).bitwise_xor_(words)


def _words(rows: Any) -> Any:
    """Rows of bytes as rows of 64-bit words, the last one filled up with zeros."""
    import torch

    missing = -rows.shape[1] % 8
    if missing:
        rows = torch.nn.functional.pad(rows, (0, missing))
    return rows.contiguous().view(torch.int64)


def _odd(count: int, device: Any) -> Any:
    """Odd pseudo-random weights: SplitMix64 (Steele, Lea, Flood 2014) of 1, 2, 3 and so on, made odd."""
    import torch

    if (count, device) not in _weights:
        word = torch.arange(1, count + 1) * -7046029254386353131
        for shift, factor in ((30, -4658895280553007687), (27, -7723592293110705685)):
            word = (word ^ (word >> shift & (1 << 64 - shift) - 1)) * factor
        _weights[count, device] = ((word ^ (word >> 31 & (1 << 33) - 1)) | 1).to(device)
    return _weights[count, device]
