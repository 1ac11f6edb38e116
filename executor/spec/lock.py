"""From a draft to a spec: tag to digest, branch to commit, path to hash. Pure: whoever looks things up is passed in."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from executor.errors import ExecutorError, InputMismatch, SeveralErrors
from executor.spec.canonical import Digest
from executor.spec.model import Draft, DraftCode, DraftData, Spec
from executor.spec.scalars import ImageRef

T = TypeVar("T")


def lock(
    draft: Draft,
    *,
    image: Callable[[ImageRef], ImageRef],
    commit: Callable[[DraftCode], str],
    tree: Callable[[DraftData, str], Digest],
) -> Spec:
    """Pin everything that `draft` leaves open; what is pinned stays, and is not looked up.

    `image` gives a reference with its digest, `commit` the commit of a branch, `tree` the hash of a source (it is also
    given the data's name). A hash that the draft states beside a source is checked: `InputMismatch` when the source
    holds something else. Every lookup is tried; one failure is raised as it is, several as `SeveralErrors`.
    """
    failures: list[ExecutorError] = []

    def attempt(look: Callable[[], T]) -> T | None:
        try:
            return look()
        except ExecutorError as error:
            failures.append(error)
            return None

    plain = draft.model_dump()
    if draft.image.digest is None:
        plain["image"] = attempt(lambda: image(draft.image))
    if code := draft.code:
        plain["code"] = {"commit": code.commit or attempt(lambda: commit(code)), "repo": code.repo}
    for name, data in draft.data.items():
        plain["data"][name]["hash"] = attempt(partial(_hash, name, data, tree))
    if failures:
        raise failures[0] if len(failures) == 1 else SeveralErrors(failures)
    return Spec.model_validate(plain)


def _hash(name: str, data: DraftData, tree: Callable[[DraftData, str], Digest]) -> Digest:
    if not data.source and data.hash:
        return data.hash
    found = tree(data, name)
    if data.hash and found != data.hash:
        raise InputMismatch(
            f"data.{name}.hash",
            expected=str(data.hash),
            observed=f"{found} at {data.source}",
            advice="restore the data, or take the stated hash out of the draft to accept what is there now",
        )
    return found
