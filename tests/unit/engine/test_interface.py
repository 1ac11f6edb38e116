import pytest

from executor.engine.container import DockerEngine
from executor.engine.interface import Engine, name_and_tag, variables_of
from tests.fakes import NOON, FakeEngine


@pytest.mark.parametrize(
    ("reference", "name", "tag"),
    [
        ("torch", "torch", "latest"),
        ("torch:2.13", "torch", "2.13"),
        ("example.org/ml/torch:2", "example.org/ml/torch", "2"),
        ("localhost:5000/torch", "localhost:5000/torch", "latest"),
        ("localhost:5000/torch:2", "localhost:5000/torch", "2"),
    ],
)
def test_a_port_is_no_tag(reference: str, name: str, tag: str) -> None:
    assert name_and_tag(reference) == (name, tag)


def test_variables_may_hold_equal_signs_or_nothing() -> None:
    assert variables_of(["A=1", "B=x=y", "C=", "D"]) == {"A": "1", "B": "x=y", "C": "", "D": ""}
    assert variables_of(None) == {}


def test_both_engines_are_engines() -> None:
    engines: list[Engine] = [FakeEngine(), DockerEngine({}, lambda: NOON)]
    assert len(engines) == 2
