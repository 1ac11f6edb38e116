import base64
import itertools
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.engine.redact import LEAST, MOST, NO_SECRETS, Redactor, Secrets, forms
from executor.errors import UsageError

VALUE = b'p\xc3\xa4ss "w/rd" \\ 1 + 2 = 3?'
KEY = b"-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEAAo\n-----END KEY-----\n"


def fed(secrets: Secrets, *pieces: bytes) -> bytes:
    redactor = Redactor(secrets)
    return b"".join([*(redactor.feed(piece) for piece in pieces), redactor.feed(b"", last=True)])


@pytest.mark.parametrize(
    "written",
    [
        VALUE, VALUE.hex().encode(), VALUE.hex().upper().encode(), quote(VALUE).encode(), quote_plus(VALUE).encode(),
        quote(VALUE, safe="").lower().encode(), json.dumps(VALUE.decode())[1:-1].encode(),
        json.dumps(VALUE.decode(), ensure_ascii=False)[1:-1].encode(), repr(VALUE)[2:-1].encode(),
    ],
)  # fmt: skip
def test_a_value_is_found_however_it_is_written(written: bytes) -> None:
    assert fed(Secrets({"A": VALUE}), b"<" + written + b">") == b"<[secret A]>"


@pytest.mark.parametrize(("before", "after"), [*itertools.product(range(6), range(6))])
def test_a_value_is_found_within_a_longer_base64_text(before: int, after: int) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(b"u" * before + VALUE + b"x" * after)
        shown = fed(Secrets({"A": VALUE}), text)
        assert b"[secret A]" in shown
        assert len(shown) < len(b"[secret A]") + before * 4 / 3 + after * 4 / 3 + 8


@pytest.mark.parametrize("cut", range(len(VALUE) + 8))
def test_a_value_is_found_across_pieces(cut: int) -> None:
    text = b"key=" + VALUE + b" end"
    assert fed(Secrets({"A": VALUE}), text[:cut], text[cut:]) == b"key=[secret A] end"
    assert fed(Secrets({"A": VALUE}), *[bytes([byte]) for byte in text]) == b"key=[secret A] end"


def test_each_line_of_a_value_is_found_alone() -> None:
    text = b"1: MIIEvQIBADANBgkqhkiG9w0B\n2: AQEFAASCBKcwggSjAgEAAo\n"
    assert fed(Secrets({"K": KEY}), text) == b"1: [secret K]\n2: [secret K]\n"
    assert fed(Secrets({"K": KEY}), base64.b64encode(KEY)).startswith(b"[secret K]")


def test_a_value_that_holds_another_is_found_first() -> None:
    both = Secrets({"SHORT": b"12345678", "LONG": b"abc12345678xyz"})
    assert fed(both, b"abc12345678xyz 12345678 abc12345678") == b"[secret LONG] [secret SHORT] abc[secret SHORT]"


def test_what_only_begins_like_a_value_is_shown_in_the_end() -> None:
    redactor = Redactor(Secrets({"A": b"secret-value"}))
    assert redactor.feed(b"a prompt: secret-") == b"a prompt: "
    assert redactor.feed(b"agent\n") == b"secret-agent\n"
    assert redactor.feed(b"secret-val") == b""
    assert redactor.feed(b"", last=True) == b"secret-val"


def test_lines_are_not_kept_waiting() -> None:
    assert Redactor(Secrets({"A": b"secret-value"})).feed(b"no secret-\n") == b"no secret-\n"


def test_without_secrets_nothing_waits_and_nothing_changes() -> None:
    assert Redactor(NO_SECRETS).feed(b"secret") == b"secret"
    assert Redactor(NO_SECRETS).text("x") == "x"


def long_enough(value: bytes) -> bool:
    return any(len(line.strip()) >= LEAST for line in value.splitlines())


@given(st.binary(min_size=LEAST, max_size=40).filter(long_enough), st.binary(max_size=60),
       st.lists(st.integers(0, 100), max_size=4))  # fmt: skip
def test_no_cut_lets_a_value_through(value: bytes, around: bytes, cuts: list[int]) -> None:
    text, whole = around + value + around, value.strip()
    places = [0, *sorted(cuts), len(text)]
    shown = fed(Secrets({"A": value}), *(text[at:to] for at, to in itertools.pairwise(places)))
    assert whole not in shown.replace(b"[secret A]", b"")


def test_a_text_keeps_what_is_no_utf_8() -> None:
    assert Redactor(Secrets({"A": b"secret-value"})).text("\udcff secret-value") == "\udcff [secret A]"


def test_no_form_is_short_or_holds_a_line_end() -> None:
    assert all(len(form) >= LEAST and b"\n" not in form for form in forms(KEY + b"\n\nab\n"))


def test_names_without_a_value_are_refused_with_advice() -> None:
    with pytest.raises(UsageError, match="no value for B, C") as caught:
        Secrets({"A": VALUE}).only(("A", "B", "C"))
    assert caught.value.advice == "give --secret B=FILE --secret C=FILE, or set EXECUTOR_SECRET_B"


@pytest.mark.parametrize("value", [b"", b"short", b"  short  \n", b"1234567\nabcdefg\n" * 9, b"x" * (MOST + 1)])
def test_values_that_cannot_be_kept_secret_are_refused(value: bytes) -> None:
    with pytest.raises(UsageError, match=f"has {len(value)} bytes, .* expected {LEAST} to {MOST}"):
        Secrets({"A": value}).only(("A",))
    assert Secrets({"A": value, "B": VALUE}).only(("B",)).values == {"B": VALUE}


def test_nothing_shows_a_value() -> None:
    assert repr(Secrets({"B": VALUE, "A": VALUE})) == "Secrets(A, B)"
