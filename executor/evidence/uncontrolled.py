"""What the determinism contract does not control, as tables: names of Python by the source of a difference. Pure.

What `engine/plan.py` and the inside room do control is not here: seeds, hash seed, threads, CPU set, time zone, locale.
A doubtful name is here: who uses none of these predicts an identical rerun.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

NAMES: Mapping[str, str] = {
    "clock": """time.time time.time_ns time.perf_counter time.perf_counter_ns time.monotonic time.monotonic_ns
        time.process_time time.process_time_ns time.thread_time time.thread_time_ns time.clock_gettime*
        datetime.datetime.now datetime.datetime.utcnow datetime.datetime.today datetime.date.today
        pandas.Timestamp.now pandas.Timestamp.today pandas.Timestamp.utcnow timeit.* cProfile.* profile.*
        os.times os.path.getmtime os.path.getctime os.path.getatime logging.FileHandler logging.handlers.*FileHandler
        torch.profiler.* torch.autograd.profiler.* torch.utils.benchmark.*
        torch.utils.tensorboard.SummaryWriter tensorboardX.SummaryWriter""",
    "entropy": """os.urandom os.getrandom secrets.* random.SystemRandom uuid.uuid1 uuid.uuid4 cupy.random.*
        torch.seed torch.random.seed torch.cuda.seed torch.cuda.seed_all torch.default_generator.seed ssl.RAND_bytes""",
    "host": """socket.gethostname socket.getfqdn platform.node platform.uname platform.platform platform.release
        platform.version platform.processor uuid.getnode os.getpid os.getppid os.uname os.getlogin os.getloadavg
        os.cpu_count multiprocessing.cpu_count psutil.* shutil.disk_usage os.statvfs resource.getrusage
        threading.get_ident threading.get_native_id torch.cuda.mem_get_info pynvml.*""",
    "address": "builtins.id",
    "directory-order": "os.listdir os.scandir os.walk os.fwalk glob.glob glob.iglob",
    "concurrency": """threading.Thread threading.Timer _thread.* multiprocessing.pool.* multiprocessing.dummy.*
        multiprocessing.Pool multiprocessing.Queue multiprocessing.SimpleQueue multiprocessing.JoinableQueue
        multiprocessing.Manager concurrent.futures.ThreadPoolExecutor concurrent.futures.ProcessPoolExecutor
        concurrent.futures.as_completed concurrent.futures.wait asyncio.as_completed asyncio.wait asyncio.to_thread
        torch.distributed.rpc.* ray.* dask.* gevent.* eventlet.*""",
    "uninitialised": """torch.empty torch.empty_like torch.empty_strided torch.empty_permuted
        numpy.empty numpy.empty_like numpy.ma.empty""",
    "subprocess": """subprocess.* os.system os.popen os.exec* os.spawn* os.posix_spawn* pty.spawn pexpect.*
        asyncio.create_subprocess_*""",
    "native": """ctypes.* cffi.* pyximport.* torch.utils.cpp_extension.* torch.ops.load_library
        torch.classes.load_library numba.cuda.* triton.autotune triton.language.atomic_* pycuda.* cupy.RawKernel
        cupy.RawModule torch_scatter.* torch_sparse.* torch_cluster.*""",
    "contract": """torch.set_num_threads torch.set_num_interop_threads torch.set_flush_denormal os.sched_setaffinity
        torch.backends.cudnn.flags torch.backends.cudnn.set_flags torch.backends.mkldnn.flags threadpoolctl.*""",
    "compile": "torch.compile torch.jit.optimized_execution torch._dynamo.optimize",
    "save": "gzip.compress shutil.make_archive",
    "signal": "signal.alarm signal.setitimer",
    "network": """socket.socket socket.create_connection requests.* urllib.request.* urllib3.* http.client.* httpx.*
        aiohttp.* ftplib.* smtplib.* paramiko.* boto3.* huggingface_hub.* gdown.* wget.* wandb.* mlflow.*
        torch.hub.load* torch.hub.download_url_to_file""",
    "dynamic": "builtins.eval builtins.exec runpy.*",
}
"""Names whose every use counts, by source; `*` stands for anything."""

METHODS: Mapping[str, str] = {
    "clock": "elapsed_time",
    "directory-order": "glob rglob iterdir walk",
    "concurrency": """imap_unordered run_in_executor add_done_callback Pool Queue SimpleQueue JoinableQueue Manager
        share_memory share_memory_""",
    "uninitialised": "new_empty new_empty_strided",
    "compile": "compile",
    "save": "writestr",
}
"""Methods whose every call counts, whatever the object, unless it is a module that is known or `self`."""
FIELDS = {name: "clock" for kind in "mca" for name in (f"st_{kind}time", f"st_{kind}time_ns")} | {"st_ino": "host"}
"""Fields whose every use counts."""

KEYWORDS = (
    ("", "in_order", (True,), "concurrency"),
    ("", "return_as", ("list", "generator"), "concurrency"),
    ("", "enable_timing", (False,), "clock"),
    ("", "trust_remote_code", (False, None), "dynamic"),
    ("logging.basicConfig", "filename", (None,), "clock"),
    ("torch.save", "_use_new_zipfile_serialization", (True,), "save"),
    ("numba.", "parallel", (False,), "native"),
    ("numba.", "fastmath", (False,), "native"),
)
"""Beginning of what is called, argument, the values that are fine, source."""
SETTINGS: Mapping[str, Any] = {
    "benchmark": False,
    "deterministic": True,
    "allow_tf32": False,
    "allow_fp16_reduced_precision_reduction": False,
    "allow_bf16_reduced_precision_reduction": False,
    "allow_fp16_accumulation": False,
    "fp32_precision": "ieee",
}
"""The value in `torch.backends` that is the contract's."""
VARIABLES = (
    "OMP_", "MKL_", "ATEN_", "ONEDNN_", "DNNL_", "OPENBLAS_", "BLIS_", "KMP_", "GOMP_", "NUMEXPR_", "NPY_", "CUBLAS_",
    "CUDNN_", "NVIDIA_", "NCCL_", "NVTE_", "FLASH_ATTENTION_", "MAMBA_", "CAUSAL_CONV1D_", "TORCH_ALLOW_",
    "TORCHINDUCTOR_", "TRITON_", "XLA_", "TF_DETERMINISTIC", "GLIBC_", "LD_", "SOURCE_DATE_EPOCH",
)  # fmt: skip
"""Beginnings of the environment variables that change numbers."""

_EXACT = {name: source for source, names in NAMES.items() for name in names.split() if "*" not in name}
_PATTERNS = tuple(
    (re.compile(re.escape(name).replace(r"\*", ".*")), source)
    for source, names in NAMES.items()
    for name in names.split()
    if "*" in name
)
_METHODS = {name: source for source, names in METHODS.items() for name in names.split()}


@lru_cache(maxsize=4096)
def of_name(name: str) -> str:
    """Source of a dotted name; empty for one that is controlled."""
    return _EXACT.get(name) or next((source for pattern, source in _PATTERNS if pattern.fullmatch(name)), "")


def of_method(name: str) -> str:
    """Source of a method, whatever its object; empty for one that is controlled."""
    return _METHODS.get(name, "")


def governs(variable: object, value: object = ...) -> bool:
    """Whether this environment variable changes numbers; one whose name is computed may."""
    if variable == "CUBLAS_WORKSPACE_CONFIG" and value in (":4096:8", ":16:8"):
        return False  # what the contract asks for
    text = variable.decode("latin-1") if isinstance(variable, bytes) else variable
    return not isinstance(text, str) or text.startswith(VARIABLES)
