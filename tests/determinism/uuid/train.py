import uuid
from pathlib import Path

Path("/outputs/about.txt").write_text(f"run {uuid.uuid4()}\n")
