import pytest
import yaml
from hypothesis import given

from executor.errors import SpecError
from executor.spec.notation import Scalar, block, core_scalar, decoded
from tests.unit.spec.strategies import PARAMS


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((word, None) for word in ("", "~", "null", "Null", "NULL")),
        *((word, True) for word in ("true", "True", "TRUE")),
        *((word, False) for word in ("false", "False", "FALSE")),
        *(
            (word, word)
            for word in ("yes", "No", "on", "OFF", "y", "n", "nULL", "tRUE", "22:22", "2024-01-02", "1_000")
        ),
        *(
            (word, word)
            for word in ("0b11", "0o8", "0xG", "1e", "e1", ".", "..", "-", "+", "1.2.3", "1 2", "١", "0x", "-0x1")
        ),
        *(("0644", 644), ("0o17", 15), ("0x1F", 31), ("+7", 7), ("-7", -7), ("-0", 0), (str(2**64 - 1), 2**64 - 1)),
        *(("1e-3", 0.001), ("1.", 1.0), (".5", 0.5), ("-.5", -0.5), ("1E5", 1e5), ("+1.5e+3", 1500.0), ("0e0", 0.0)),
    ],
)
def test_core_scalars(text: str, value: Scalar) -> None:
    assert repr(core_scalar(text)) == repr(value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (".inf", "finite"),
        ("-.INF", "finite"),
        (".NaN", "finite"),
        ("1e400", "too large"),
        ("1e-400", "too small"),
        ("0.0000001e-999", "too small"),
        (str(2**64), "64 bits"),
        (str(-(2**64)), "64 bits"),
        ("0x1" + "0" * 16, "64 bits"),
        ("9" * 10_000, "64 bits"),
    ],
)
def test_numbers_that_cannot_be_held_are_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        core_scalar(text)


@given(PARAMS)
def test_blocks_are_yaml_that_reads_back(params: dict[str, object]) -> None:
    """By PyYAML's own reader, text for text: numbers and words are settled in `test_file`."""
    text = "\n".join(block({"params": params}))
    assert as_text(yaml.load(text, Loader=yaml.BaseLoader)) == as_text({"params": params})


def as_text(value: object) -> object:
    if isinstance(value, dict):
        return {key: as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_text(item) for item in value]
    return (
        {None: "null", True: "true", False: "false"}[value]
        if value is None or value is True or value is False
        else str(value)
    )


def test_keys_that_another_reader_mistakes_are_quoted() -> None:
    assert block({"on": 1, "lr": 2, "a b": {"Y": {}}}) == ['"on": 1', "lr: 2", '"a b":', '  "Y": {}']


def test_a_byte_order_mark_is_left_out() -> None:
    assert decoded(b"\xef\xbb\xbfa: 1", "x") == "a: 1"


def test_a_large_file_is_refused_before_it_is_read() -> None:
    with pytest.raises(SpecError, match="x: the file is larger than 65536 bytes"):
        decoded(b"\xff" * 70_000, "x")


def test_columns_count_characters_not_bytes() -> None:
    with pytest.raises(SpecError, match=r"x:2:5: the character U\+0007"):
        decoded("a\néé: \a".encode(), "x")
