"""Files in an archive, of whatever kind: held against each other by name, apart from how the archive was written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from executor.errors import count
from executor.evidence.content.found import Explanation, Found, Limits, names, reject
from executor.evidence.content.leaks import in_text


class Member(NamedTuple):
    """One file in an archive."""

    name: str
    content: bytes
    stamp: str = ""
    """Time stamp, as people write it."""
    owner: str = ""
    """Who made it, where the archive keeps that."""
    kind: str = ""
    """What else carries meaning: type, mode, the target of a link."""


Members = Mapping[str, Member]


def explain_members(name: str, reference: Sequence[Member], observed: Sequence[Member], limits: Limits) -> Explanation:
    """Two archives of one format that differ in their bytes."""
    found = Found(name)
    roots = _root(reference), _root(observed)
    if roots[0] == roots[1] or not all(roots):
        roots = ("", "")
    old, new = _by_name(reference, roots[0]), _by_name(observed, roots[1])
    same = _only_one_side(old, new, found) & _contents(old, new, found, limits)
    if roots[0] != roots[1]:
        found.value("root folder", *roots)
    _stamps(old, new, found)
    _owners(old, new, found)
    if same and list(old) != list(new):
        found.add("the same members in another order")
    if not found.count:
        found.add(f"the same {count(len(old), 'member')}, packed differently")
    return found.explanation(same=same)


def _root(members: Sequence[Member]) -> str:
    """The one folder that all lie in; torch names it after the file."""
    roots = {member.name.partition("/")[0] if "/" in member.name else "" for member in members}
    return roots.pop() + "/" if len(roots) == 1 and "" not in roots else ""


def _by_name(members: Sequence[Member], root: str) -> Members:
    found = {member.name.removeprefix(root): member for member in members}
    reject(len(found) != len(members), "readers may take either of two members with one name")
    return found


def _only_one_side(old: Members, new: Members, found: Found) -> bool:
    fewer, more = [name for name in old if name not in new], [name for name in new if name not in old]
    for which, listed in (("the reference", fewer), ("this attempt", more)):
        if listed:
            members = "member" if len(listed) == 1 else f"{len(listed)} members"
            found.add(f"{members} only in {which}: {names(listed)}")
    if len(fewer) == len(more) == 1:
        found.leaks.update(in_text(fewer[0], more[0]))
    return not fewer and not more


def _contents(old: Members, new: Members, found: Found, limits: Limits) -> bool:
    same = True
    for name, one, other in _pairs(old, new):
        if one.kind != other.kind:
            found.add(f"member {name}: {one.kind} → {other.kind}")
            same = False
        if one.content != other.content:
            inner = limits.inner(name, one.content, other.content)
            found.include(f"member {name}", inner)
            same &= inner.same_values
    return same


def _stamps(old: Members, new: Members, found: Found) -> None:
    """Time stamps, in one line when they differ in more than one member."""
    differ = [pair for pair in _pairs(old, new) if pair[1].stamp != pair[2].stamp]
    if not differ:
        return
    name, one, other = next((pair for pair in differ if pair[1].content == pair[2].content), differ[0])
    same = "same bytes; " if one.content == other.content else ""
    rest = f", and {count(len(differ) - 1, 'other member')} too" if len(differ) > 1 else ""
    found.add(f"member {name}: {same}time stamp {one.stamp} → {other.stamp}{rest}", ["time"])


def _owners(old: Members, new: Members, found: Found) -> None:
    differ = [pair for pair in _pairs(old, new) if pair[1].owner != pair[2].owner]
    if differ:
        name, one, other = differ[0]
        found.add(f"member {name}: owner {one.owner} → {other.owner}", ["host"])


def _pairs(old: Members, new: Members) -> list[tuple[str, Member, Member]]:
    return [(name, member, new[name]) for name, member in old.items() if name in new]
