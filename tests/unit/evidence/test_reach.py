from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.evidence.reach import reachable

FILES = {
    "train.py": "import a\nfrom pkg import b\n",
    "a.py": "",
    "pkg/__init__.py": "",
    "pkg/b.py": "from . import c\nfrom .sub import deep\n",
    "pkg/c.py": "import nowhere\n",
    "pkg/sub/__init__.py": "",
    "pkg/sub/deep.py": "from ..d import x\n",
    "pkg/d.py": "",
    "other.py": "import a\n",
    "tests/test_a.py": "import train\n",
}
OF_TRAIN = {*FILES} - {"other.py", "tests/test_a.py"}


def reach(files: dict[str, str], *command: str) -> set[str]:
    return {*reachable({path: text.encode() for path, text in files.items()}, command)}


def test_what_a_script_imports_is_reached_and_nothing_else() -> None:
    assert reach(FILES, "python", "train.py", "--lr", "0.1") == OF_TRAIN
    assert reach(FILES, "python", "other.py") == {"other.py", "a.py"}


def test_contents_come_along() -> None:
    assert reachable({"a.py": b"x = 1", "b.py": b""}, ["python", "a.py"]) == {"a.py": b"x = 1"}


@pytest.mark.parametrize(
    "command",
    [
        ["python", "./train.py"],
        ["python", "/code/train.py"],
        ["python", "-m", "train"],
        ["python", "-u", "-m", "train", "--lr", "1"],
        ["sh", "-c", "python train.py --lr 1 && echo done"],
        ["sh", "-c", "python -m train"],
        ["torchrun", "--nproc", "2", "train.py"],
    ],
)
def test_how_a_command_names_its_script(command: list[str]) -> None:
    assert reach(FILES, *command) == OF_TRAIN


@pytest.mark.parametrize(
    "line",
    [
        "python train.py; echo done",
        "(python train.py)",
        "python 'train.py'",
        'python "train.py"&',
        "x=`python train.py`",
    ],
)
def test_what_a_shell_reads_beside_a_name_does_not_hide_it(line: str) -> None:
    files = FILES | {"run.sh": line}
    assert reach(files, "sh", "run.sh") == {"run.sh", *OF_TRAIN}
    assert "train.py" in reach(FILES, "sh", "-c", f"python other.py; {line}")


@pytest.mark.parametrize("command", [[], ["true"], ["python", "-c", "print(1)"], ["python", "-m", "nowhere"], ["make"]])
def test_a_command_that_names_no_file_can_reach_all(command: list[str]) -> None:
    assert reach(FILES, *command) == {*FILES}


def test_a_module_that_is_not_there_can_be_anywhere() -> None:
    files = {"__init__.py": "", "src/train.py": ""}
    assert reach(files, "python", "-m", "train") == {*files}


def test_a_package_that_is_run_is_reached_with_its_main() -> None:
    files = {"pkg/__init__.py": "", "pkg/__main__.py": "from pkg import a", "pkg/a.py": "", "b.py": ""}
    assert reach(files, "python", "-m", "pkg") == {*files} - {"b.py"}


@pytest.mark.parametrize(
    "statement",
    [
        "import pkg.sub.deep",
        "import pkg.sub.deep as d, sys",
        "from pkg.sub import deep",
        "from pkg.sub.deep import x",
        "from pkg.sub.deep import *",
        "def f():\n    import pkg.sub.deep",
        "try:\n    import pkg.sub.deep\nexcept ImportError: pass",
    ],
)
def test_every_form_of_import_brings_the_packages_that_hold_it(statement: str) -> None:
    found = reach(FILES | {"train.py": statement}, "python", "train.py")
    assert {"pkg/sub/deep.py", "pkg/sub/__init__.py", "pkg/__init__.py"} <= found
    assert not {"pkg/b.py", "a.py"} & found


@pytest.mark.parametrize("line", ["# import a", "'import a'", "a = 1", "import a2"])
def test_what_is_only_mentioned_is_not_reached(line: str) -> None:
    assert reach(FILES | {"train.py": line}, "python", "train.py") == {"train.py"}


def test_a_script_in_a_folder_imports_from_beside_itself_and_from_the_top() -> None:
    files = {"src/train.py": "import a, b", "src/a.py": "", "b.py": "", "src/c.py": "", "other/a.py": ""}
    assert reach(files, "python", "src/train.py") == {"src/train.py", "src/a.py", "b.py"}


def test_modules_deeper_down_import_from_beside_the_script() -> None:
    files = {
        "src/train.py": "from models import net",
        "src/models/__init__.py": "",
        "src/models/net.py": "import tools",
        "src/tools.py": "",
        "src/idle.py": "",
    }
    assert reach(files, "python", "src/train.py") == {*files} - {"src/idle.py"}


def test_modules_that_import_each_other_are_each_reached_once() -> None:
    files = {"a.py": "import b", "b.py": "import a"}
    assert reach(files, "python", "a.py") == {*files}


@pytest.mark.parametrize("name", ["run.sh", "run"])
def test_a_shell_script_reaches_what_it_names(name: str) -> None:
    files = FILES | {name: "#!/bin/sh\nset -e\npython train.py --x\n"}
    assert reach(files, f"./{name}") == {name, *OF_TRAIN}


def test_a_makefile_reaches_what_it_names() -> None:
    files = FILES | {"Makefile": "all:\n\tpython train.py\n"}
    assert reach(files, "make", "-f", "Makefile") >= OF_TRAIN


def test_a_script_that_is_named_from_another_folder_is_reached() -> None:
    files = {"run.sh": "cd src\npython train.py\n", "src/train.py": "import a", "src/a.py": "", "b.py": ""}
    assert reach(files, "sh", "run.sh") >= {"src/train.py", "src/a.py"}


@pytest.mark.parametrize("data", [b"\xff", b"\0", b"import a\n(", b"x = " + b"-" * 100_000 + b"1"])
def test_a_file_that_cannot_be_parsed_is_reached(data: bytes) -> None:
    assert {*reachable({"train.py": data, "a.py": b""}, ["python", "train.py"])} == {"train.py"}


SNIPPETS = [
    "import a",
    "from . import b",
    "from .. import a",
    "from ...x.y import z",
    "import d.e",
    "(",
    "python a.py\n",
]
PATHS = st.sampled_from(["a.py", "b.py", "run.sh", "d/__init__.py", "d/e.py", "x"])


SOURCES = st.binary(max_size=20) | st.lists(st.sampled_from(SNIPPETS)).map("\n".join).map(str.encode)
WORDS = PATHS | st.text(max_size=8) | st.sampled_from(["-m", "d.e", "python"])


@given(st.dictionaries(PATHS, SOURCES), st.lists(WORDS, max_size=4))
def test_any_files_and_commands(files: dict[str, bytes], command: list[str]) -> None:
    found = reachable(files, command)
    assert found.items() <= files.items()
    assert found or not files
    assert {path for path in command if path in files} <= found.keys()
