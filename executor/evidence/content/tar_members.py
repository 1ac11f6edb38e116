"""tar archives, read by hand: tarfile may loop for ever on a broken one."""

from __future__ import annotations

from datetime import UTC, datetime

from executor.evidence.content.found import Explanation, Limits, Unreadable, reject
from executor.evidence.content.members import Member, explain_members

BLOCK = 512
_LONG_NAME, _LONG_LINK, _PAX, _PAX_ALL = b"L", b"K", b"x", b"g"
"""Types of members that only say something of the next one, or of all."""
_MOST_HEADER = 1 << 20


def explain_tar(_path: str, reference: bytes, observed: bytes, limits: Limits) -> Explanation:
    """Two archives, member by member."""
    return explain_members("tar", _read(reference), _read(observed), limits)


def _read(data: bytes) -> list[Member]:
    members: list[Member] = []
    start, said, for_all = 0, dict[str, str](), dict[str, str]()
    while len(header := data[start : start + BLOCK]) == BLOCK and any(header):
        _check(header)
        kind = header[156:157]
        size = _size(header, said)
        content = data[start + BLOCK : start + BLOCK + size]
        reject(len(content) != size, "a member is cut off")
        start += BLOCK + -(-size // BLOCK) * BLOCK
        if kind in (_LONG_NAME, _LONG_LINK, _PAX, _PAX_ALL):
            reject(size > _MOST_HEADER, "a header is too long")
            (for_all if kind == _PAX_ALL else said).update(_said(kind, content))
        else:
            members.append(_member(header, content, for_all | said))
            said = {}
    reject(not members, "no members")
    return members


def _check(header: bytes) -> None:
    stated = _number(header[148:156])
    blank = header[:148] + b" " * 8 + header[156:]
    reject(header[257:262] != b"ustar" or sum(blank) != stated, "no tar header")


def _size(header: bytes, said: dict[str, str]) -> int:
    """Bytes of content; links and folders have none whatever they say."""
    size = int(said.get("size", _number(header[124:136]))) if header[156:157] not in b"123456" else 0
    reject(size < 0, "a size below nothing")
    return size


def _member(header: bytes, content: bytes, said: dict[str, str]) -> Member:
    prefix = _string(header[345:500]) if header[257:263] == b"ustar\0" else ""
    name = said.get("path") or "/".join(filter(None, (prefix, _string(header[:100]))))
    link = said.get("linkpath") or _string(header[157:257])
    owner = (
        f"{_number(header[108:116])}:{_number(header[116:124])} {_string(header[265:297])}:{_string(header[297:329])}"
    )
    kind = f"type {_string(header[156:157]) or '0'}, mode {_number(header[100:108]):o}{', to ' if link else ''}{link}"
    return Member(name, content, _moment(float(said.get("mtime", _number(header[136:148])))), owner, kind)


def _said(kind: bytes, content: bytes) -> dict[str, str]:
    """What a member says of the next: its long name, or pax records such as `27 mtime=1767225600.25`."""
    if kind in (_LONG_NAME, _LONG_LINK):
        return {"path" if kind == _LONG_NAME else "linkpath": _string(content)}
    said, start = {}, 0
    while start < len(content) and content[start]:
        length = int(content[start : start + 8].partition(b" ")[0])
        reject(length < 5, "a broken pax record")
        key, equals, value = content[start : start + length].partition(b" ")[2].partition(b"=")
        reject(not equals, "a broken pax record")
        said[key.decode()] = value.removesuffix(b"\n").decode()
        start += length
    return said


def _number(field: bytes) -> int:
    """Octal text, or binary with the first bit set."""
    if field[0] & 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.partition(b"\0")[0].strip()
    if digits and not digits.isdigit():
        raise Unreadable("a number is no number")
    return int(digits or b"0", 8)


def _string(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "replace")


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S.%f}".removesuffix(".000000")
