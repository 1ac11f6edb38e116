"""Write the UCI digits that scikit-learn ships as a data tree: `python specs/digits.py specs/data/digits`.

The file is taken from scikit-learn's hash-locked wheel, which the image build has fetched already; nothing is imported.
"""

import gzip
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

LOCK = Path(__file__).parent.parent / "images" / "torch-cpu" / "requirements.lock"
MEMBER = "sklearn/datasets/data/digits.csv.gz"
NOTE = (
    "Optical recognition of handwritten digits, test set (1,797 images of 8 by 8 pixels, 0 to 16, then the label).\n"
    "E. Alpaydin, C. Kaynak, UCI Machine Learning Repository, CC BY 4.0; as shipped by scikit-learn.\n"
)


def locked(name: str) -> str:
    """The lines of one requirement in the lock, with its hashes."""
    blocks = LOCK.read_text().replace("\\\n", " ").splitlines()
    return next(line for line in blocks if line.startswith(f"{name}=="))


def main(target: Path) -> None:
    """Write `digits.csv` and `SOURCE.txt` into `target`, unless they are there."""
    if (target / "SOURCE.txt").exists():
        return
    with tempfile.TemporaryDirectory() as folder:
        lock = Path(folder, "lock.txt")
        lock.write_text(locked("scikit-learn") + "\n")
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--dest", folder,
             "--only-binary=:all:", "--python-version", "3.11", "--requirement", str(lock)], check=True,
        )  # fmt: skip
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            table = gzip.decompress(wheel.read(MEMBER))
    target.mkdir(parents=True, exist_ok=True)
    (target / "digits.csv").write_bytes(table)
    (target / "SOURCE.txt").write_text(NOTE)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
