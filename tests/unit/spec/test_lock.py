from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from executor.errors import InputMismatch, RegistryUnreachable, SeveralErrors, SourceUnreachable, UncommittedChanges
from executor.spec.canonical import Digest
from executor.spec.lock import lock
from executor.spec.model import Draft, DraftCode, DraftData
from executor.spec.scalars import ImageRef

IMAGE, TREE, OTHER = Digest.of(b"image"), Digest.of(b"tree"), Digest.of(b"other")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def draft(**fields: Any) -> Draft:
    return Draft.model_validate(
        {"version": 1, "name": "x", "image": "ml/torch:2", "command": ["x"], "seed": 1} | fields
    )


def found_image(ref: ImageRef) -> ImageRef:
    return ImageRef(ref.name, IMAGE, ref.tag)


def found_commit(code: DraftCode) -> str:
    return COMMIT


def found_tree(data: DraftData, name: str) -> Digest:
    return TREE


def failing(error: Exception) -> Callable[..., NoReturn]:
    def fail(*_: object) -> NoReturn:
        raise error

    return fail


never = failing(AssertionError("looked up what is pinned"))


def test_everything_open_is_pinned() -> None:
    open_ends = draft(code={"repo": "..", "branch": "main"}, data={"d": {"source": "s3://b/d"}}, params={"lr": 1.0})
    spec = lock(open_ends, image=found_image, commit=found_commit, tree=found_tree)
    assert str(spec.image) == f"ml/torch:2@{IMAGE}"
    assert spec.code
    assert (spec.code.commit, spec.code.repo) == (COMMIT, "..")
    assert (spec.data["d"].hash, spec.data["d"].source) == (TREE, "s3://b/d")
    assert repr(spec.params["lr"]) == "1.0"


def test_what_is_pinned_is_not_looked_up() -> None:
    pinned = draft(image=f"x@{IMAGE}", code={"commit": COMMIT}, data={"d": {"hash": str(TREE)}})
    spec = lock(pinned, image=never, commit=never, tree=never)
    assert spec.image.pinned == IMAGE
    assert spec.data["d"].hash == TREE


def test_no_code_stays_none() -> None:
    assert lock(draft(), image=found_image, commit=never, tree=never).code is None


def test_a_stated_hash_is_checked_against_the_source() -> None:
    stated = draft(data={"d": {"hash": str(TREE), "source": "../d"}})
    assert lock(stated, image=found_image, commit=never, tree=found_tree).data["d"].hash == TREE


def test_a_source_that_differs_from_its_stated_hash_is_refused() -> None:
    stated = draft(data={"d": {"hash": str(OTHER), "source": "../d"}})
    with pytest.raises(InputMismatch) as caught:
        lock(stated, image=found_image, commit=never, tree=found_tree)
    assert caught.value.message == f"data.d.hash: expected {OTHER}, found {TREE} at ../d"
    assert "take the stated hash out" in caught.value.advice


def test_one_failure_is_raised_as_it_is() -> None:
    changed = UncommittedChanges("..", ["train.py"])
    with pytest.raises(UncommittedChanges) as caught:
        lock(draft(code={}), image=found_image, commit=failing(changed), tree=found_tree)
    assert caught.value is changed


def test_every_failure_is_reported() -> None:
    errors = [RegistryUnreachable("no registry", advice="a"), UncommittedChanges("..", ["train.py"])]
    gone = SourceUnreachable("no bucket", advice="a")
    open_ends = draft(code={}, data={"d": {"source": "s3://b/d"}, "e": {"hash": str(TREE)}})
    with pytest.raises(SeveralErrors) as caught:
        lock(open_ends, image=failing(errors[0]), commit=failing(errors[1]), tree=failing(gone))
    assert caught.value.errors == (*errors, gone)
    assert caught.value.exit_code == RegistryUnreachable.exit_code
    assert caught.value.advice.splitlines() == ["a", errors[1].advice]
    assert [error["error"] for error in caught.value.as_json()["errors"]][-1] == "SourceUnreachable"
