import ast

import pytest

from executor.evidence.constructs import constructs


def found(source: str) -> list[tuple[str, int]]:
    return sorted(set(constructs(ast.parse(source))), key=lambda one: (one[1], one[0]))


SUSPECTS = [
    ("import time\ntime.time()", [("clock", 2)]),
    ("from time import perf_counter as now\nnow()", [("clock", 2)]),
    ("from time import *\nmonotonic()", [("clock", 2)]),
    ("import time\nf = time.time_ns", [("clock", 2)]),
    ("from datetime import datetime\ndatetime.now()", [("clock", 2)]),
    ("import datetime as d\nd.date.today()", [("clock", 2)]),
    ("import torch\na = torch.cuda.Event(\n    enable_timing=True)\na.elapsed_time(b)", [("clock", 3), ("clock", 4)]),
    ("import os\nos.stat(p).st_mtime", [("clock", 2)]),
    ("import logging\nlogging.basicConfig(filename='x.log')", [("clock", 2)]),
    ("import logging\nlogging.FileHandler('x.log')", [("clock", 2)]),
    ("import os as o\no.urandom(4)", [("entropy", 2)]),
    ("import secrets\nsecrets.token_hex()", [("entropy", 2)]),
    ("from random import SystemRandom\nSystemRandom()", [("entropy", 2)]),
    ("import uuid\nuuid.uuid4()", [("entropy", 2)]),
    ("import torch\ntorch.seed()", [("entropy", 2)]),
    ("import torch\ng = torch.Generator()\ng.seed()", [("entropy", 3)]),
    ("open('/dev/urandom', 'rb')", [("entropy", 1)]),
    ("open(b'/dev/random')", [("entropy", 1)]),
    ("open('/proc/meminfo')", [("host", 1)]),
    ("f'/sys/class/net/{name}'", [("host", 1)]),
    ("import socket\nsocket.gethostname()", [("host", 2)]),
    ("import os, multiprocessing as m\nos.cpu_count()\nm.cpu_count()\nos.getpid()", [("host", n) for n in (2, 3, 4)]),
    ("import torch.multiprocessing as mp\nmp.cpu_count()", [("host", 2)]),
    ("import psutil\npsutil.Process().memory_info()", [("host", 2)]),
    ("id(x)", [("address", 1)]),
    ("sorted(xs, key=id)", [("address", 1)]),
    ("def f(id): ...\nid(x)", [("address", 2)]),
    ("{p for p in m.parameters()}", [("address", 1)]),
    ("from pathlib import Path\nfor x in (\n    Path(p)\n    .rglob('*')\n): ...", [("directory-order", 4)]),
    ("from threading import Thread\nclass T(Thread): ...", [("concurrency", 2)]),
    ("pool.imap_unordered(f, x)", [("concurrency", 1)]),
    ("import torch.multiprocessing as mp\nmp.Queue()", [("concurrency", 2)]),
    ("import multiprocessing\nmultiprocessing.get_context('fork').Queue()", [("concurrency", 2)]),
    ("ctx.Manager()", [("concurrency", 1)]),
    ("import asyncio\nasyncio.as_completed(x)", [("concurrency", 2)]),
    ("from concurrent.futures import as_completed\nas_completed(x)", [("concurrency", 2)]),
    ("DataLoader(\n  x,\n  in_order=False)", [("concurrency", 3)]),
    ("DataLoader(x, in_order=args.order)", [("concurrency", 1)]),
    ("Parallel(return_as='generator_unordered')", [("concurrency", 1)]),
    ("import torch\ntorch.empty(3)", [("uninitialised", 2)]),
    ("import numpy as np\nnp.empty_like(x)", [("uninitialised", 2)]),
    ("x.new_empty(3)", [("uninitialised", 1)]),
    ("import subprocess\nsubprocess.run(x)", [("subprocess", 2)]),
    ("import os\nos.system('x')\nos.execv(x)", [("subprocess", 2), ("subprocess", 3)]),
    ("import ctypes\nctypes.CDLL('x')", [("native", 2)]),
    ("from torch.utils.cpp_extension import load\nload('x')", [("native", 2)]),
    ("from numba import njit\n@njit(parallel=True)\ndef f(): ...", [("native", 2)]),
    ("import torch\ntorch.set_num_threads(4)", [("contract", 2)]),
    ("import torch\ntorch.backends.cudnn.benchmark = True", [("contract", 2)]),
    ("import torch.backends.cudnn as cudnn\ncudnn.deterministic = False", [("contract", 2)]),
    ("import torch\ntorch.backends.cuda.matmul.allow_tf32 = flag", [("contract", 2)]),
    ("import torch\ntorch.backends.cuda.matmul.fp32_precision = 'tf32'", [("contract", 2)]),
    ("import os\nos.environ['OMP_NUM_THREADS'] = '4'", [("contract", 2)]),
    ("from os import environ as e\ndel e['MKL_CBWR']", [("contract", 2)]),
    ("import os\nos.environ[name] = '4'", [("contract", 2)]),
    ("import torch\n@torch.compile\ndef f(): ...", [("compile", 2)]),
    ("model.compile()", [("compile", 1)]),
    ("import torch\ntorch.save(x, p, _use_new_zipfile_serialization=False)", [("save", 2)]),
    ("import torch, pickle\npickle.dump(x, f)", [("save", 2)]),
    ("z.writestr('a', b'')", [("save", 1)]),
    ("plt.savefig('a.svg')\nplt.savefig(p, format='pdf')\nplt.savefig(f'{x}.svg')", [("save", n) for n in (1, 2, 3)]),
    ("import signal\nsignal.alarm(5)", [("signal", 2)]),
    ("import urllib.request as r\nr.urlopen(x)", [("network", 2)]),
    ("import requests\nrequests.get(x)", [("network", 2)]),
    ("exec(open('x').read())", [("dynamic", 1)]),
    ("AutoModel.from_pretrained(p, trust_remote_code=True)", [("dynamic", 1)]),
    ("import time\ngetattr(time, 'time')()", [("clock", 2)]),
    ("__import__('os').urandom(3)", [("entropy", 1)]),
]  # fmt: skip

