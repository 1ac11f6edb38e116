"""The `executor` command in a fork of a process that has imported it: the same code, without the start of Python.

Variables that Python or the loader read at their start (`PYTHON*`, `LD_*`, `TZ`) say nothing there, and all runs of one
test process share a hash seed: what depends on these starts a process of its own.
"""

from __future__ import annotations

import atexit
import os
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from multiprocessing import connection, get_context
from pathlib import Path

from tests.ran import Ran

_IMPORTED = (
    *("executor.cli.main", "executor.cli.wiring", "executor.run", "executor.engine.container", "executor.store.s3"),
    *("executor.steps.signed.signing", "boto3", "yaml"),
)
"""Not pyarrow: questions import it in a way of their own."""
_context = get_context("forkserver")
_context.set_forkserver_preload(["__main__", *_IMPORTED])
_lock = threading.Lock()
"""A status can be read once, and `start` reads those of all children."""


def run_command(words: Sequence[str], env: Mapping[str, str], cwd: Path, timeout: float) -> Ran:
    """Run it to its end, with an environment of its own; raises `TimeoutError` after `timeout` seconds."""
    with tempfile.TemporaryDirectory() as name:
        out, err = Path(name, "out"), Path(name, "err")
        process = _context.Process(target=_run, args=(list(words), dict(env), str(cwd), str(out), str(err)))
        with _lock:
            process.start()
        ended = False
        try:
            ended = bool(connection.wait([process.sentinel], timeout))
        finally:
            with _lock:
                if not ended:
                    process.kill()
                process.join()
        if not ended or process.exitcode is None:
            raise TimeoutError(f"executor {' '.join(words)}: no end after {timeout:.0f} s")
        return Ran(process.exitcode, out.read_text("utf-8"), err.read_text("utf-8"))


def _run(words: list[str], env: dict[str, str], cwd: str, out: str, err: str) -> None:
    for path, handle in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), handle)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["executor", *words]
    code = 1
    try:
        from executor.cli.main import main

        main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
