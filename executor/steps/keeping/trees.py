"""Data trees in the store: a manifest, named by the tree's hash, and every file as a blob."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from executor.engine.inputs import Restore
from executor.errors import CorruptObject
from executor.spec.canonical import Digest
from executor.spec.tree import Tree, TreeEntry
from executor.store.interface import Store
from executor.store.objects import DOCUMENT_LIMIT
from executor.store.transfer import Progress, in_threads, one_at_a_time

_SMALL, _SMALL_WORKERS, _LARGE_WORKERS = 1 << 20, 32, 4


def listed(store: Store, digest: Digest) -> Tree | None:
    """The tree of that hash as its manifest in the store lists it; none without one. Its files need not be there.

    Raises `CorruptObject` for a blob that is no manifest: paths that leave the tree, or that are there twice, among it.
    """
    if store.blob_size(digest) is None:
        return None
    try:
        return Tree.parse(store.read_blob(digest, DOCUMENT_LIMIT))
    except ValueError as error:
        raise CorruptObject(str(digest), expected="the manifest of a data tree", observed=str(error)) from error


def sizes(tree: Tree) -> dict[Digest, int]:
    """Bytes of each file, by its digest."""
    return {entry.digest: entry.size for entry in tree.entries}


def restorer(store: Store, digest: Digest, progress: Progress | None = None) -> Restore | None:
    """What writes the tree of that hash below an empty folder, every byte verified; none unless it is all there."""
    tree = listed(store, digest)
    if tree is None or store.missing_blobs(sizes(tree)):
        return None
    return partial(_write, store, tree, one_at_a_time(progress))


def _write(store: Store, tree: Tree, tell: Progress, folder: Path) -> None:
    def write(entry: TreeEntry) -> None:
        path = folder / entry.path
        store.get_blob(entry.digest, path)
        if entry.executable:
            path.chmod(0o755)
        tell(entry.size)

    for parent in {(folder / entry.path).parent for entry in tree.entries}:
        parent.mkdir(parents=True, exist_ok=True)
    in_threads(write, (entry for entry in tree.entries if entry.size <= _SMALL), _SMALL_WORKERS)
    in_threads(write, (entry for entry in tree.entries if entry.size > _SMALL), _LARGE_WORKERS)


def keep(store: Store, tree: Tree, folder: Path, progress: Progress | None = None) -> None:
    """Keep every file of a tree that lies in `folder`; what is there is not sent again."""
    store.put_blobs(((folder / entry.path, entry.digest, entry.size) for entry in tree.entries), progress)
