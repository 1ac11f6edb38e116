from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from executor.errors import UsageError
from executor.store import open_store


def test_the_scheme_chooses(tmp_path: Path) -> None:
    env = {"EXECUTOR_S3_ENDPOINT": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    assert type(open_store(f"file:{tmp_path}", {})).__name__ == "LocalStore"
    assert type(open_store("s3://bucket/prefix", env)).__name__ == "S3Store"


@pytest.mark.parametrize("url", ["", "bucket", "/a/folder", "gs://bucket", "C:\\store", "S3://bucket"])
def test_what_is_not_a_store_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="not the URL of a store"):
        open_store(url, {})


@pytest.mark.parametrize(("url", "advice"), [("/tmp/x", "write file:/tmp/x"), ("./x", "write file:./x"),
                                             ("bucket", "write file:… or s3:…")])  # fmt: skip
def test_a_path_is_told_how_it_is_written(url: str, advice: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_store(url, {})
    assert caught.value.advice == advice


def test_boto3_is_imported_only_for_a_bucket() -> None:
    code = "import sys, executor.store; sys.exit('boto3' in sys.modules or 'botocore' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
