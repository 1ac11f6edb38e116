"""What a Workflow Run RO-Crate says of an attempt: its `ro-crate-metadata.json`. Pure: no I/O.

The profile is Process Run Crate 0.5 (https://w3id.org/ro/wfrun/process/0.5) on RO-Crate 1.1: one program was run once.
It is made from the record and the list of files alone, without the clock: the same attempt gives the same document.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from executor.evidence.record import Record
from executor.evidence.row import parameters
from executor.spec.canonical import Digest
from executor.steps.finding.sheet import plain_value

CRATE, PROFILE = "https://w3id.org/ro/crate/1.1", "https://w3id.org/ro/wfrun/process/0.5"
NAME = "ro-crate-metadata.json"
_TERMS = "https://w3id.org/ro/terms/workflow-run#"
CONTEXT = [
    f"{CRATE}/context",
    {name: f"{_TERMS}{name}" for name in ("ContainerImage", "DockerImage", "containerImage", "environment", "registry",
                                          "sha256", "tag")},
]  # fmt: skip
"""What the words mean: those of RO-Crate, and of Workflow Run RO-Crates."""
_KINDS = {bool: "Boolean", int: "Integer", float: "Float", str: "Text"}
_ENCODINGS = {".jsonl": "application/jsonl", ".log": "text/plain", ".manifest": "text/plain",
              ".parquet": "application/vnd.apache.parquet", ".yaml": "application/yaml"}  # fmt: skip
_Entity = dict[str, Any]


@dataclass(frozen=True)
class Packed:
    """A file of the crate."""

    path: str
    """Below the crate's folder, `/` between names."""
    digest: Digest
    size: int
    """Bytes."""
    about: str
    """What it is, a few words."""
    output: bool = False
    """Whether the program left it."""

    @property
    def id(self) -> str:
        """Its name in the document: a relative URI."""
        return quote(self.path)


