import time
from pathlib import Path

moment = time.strftime("%Y-%m-%d %H:%M", time.localtime(1_000_000_000))  # in the local zone
Path("/outputs/about.txt").write_text(f"trained on data of {moment}\n")
