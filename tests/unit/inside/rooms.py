"""A folder laid out as `/run/executor` is in a container, and programs that run with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

from executor import inside


class Room:
    """Runs programs as the inside room prepares them, and reads what they report."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.report = folder, folder / "report"
        (folder / "inside").symlink_to(Path(inside.__file__).parent)
        self.report.mkdir()
        (folder / "plan.json").write_text(json.dumps({"trace": {"level": "off"}}))

    def run(self, code: str, **modules: str) -> subprocess.CompletedProcess[str]:
        """Run `code` as `train.py`, with `modules` beside it."""
        for name, text in {"train": code, **modules}.items():
            (self.folder / f"{name}.py").write_text(dedent(text))
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{self.folder}/inside/boot", "EXECUTOR_SEED": "1"}
        return subprocess.run(
            [sys.executable, "-B", "train.py"],
            cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    def ended(self, code: str, **modules: str) -> dict[str, Any]:
        """The exit report of `code`, which must end well and print nothing on stderr."""
        done = self.run(code, **modules)
        assert (done.returncode, done.stderr) == (0, "")
        return next(one for one in self.reports("process") if one["process"] == "0")

    def reports(self, stem: str) -> list[dict[str, Any]]:
        """What lies in the report folder under names that begin with `stem`."""
        return [json.loads(path.read_text()) for path in sorted(self.report.glob(f"{stem}-*.json"))]
