"""The metric series of a stored run: the table that was kept, or made again from its outputs."""

from __future__ import annotations

from pathlib import Path

from executor.evidence.record import Record
from executor.steps.history import pull
from executor.steps.series import gather_series, sources
from executor.store.interface import Store


def series_table(record: Record, store: Store, folder: Path) -> Path | None:
    """Write the table of a run's series into the empty `folder`, verified; none when the run has none.

    Records of before the table was kept have it made from their metrics and event files, as it would be today.
    """
    target = folder / "series.parquet"
    if record.series:
        store.get_blob(record.series.digest, target)
        return target
    wanted = {path for source in sources(record.outputs) for path in source.paths}
    files = tuple(file for file in record.outputs if file.path in wanted)
    outputs = folder / "outputs"
    pull(store, record.model_copy(update={"outputs": files}), outputs, lambda *_: None)
    return target if gather_series(files, outputs, target).series else None
