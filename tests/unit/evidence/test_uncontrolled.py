from collections import Counter

import pytest

from executor.evidence.uncontrolled import METHODS, NAMES, governs, of_method, of_name


@pytest.mark.parametrize("table", [NAMES, METHODS])
def test_no_name_has_two_sources(table: dict[str, str]) -> None:
    counts = Counter(name for names in table.values() for name in names.split())
    assert [name for name, count in counts.items() if count > 1] == []


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("time.time", "clock"),
        ("secrets.token_hex", "entropy"),
        ("os.execvp", "subprocess"),
        ("logging.handlers.RotatingFileHandler", "clock"),
        ("secrets", ""),
        ("time.sleep", ""),
        ("my.time.time", ""),
        ("random.random", ""),
        ("numpy.random.default_rng", ""),
        ("os.sched_getaffinity", ""),
        ("asyncio.gather", ""),
        ("torch.manual_seed", ""),
    ],
)
def test_the_source_of_a_name(name: str, source: str) -> None:
    assert of_name(name) == source


def test_the_source_of_a_method() -> None:
    assert (of_method("rglob"), of_method("step")) == ("directory-order", "")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("OMP_NUM_THREADS", "4", True),
        (b"MKL_CBWR", "AUTO", True),
        ("CUBLAS_WORKSPACE_CONFIG", ":4096:8", False),
        ("CUBLAS_WORKSPACE_CONFIG", ":0:0", True),
        ("MASTER_ADDR", "localhost", False),
        (..., "4", True),
    ],
)
def test_which_variables_change_numbers(name: object, value: object, expected: bool) -> None:
    assert governs(name, value) is expected