QUIET = [
    "import time, os, secrets, subprocess, ctypes, threading\nfrom time import time",
    "# time.time()\n'''id(x) in /proc/cpuinfo and /dev/urandom'''\nx = 'time.time()'",
    "if TYPE_CHECKING:\n    import time\n    time.time()",
    "import threading\ndef f(x: threading.Thread) -> threading.Thread: ...\ny: threading.Thread",
    "import random\nrandom.seed(0)\nrandom.seed()\nrandom.Random().random()",
    "import numpy as np\nnp.random.default_rng()\nnp.random.SeedSequence()\nnp.random.seed()",
    "import torch\ntorch.manual_seed(1)\ntorch.Generator().manual_seed(1)",
    "import time\ntime.sleep(1)",
    "import re\nre.compile('x')",
    "import queue\nqueue.Queue()",
    "import ast\nast.walk(x)",
    "for id in ids:\n    x[id]",
    "self.compile()\nself.seed()",
    "args.glob\nargs.compile",
    "import os\nos.sched_getaffinity(0)\nos.environ['HOME']\nos.environ['MASTER_ADDR'] = 'x'",
    "import os\nos.environ['CUBLAS_WORKSPACE_CONFIG'] = ':4096:8'",
    "import asyncio\nasyncio.gather(x)",
    "import torch\ntorch.backends.cudnn.benchmark = False\ntorch.backends.cudnn.deterministic = True",
    "DataLoader(x, in_order=True)",
    "f(parallel=True)",
    "plt.savefig('loss.png')",
    "import pickle\npickle.dump(x, f)",
    "{name for name, _ in model.named_parameters()}",
    "open('data/proc/x')\nopen('https://x/sys/')",
    "hash(x)",
    "model.eval()",
    "env.seed(3)",
]  # fmt: skip

TRAINING = '''
"""Train a small classifier."""
import argparse, json, os
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, width), nn.GELU(), nn.Dropout(0.1), nn.Linear(width, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    seed = int(os.environ.get("EXECUTOR_SEED", "0"))
    torch.manual_seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    files = sorted(Path("/data/digits").glob("*.npy"))
    data = torch.from_numpy(np.concatenate([np.load(file) for file in files])).float()
    loader = DataLoader(TensorDataset(data[:, :8], data[:, 8].long()), batch_size=32, shuffle=True, num_workers=2)
    model = Net(64).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs)
    out = Path("/outputs")
    with (out / "metrics.jsonl").open("w") as metrics:
        for epoch in range(args.epochs):
            total = 0.0
            for x, y in loader:
                loss = nn.functional.cross_entropy(model(x.to(device)), y.to(device))
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                total += loss.item()
            scheduler.step()
            metrics.write(json.dumps({"epoch": epoch, "loss": total / len(loader)}) + "\\n")
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, out / "model.pt")


if __name__ == "__main__":
    main()
'''


@pytest.mark.parametrize(("source", "expected"), SUSPECTS)
def test_a_construct_is_found_where_it_stands(source: str, expected: list[tuple[str, int]]) -> None:
    assert found(source) == expected


@pytest.mark.parametrize("source", [*QUIET, TRAINING])
def test_what_is_controlled_is_no_suspect(source: str) -> None:
    assert found(source) == []
