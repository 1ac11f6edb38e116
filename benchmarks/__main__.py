"""`make bench`: the executor around a no-op, the cached answer, tree hashing, the trace; each as a ratio.

Absolute times depend on the machine; the ratios are what counts. Every figure is the median of several rounds, in which
both sides run in turn. Results are written to `benchmarks/results/latest.json`.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import trace
from executor.cli import wiring
from executor.engine.plan import USER
from executor.run import Options, submit
from executor.spec.model import Spec
from executor.spec.tree import HashCache, scan
from executor.steps.home import Home
from executor.steps.site import Site

ROUNDS = 9
RESULTS = Path(__file__).parent / "results"
FILES, BIG = 5_000, 1 << 30


def timed(job: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    started = time.perf_counter()
    job()
    return time.perf_counter() - started


def in_turn(*jobs: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    """Median seconds of each job, run one after the other in every round, after one round that does not count."""
    seconds = [[timed(job) for job in jobs] for _ in range(rounds + 1)][1:]
    return [statistics.median(column) for column in zip(*seconds, strict=True)]


def no_op(image: str) -> Spec:
    """A spec whose program does nothing."""
    plain = {
        "version": 1,
        "name": "no-op",
        "image": image,
        "command": ["true"],
        "seed": 0,
        "resources": {"memory": "1GiB"},
    }
    return Spec.model_validate(plain)


def plain_docker(image_id: str) -> None:
    """The same options by hand."""
    command = ["docker", "run", "--rm", "--network", "none", "--read-only", "--cap-drop", "ALL", "--init",
               "--user", USER, "--security-opt", "no-new-privileges", "--memory", "1g", "--memory-swap", "1g",
               "--shm-size", "1g", "--pids-limit", "4096", "--cpuset-cpus", "0", "--tmpfs", "/tmp",
               image_id, "true"]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)


def overhead(site: Site, image: str, image_id: str, spec_file: Path) -> dict[str, float]:
    """The executor around a no-op container against plain `docker run`; then answers from the store."""
    spec, always = no_op(image), Options(force=True)
    environment = {**os.environ, "EXECUTOR_HOME": str(site.home.root)}
    command = [sys.executable, "-m", "executor", "submit", "--quiet", "--store", site.store.url, str(spec_file)]

    def process(*extra: str) -> None:
        subprocess.run([*command, *extra], check=True, capture_output=True, env=environment)

    docker, library, forced, cached, answered = in_turn(
        lambda: plain_docker(image_id),
        lambda: submit(spec, site, always),
        lambda: process("--force"),
        process,
        lambda: submit(spec, site, Options()),
    )
    return {
        "docker_run_s": docker,
        "submit_in_process_s": library,
        "submit_in_process_ratio": library / docker,
        "submit_command_s": forced,
        "submit_command_ratio": forced / docker,
        "cached_answer_command_s": cached,
        "cached_answer_in_process_s": answered,
    }


def read_all(folder: Path) -> None:
    """The floor: every byte read once."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb", buffering=0) as file:
                while file.read(1 << 20):
                    pass


def hash_all(folder: Path) -> None:
    """Plain hashing in one thread, as a script would."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                hashlib.file_digest(file, "sha256")


def hashing(folder: Path) -> dict[str, float]:
    """Tree hash of one large and many small files against reading them."""
    tree = folder / "tree"
    tree.mkdir()
    block = os.urandom(1 << 20)
    with (tree / "large").open("wb") as large:
        for number in range(BIG >> 20):
            large.write(number.to_bytes(8, "big") + block[8:])
    for number in range(FILES):
        path = tree / f"{number % 50:02}" / f"{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(block[: 1024 + number])
    cache = HashCache(folder / "hashes.sqlite", time.time_ns() + 10**10)
    reading, plain, fresh, again = in_turn(
        lambda: read_all(tree), lambda: hash_all(tree), lambda: scan(tree), lambda: scan(tree, cache=cache), rounds=3
    )
    return {
        "read_s": reading,
        "sha256_one_thread_ratio": plain / reading,
        "tree_hash_ratio": fresh / reading,
        "tree_hash_unchanged_s": again,
    }


def main() -> None:
    """Run everything and write the results."""
    engine = wiring.engine()
    tagged = [(ref, image) for ref, image in engine.images() if ref.startswith("localhost/torch-cpu@")]
    if not tagged:
        sys.exit("the engine has no image localhost/torch-cpu; `make image` builds it")
    ref, image = tagged[-1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["EXECUTOR_HOME"] = str(Home(folder / "home").root)
        site = wiring.site(f"file:{folder / 'store'}")
        spec_file = folder / "no-op.yaml"
        from executor.spec.file import write_spec

        write_spec(no_op(ref), spec_file)
        found = {
            "overhead": overhead(site, ref, image.id, spec_file),
            "hashing": hashing(folder),
            "trace": trace.cost(site, ref, folder),
        }
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(
        {part: {key: round(value, 3) for key, value in rows.items()} for part, rows in found.items()}, indent=1
    )
    (RESULTS / "latest.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
