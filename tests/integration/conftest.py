"""The S3 server that integration tests share: SeaweedFS over HTTP on loopback, fresh for the session."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from executor.store.s3 import open_s3
from executor.store.server import Server


@dataclass(frozen=True)
class S3Server:
    """An S3 server for tests."""

    endpoint: str
    access_key: str
    secret_key: str
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def env(self) -> dict[str, str]:
        """What `open_store` needs beside the URL."""
        return {
            "EXECUTOR_S3_ENDPOINT": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
        }

    def fresh_bucket(self) -> str:
        """URL of a new, empty bucket."""
        url = f"s3://test-{next(self._numbers)}"
        open_s3(url, self.env).create_bucket()
        return url


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    folder: Path = tmp_path_factory.mktemp("s3")
    server = Server(folder)
    info = server.start()
    yield S3Server(info.endpoint, info.access_key, info.secret_key)
    server.stop()
