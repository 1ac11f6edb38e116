from pathlib import Path

import pytest

from executor.spec.hints import located, relative
from executor.spec.model import Draft

FOLDER = Path("/home/ada/specs")


def draft(hint: str) -> Draft:
    plain = {"version": 1, "name": "x", "image": "x", "command": ["x"], "seed": 1, "code": {"repo": hint}}
    return Draft.model_validate(plain | {"data": {"d": {"source": hint}}})


def hints(request: Draft) -> set[str]:
    assert request.code
    return {request.code.repo, request.data["d"].source}


@pytest.mark.parametrize("hint", [".", "..", "../data", "data/digits", "a b", "a/b:c"])
def test_relative_paths_count_from_the_folder_and_come_back_as_written(hint: str) -> None:
    found = located(draft(hint), FOLDER)
    assert hints(found) == {f"/home/ada/specs/{hint}"}
    assert relative(found, FOLDER) == draft(hint)


@pytest.mark.parametrize(
    "hint", ["/data", "s3://bucket/x", "https://x.org/y.git", "ssh://x/y", "git@x.org:y.git", "host:path", "file:///x"]
)
def test_everything_else_stays(hint: str) -> None:
    assert located(draft(hint), FOLDER) == draft(hint) == relative(draft(hint), FOLDER)


@pytest.mark.parametrize("name", ["-x", "~x", "a:b", "/x", ""])
def test_names_that_would_mean_something_else_stay_absolute(name: str) -> None:
    assert hints(relative(draft(f"{FOLDER}/{name}"), FOLDER)) == {f"{FOLDER}/{name}"}


def test_no_code_and_no_data_is_nothing_to_do() -> None:
    plain = Draft(version=1, name="x", image="x", command=("x",), seed=1)  # type: ignore[arg-type]
    assert located(plain, FOLDER) == plain
