import os
from pathlib import Path

Path("/outputs/about.txt").write_text(f"trained on {os.environ['HOSTNAME']}\n")