def document(record: Record, files: Sequence[Packed], signers: Sequence[str] = ()) -> _Entity:
    """The whole document; `signers` are ids of the keys that signed the attempt."""
    data, values = list(_data(record)), list(_values(record))
    agent, action = _agent(record, signers), f"#{quote(record.attempt)}"
    root = {
        "@id": "./", "@type": "Dataset", "name": f"{record.hints.name}, run {record.spec_hash.hex[:12]}",
        "description": f"Everything that is kept of attempt {record.attempt} of {record.hints.name}: {_ended(record)}. "
                       f"Its spec has the hash {record.spec_hash.hex}.",
        "identifier": str(record.spec_hash), "datePublished": _moment(record.created), "conformsTo": _ref(PROFILE),
        "license": _ref(_license(record)["@id"]), "hasPart": _refs(file.id for file in files), "mentions": _ref(action),
        **({"author": _ref(agent["@id"])} if agent else {}),
    }  # fmt: skip
    graph: list[_Entity] = [
        {"@id": NAME, "@type": "CreativeWork", "about": _ref("./"), "conformsTo": _ref(CRATE)},
        root,
        {"@id": PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"},
        _license(record),
        _action(record, action, files, [*data, *values], agent),
        *map(_file, files),
        *_program(record, files),
        _image(record),
        *data,
        *values,
        *_parameters(record),
        *_measured(record),
        *_environment(record),
        *([agent] if agent else []),
    ]
    return {"@context": CONTEXT, "@graph": _merged(graph)}


def _merged(graph: Sequence[_Entity]) -> list[_Entity]:
    """Each entity once: what is said of one twice, as of the code, is put together."""
    found: dict[str, _Entity] = {}
    for entity in graph:
        found[entity["@id"]] = {**found.get(entity["@id"], {}), **entity}
    return list(found.values())


def _ref(name: str) -> _Entity:
    return {"@id": name}


def _refs(names: Iterable[str]) -> _Entity | list[_Entity]:
    """References; one stands alone, as RO-Crate wants it."""
    every = [_ref(name) for name in names]
    return every[0] if len(every) == 1 else every


def _moment(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds")


def _ended(record: Record) -> str:
    code = record.outcome.exit_code
    status = f"exit status {code}" if code is not None else "no exit status"
    return f"{record.status}, {status}" + (f" ({record.outcome.reason})" if record.outcome.reason else "")


def _file(file: Packed) -> _Entity:
    suffix = f".{file.path.rpartition('.')[2]}"
    kind = _ENCODINGS.get(suffix) or mimetypes.types_map.get(suffix, "application/octet-stream")
    return {"@id": file.id, "@type": "File", "name": file.path.rpartition("/")[2], "description": file.about,
            "contentSize": str(file.size), "encodingFormat": kind, "sha256": file.digest.hex}  # fmt: skip


def _license(record: Record) -> _Entity:
    """What the label `license` of the spec says; the format asks for one, and we do not make it up."""
    named = record.hints.labels.get("license", "")
    if named.startswith(("https://", "http://")):
        return {"@id": named, "@type": "CreativeWork", "name": named}
    stated = named or "No licence is stated: ask whoever ran it."
    return {"@id": "#license", "@type": "CreativeWork", "name": named or "not stated", "description": stated}


def _agent(record: Record, signers: Sequence[str]) -> _Entity | None:
    """Who ran it: as they say themselves, else whoever holds the key that signed it."""
    if who := record.hints.submitter:
        return {"@id": "#submitter", "@type": "Person", "name": who}
    if signers:
        return {"@id": f"#key-{signers[0][:16]}", "@type": "Person", "name": f"holder of the key {signers[0]}"}
    return None


def _action(
    record: Record, name: str, files: Sequence[Packed], inputs: Sequence[_Entity], agent: _Entity | None
) -> _Entity:  # fmt: skip
    succeeded = record.status == "succeeded"
    instrument = _program(record, files)[0]["@id"]
    given = [file.id for file in files if file.path == "spec.json"] + [one["@id"] for one in inputs]
    left = [file.id for file in files if file.output] + [one["@id"] for one in _measured(record)]
    return {
        "@id": name, "@type": "CreateAction", "name": f"Run of {record.hints.name}",
        "description": f"Command: {' '.join(map(str, record.spec['command']))}",
        "startTime": _moment(record.outcome.started), "endTime": _moment(record.outcome.finished),
        "instrument": _ref(instrument), "object": _refs(given), "result": _refs(left),
        "containerImage": _ref(_image(record)["@id"]),
        "actionStatus": f"http://schema.org/{'Completed' if succeeded else 'Failed'}ActionStatus",
        **({} if succeeded else {"error": _ended(record)}),
        **({"agent": _ref(agent["@id"])} if agent else {}),
        **({"environment": _refs(one["@id"] for one in _environment(record))} if record.spec["env"] else {}),
    }  # fmt: skip


def _program(record: Record, files: Sequence[Packed]) -> list[_Entity]:
    """What was run: the commit of the code, or the image alone where there is none."""
    wanted = [one["@id"] for one in _parameters(record)]
    said = {"name": record.hints.name, **({"input": _refs(wanted)} if wanted else {})}
    commit, repo = record.spec["code"], record.hints.repo
    if not commit:
        return [{"@id": "#program", "@type": "SoftwareApplication", **said, "softwareVersion": record.spec["image"]}]
    where = {"url": repo, "codeRepository": repo} if repo.startswith(("https://", "http://")) else {}
    packed = next((file for file in files if file.path == "code.tar"), None)
    kind = ["File", "SoftwareSourceCode"] if packed else "SoftwareSourceCode"
    return [{"@id": packed.id if packed else "#program", "@type": kind, **said, "version": commit, **where}]


def _image(record: Record) -> _Entity:
    registry, _, name = record.hints.image.rpartition("/")
    return {
        "@id": "#image", "@type": "ContainerImage", "additionalType": _ref(f"{_TERMS}DockerImage"),
        "name": name or record.hints.image, "registry": registry or "docker.io",
        "sha256": Digest.parse(record.spec["image"]).hex,
    }  # fmt: skip


def _data(record: Record) -> Iterator[_Entity]:
    """The data trees: not in the crate, named by their digests; what a tree holds is in its manifest."""
    for name, digest in record.spec["data"].items():
        source, listed = record.hints.sources.get(name, ""), record.manifests.get(name)
        yield {
            "@id": f"#data-{quote(name, safe='')}", "@type": "CreativeWork", "name": name, "identifier": digest,
            "description": f"Folder of files that the program found at /data/{name}.",
            **({"url": source} if "://" in source else {}),
            **({"subjectOf": _ref(quote(manifest(name)))} if listed else {}),
        }  # fmt: skip


def manifest(name: str) -> str:
    """Where the list of the files of a data tree lies in the crate."""
    return f"data/{quote(name, safe='')}.manifest"


def _parameters(record: Record) -> list[_Entity]:
    return [
        {"@id": f"#parameter-{quote(name, safe='')}", "@type": "FormalParameter", "name": name,
         "additionalType": _KINDS.get(type(value), "Text"), "valueRequired": True}
        for name, value in parameters(record).items()
    ]  # fmt: skip


def _values(record: Record) -> Iterator[_Entity]:
    for name, value in parameters(record).items():
        yield {**_property("value", name, value), "exampleOfWork": _ref(f"#parameter-{quote(name, safe='')}")}


def _measured(record: Record) -> list[_Entity]:
    """The final metrics and the exit status: numbers that the run left."""
    metrics = [_property("metric", name, value) for name, value in record.metrics.items()]
    code = record.outcome.exit_code
    return [_property("outcome", "exit status", "none" if code is None else code), *metrics]


def _environment(record: Record) -> list[_Entity]:
    return [_property("variable", name, value) for name, value in record.spec["env"].items()]


def _property(kind: str, name: str, value: Any) -> _Entity:
    """A name and its value; JSON has no NaN, no infinity, and RO-Crate no nested values: these are texts."""
    value = str(value) if value is None or isinstance(value, list) else plain_value("", value)
    return {"@id": f"#{kind}-{quote(name, safe='')}", "@type": "PropertyValue", "name": name, "value": value}
