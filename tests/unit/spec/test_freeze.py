import math
from types import MappingProxyType
from typing import Any

import pytest
from pydantic import ValidationError

from executor.spec.freeze import freeze, thaw


def test_frozen_data_is_deep_and_thaws_to_what_it_was() -> None:
    plain: dict[str, Any] = {"a": [1, {"b": [2.0, None]}], "c": True}
    frozen = freeze(plain)
    assert isinstance(frozen, MappingProxyType)
    assert isinstance(frozen["a"][1]["b"], tuple)
    assert repr(thaw(frozen)) == repr(plain)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"x": math.inf}, "expected a finite number, found inf"),
        ({"x": 2**64}, "a whole number must fit in 64 bits, found 18446744073709551616"),
        ({"x": 10**5000}, "found a number of 16610 bits"),
        ({"x": "\ud800"}, "without lone surrogates"),
        ({"x": "\0"}, "NUL"),
        ({"x": {1, 2}}, "found set"),
        ({"x": b""}, "found an empty list"),
        ({1: 2}, "a parameter's name"),
        ({"a.b": 2}, "a parameter's name"),
    ],
)
def test_what_json_cannot_hold_is_not_frozen(value: object, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        freeze(value)
