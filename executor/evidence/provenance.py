"""What is signed of an attempt: an in-toto statement v1 that carries SLSA provenance v1. Pure: no I/O.

It is made from the record alone, so that whoever holds the record can make it again and see whether what was signed
says the same. Whoever changes what it says of a record raises `BUILD_TYPE`: old statements stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from executor.evidence.record import Blob, Record
from executor.facts import OutputFile
from executor.spec.canonical import Digest, canonical_bytes, spec_hash

STATEMENT, PREDICATE = "https://in-toto.io/Statement/v1", "https://slsa.dev/provenance/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
"""What a statement is called in the envelope that holds its signatures."""
BUILD_TYPE, BUILDER = "urn:repro-executor:run:v1", "urn:repro-executor:executor"
"""How the parameters are to be read, and who ran: which of many executors it was, the signature says."""
TREE = "executorTree"
"""Our digest of a data tree: over the paths, sizes, contents and executable bits of its files."""
JSON = "application/json"
_Plain = dict[str, Any]

CLAIMS: Mapping[str, tuple[str, ...]] = {
    "type": ("_type",),
    "predicate type": ("predicateType",),
    "subject": ("subject",),
    "build type": ("predicate", "buildDefinition", "buildType"),
    "spec": ("predicate", "buildDefinition", "externalParameters"),
    "settings": ("predicate", "buildDefinition", "internalParameters"),
    "inputs": ("predicate", "buildDefinition", "resolvedDependencies"),
    "builder": ("predicate", "runDetails", "builder"),
    "attempt": ("predicate", "runDetails", "metadata"),
    "byproducts": ("predicate", "runDetails", "byproducts"),
}
"""What a statement says, and where in it: each of these must be what the record says."""


def statement(record: Record, record_digest: Digest) -> _Plain:
    """The statement about an attempt; `record_digest` is that of its record's stored bytes.

    Subjects of an attempt that succeeded are its outputs and its record. What another left is no result: only its
    record is a subject, its outputs are byproducts.
    """
    outputs = [_described(f"outputs/{file.path}", file) for file in record.outputs]
    succeeded = record.status == "succeeded"
    kept = {"name": "record.json", "digest": {"sha256": record_digest.hex}}
    return {
        "_type": STATEMENT,
        "subject": [kept, *outputs] if succeeded else [kept],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"spec": record.spec, "specHash": str(record.spec_hash)},
                "internalParameters": {
                    "allowed": list(record.allowed),
                    "varied": dict(record.varied),
                    "rerun": record.rerun,
                    "resources": record.hints.resources,
                },
                "resolvedDependencies": list(_inputs(record)),
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": _versions(record)},
                "metadata": {
                    "invocationId": record.attempt,
                    "startedOn": _moment(record.outcome.started),
                    "finishedOn": _moment(record.outcome.finished),
                },
                "byproducts": [kept | _ending(record), *_byproducts(record), *([] if succeeded else outputs)],
            },
        },
    }


def payload(record: Record, record_digest: Digest) -> bytes:
    """The statement's bytes, equal each time: what is signed."""
    return canonical_bytes(statement(record, record_digest))


def disagreements(found: Mapping[str, Any], record: Record, record_digest: Digest) -> list[str]:
    """What a statement says otherwise than the record, one line each; none when they agree.

    `found` may be anything that JSON can say.
    """
    try:
        if spec_hash(record.spec) != record.spec_hash:
            return ["the spec in the record is not that of its hash"]
        expected = statement(record, record_digest)
    except (AttributeError, TypeError, ValueError):  # a record comes from a store that others write to
        return ["the spec in the record is none"]
    return [f"its {name} is not that of the record" for name, path in CLAIMS.items()
            if not _equal(_at(found, path), _at(expected, path))]  # fmt: skip


def _at(document: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        document = document.get(name) if isinstance(document, Mapping) else None
    return document


def _equal(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON, types included; NaN is no JSON."""
    try:
        return canonical_bytes(one) == canonical_bytes(other)
    except ValueError:
        return False


def _inputs(record: Record) -> Iterator[_Plain]:
    spec, hints = record.spec, record.hints
    yield {"name": "spec.json", "digest": {"sha256": Digest.of(canonical_bytes(spec)).hex}, "mediaType": JSON}
    image = spec["image"]
    yield {"name": "image", "uri": _image(hints.image, image), "digest": {"sha256": Digest.parse(image).hex}}
    if commit := spec["code"]:
        where = {"uri": f"git+{hints.repo}@{commit}"} if "://" in hints.repo else {}
        yield {"name": "code", **where, "digest": {"gitCommit": commit}}
    if record.code:
        yield _described("code archive", record.code)
    for name, tree in spec["data"].items():
        manifest = record.manifests.get(name)
        source = hints.sources.get(name, "")
        where = {"uri": source} if "://" in source else {}
        digests = {TREE: Digest.parse(tree).hex} | ({"sha256": manifest.digest.hex} if manifest else {})
        yield {"name": f"data/{name}", **where, "digest": digests}


def _image(name: str, digest: str) -> str:
    """The package URL of an image: https://github.com/package-url/purl-spec, type `oci`."""
    where = f"?repository_url={quote(name, safe='/:')}" if "/" in name else ""
    return f"pkg:oci/{quote(name.rpartition('/')[2].lower(), safe='')}@{quote(digest, safe='')}{where}"


def _byproducts(record: Record) -> Iterator[_Plain]:
    for name, blob in record.beside.items():
        if name != "code":  # an input
            yield _described(name, blob)


def _described(name: str, blob: Blob | OutputFile) -> _Plain:
    return {"name": name, "digest": {"sha256": blob.digest.hex}}


def _ending(record: Record) -> _Plain:
    """How the attempt ended: SLSA has no word for it, so it is a note on the record."""
    return {"mediaType": JSON, "annotations": {"status": record.status, "exitCode": record.outcome.exit_code}}


def _versions(record: Record) -> dict[str, str]:
    engine = record.fingerprint.engine
    return {"executor": record.executor, engine.name: engine.version}


def _moment(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
