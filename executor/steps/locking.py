"""A draft becomes a spec with what this machine knows: the engine's images, git, the data where they lie."""

from __future__ import annotations

import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from executor.engine.code import resolve_commit
from executor.engine.interface import Engine
from executor.engine.private import require_data
from executor.errors import NotFound, SourceUnreachable, UsageError
from executor.spec import file
from executor.spec.canonical import Digest
from executor.spec.lock import lock
from executor.spec.model import Draft, DraftCode, DraftData, Spec
from executor.spec.scalars import ImageRef
from executor.spec.tree import scan
from executor.steps.prepare import counter, hash_cache
from executor.steps.site import Site

HEADER = "Locked from {name}: every input is pinned. Made by `executor lock`; edit the draft instead."


def lock_draft(draft: Path, site: Site, *others: Path) -> Spec:
    """Pin everything that a draft leaves open.

    The draft, `others` such as the sweep that names it, and the lock files beside it are no uncommitted changes.
    """
    # those of other drafts too: what locking one of them wrote must not keep the next from being locked
    asked = (path.absolute() for path in (draft, *others))
    own = frozenset({*asked, *draft.absolute().parent.glob("*.lock.yaml")})
    return pin(file.load_draft(draft), site, own)


def pin(draft: Draft, site: Site, ignore: frozenset[Path] = frozenset()) -> Spec:
    """The same for a draft that was read; files that are to `ignore` are no uncommitted changes."""

    def commit(wanted: DraftCode) -> str:
        return resolve_commit(wanted.repo, wanted.branch, ignore=ignore, env=site.environment)

    return lock(
        draft,
        image=lambda ref: pin_image(site.engine, ref),
        commit=commit,
        tree=lambda data, name: hash_source(data, name, site),
    )


def lock_file(draft: Path, site: Site, *others: Path) -> Path:
    """Lock a draft into `<name>.lock.yaml` beside it, as `lock_draft` does."""
    target = lock_path(draft)
    file.write_spec(lock_draft(draft, site, *others), target, HEADER.format(name=draft.name))
    return target


def lock_path(draft: Path) -> Path:
    """Where the spec of a draft is written."""
    return draft.with_name(f"{draft.name.removesuffix('.yaml').removesuffix('.yml')}.lock.yaml")


def pin_image(engine: Engine, ref: ImageRef) -> ImageRef:
    """The reference with its digest, from the engine or its registry; raises `NotFound`."""
    if ref.digest is not None:
        return ref
    digest = engine.digest_of(str(ref))
    if digest is None:
        raise NotFound(f"image {ref}: neither the engine nor a registry knows it",
                       advice="build it (`executor image build`), pull it, or correct its name")  # fmt: skip
    return ImageRef(ref.name, digest, ref.tag)


def hash_source(data: DraftData, name: str, site: Site) -> Digest:
    """Tree hash of a data source: a path is read where it lies, anything else is fetched first."""
    cache = hash_cache(site)
    scheme = urlsplit(data.source).scheme
    if scheme in ("", "file"):
        path = Path(data.source.removeprefix("file://"))
        if not path.exists():
            raise SourceUnreachable(f"data.{name}: there is nothing at {path}", advice="correct the draft's `source`")
        require_data(name, path)
        return scan(path, cache=cache).hash
    if scheme not in site.fetchers:
        raise UsageError(f"data.{name}.source: cannot read {data.source}",
                         advice=f"use a path, or one of: {', '.join(sorted(site.fetchers))}")  # fmt: skip
    with tempfile.TemporaryDirectory(dir=site.home.trees) as folder:
        site.fetchers[scheme](data.source, Path(folder), counter(site, f"data {name}"))
        return scan(Path(folder), cache=cache).hash
