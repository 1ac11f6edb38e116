from dataclasses import replace
from pathlib import Path

import pytest

from executor.errors import NotFound, SourceUnreachable, UncommittedChanges, UsageError
from executor.spec.file import load_spec
from executor.spec.model import DraftData
from executor.spec.scalars import ImageRef
from executor.spec.tree import Progress, scan
from executor.steps.locking import hash_source, lock_draft, lock_file, lock_path, pin_image
from executor.steps.site import Site
from tests.unit.engine.repos import commit_all, make_repo
from tests.unit.sites import IMAGE, World

DRAFT = """
version: 1
name: line
image: localhost/torch:cpu
code: {{repo: {repo}, branch: HEAD}}
data: {{digits: {{source: {data}}}}}
command: [python, train.py]
seed: 1
"""


@pytest.fixture
def draft(tmp_path: Path) -> Path:
    repo, data = make_repo(tmp_path / "repo", **{"train.py": "print(1)\n"}), tmp_path / "digits"
    data.mkdir()
    (data / "a.csv").write_text("1\n")
    path = repo / "line.yaml"
    path.write_text(DRAFT.format(repo=repo, data=data))
    return path


def fetching(world: World, **files: str) -> Site:
    def fetch(url: str, target: Path, progress: Progress | None) -> None:
        for name, text in files.items():
            (target / name).write_text(text)
            if progress:
                progress(len(text))

    return replace(world.site, fetchers={"s3": fetch})


def test_everything_open_is_pinned_and_the_draft_itself_is_no_change(world: World, draft: Path) -> None:
    spec = lock_draft(draft, world.site)
    assert spec.image == ImageRef("localhost/torch", IMAGE, "cpu")
    assert spec.code is not None
    assert len(spec.code.commit) == 40
    assert spec.data["digits"].hash == scan(Path(spec.data["digits"].source)).hash


def test_the_lock_file_lies_beside_its_draft_and_says_where_it_comes_from(world: World, draft: Path) -> None:
    target = lock_file(draft, world.site)
    assert target == draft.with_name("line.lock.yaml")
    assert target.read_text().startswith("# Locked from line.yaml")
    assert load_spec(target) == lock_draft(draft, world.site)
    assert lock_file(draft, world.site).read_bytes() == target.read_bytes()


@pytest.mark.parametrize("name", ["line.yaml", "line.yml", "line"])
def test_the_name_of_a_lock_file(name: str) -> None:
    assert lock_path(Path("folder", name)) == Path("folder/line.lock.yaml")


def test_the_lock_file_of_another_draft_is_no_change(world: World, draft: Path) -> None:
    lock_file(draft, world.site)
    other = draft.rename(draft.with_name("other.yaml"))
    assert lock_file(other, world.site).name == "other.lock.yaml"


def test_other_uncommitted_changes_are_refused_by_name(world: World, draft: Path) -> None:
    (draft.parent / "train.py").write_text("print(2)\n")
    with pytest.raises(UncommittedChanges) as caught:
        lock_draft(draft, world.site)
    assert caught.value.files == ("train.py",)


def test_the_commit_is_that_of_now(world: World, draft: Path) -> None:
    (draft.parent / "train.py").write_text("print(2)\n")
    commit = commit_all(draft.parent)
    code = lock_draft(draft, world.site).code
    assert code is not None
    assert code.commit == commit


def test_a_pinned_image_is_not_asked_for(world: World) -> None:
    ref = ImageRef("example.org/x", IMAGE)
    world.engine.digests.clear()
    assert pin_image(world.engine, ref) == ref


def test_an_image_that_nobody_knows_is_not_found(world: World) -> None:
    world.engine.digests.clear()
    with pytest.raises(NotFound, match="image localhost/torch:cpu: neither the engine nor a registry knows it"):
        pin_image(world.engine, ImageRef.parse("localhost/torch:cpu"))


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_a_path_is_read_where_it_lies(world: World, tmp_path: Path, prefix: str) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").write_text("x")
    source = DraftData(source=f"{prefix}{tmp_path / 'd'}")
    assert hash_source(source, "d", world.site) == scan(tmp_path / "d").hash
    assert list(world.site.home.trees.iterdir()) == []


def test_a_path_that_is_not_there_is_said_so(world: World, tmp_path: Path) -> None:
    with pytest.raises(SourceUnreachable, match=r"data\.d: there is nothing at"):
        hash_source(DraftData(source=str(tmp_path / "nowhere")), "d", world.site)


def test_what_lies_elsewhere_is_fetched_hashed_and_dropped(world: World, tmp_path: Path) -> None:
    (tmp_path / "same").mkdir()
    (tmp_path / "same" / "a").write_text("x")
    found = hash_source(DraftData(source="s3://bucket/d"), "d", fetching(world, a="x"))
    assert found == scan(tmp_path / "same").hash
    assert list(world.site.home.trees.iterdir()) == []
    assert world.watcher.moved == [("data d", 1, 0)]


def test_an_unknown_scheme_names_the_known_ones(world: World) -> None:
    with pytest.raises(UsageError, match=r"data\.d\.source: cannot read ftp://x/y") as caught:
        hash_source(DraftData(source="ftp://x/y"), "d", fetching(world))
    assert "s3" in caught.value.advice
