"""The executor's folder on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Home:
    """Folders that outlive a run."""

    root: Path

    @property
    def code(self) -> Path:
        """Checked-out trees by commit."""
        return self._folder("code")

    @property
    def trees(self) -> Path:
        """Fetched data by tree hash."""
        return self._folder("trees")

    @property
    def attempts(self) -> Path:
        """One folder for each attempt while it lasts."""
        return self._folder("attempts")

    @property
    def server(self) -> Path:
        """Data of the S3 server that is started when no store is named."""
        return self._folder("server")

    @property
    def images(self) -> Path:
        """Wheels and layers of image builds."""
        return self._folder("images")

    @property
    def keys(self) -> Path:
        """The key that signs here, and the keys that are trusted; made by who first needs it, closed to others."""
        return self.root / "keys"

    @property
    def stores(self) -> Path:
        """What is remembered of stores that were used from here."""
        self.root.mkdir(parents=True, exist_ok=True)
        return self.root / "stores.json"

    @property
    def uploads(self) -> Path:
        """What large uploads have sent so far; made when it is needed."""
        return self.root / "uploads"

    @property
    def hashes(self) -> Path:
        """Cache of file digests."""
        self.root.mkdir(parents=True, exist_ok=True)
        return self.root / "hashes.sqlite"

    def _folder(self, name: str) -> Path:
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder
