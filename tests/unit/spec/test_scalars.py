import pytest
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from executor.spec.canonical import Digest
from executor.spec.scalars import Bytes, ImageRef, Seconds

DIGEST = Digest.of(b"")


@pytest.mark.parametrize(
    ("text", "name", "tag", "pinned"),
    [
        ("alpine", "alpine", "", False),
        ("alpine:3", "alpine", "3", False),
        (f"alpine@{DIGEST}", "alpine", "", True),
        (f"localhost:5000/a/b_c/d-e.f:V1.0@{DIGEST}", "localhost:5000/a/b_c/d-e.f", "V1.0", True),
        (f"Registry.Example.org/x__y/z--z@{DIGEST}", "Registry.Example.org/x__y/z--z", "", True),
    ],
)
def test_image_references(text: str, name: str, tag: str, pinned: bool) -> None:
    ref = ImageRef.parse(text)
    assert (ref.name, ref.tag, ref.digest is not None) == (name, tag, pinned)
    assert str(ref) == text
    assert ImageRef.parse(ref) is ref


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A",
        "a b",
        "a:",
        "a@",
        "a:é",
        "a@sha256:" + "A" * 64,
        "a//b",
        "a/",
        "/a",
        "-a",
        "a-",
        "a___b",
        "a:" + "x" * 129,
        *(" a", "a\n", f"@{DIGEST}", f"a@{DIGEST}x", "https://a", "a" * 600, 7, None, ["a"]),
    ],
)
def test_other_things_are_no_image(text: object) -> None:
    with pytest.raises(PydanticCustomError, match="expected an image such as"):
        ImageRef.parse(text)


def test_a_tag_has_no_digest_to_give() -> None:
    with pytest.raises(ValueError, match="alpine:3 is not pinned"):
        _ = ImageRef.parse("alpine:3").pinned


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1", 1),
        (7, 7),
        ("1B", 1),
        ("8GiB", 2**33),
        ("8 GiB", 2**33),
        ("1.5KiB", 1536),
        ("0.3B", 1),
        ("2TB", 2 * 10**12),
    ],
)
def test_sizes(text: object, amount: int) -> None:
    assert TypeAdapter(Bytes).validate_python(text) == amount


@pytest.mark.parametrize(("text", "amount"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1.5 d", 129600), ("0.1s", 1)])
def test_durations(text: object, amount: int) -> None:
    assert TypeAdapter(Seconds).validate_python(text) == amount


@pytest.mark.parametrize(
    "value",
    ["", "GiB", "8 gib", "0", "-1", 0, -1, True, 1.5, None, "1e3", "٣", "9" * 19, 2**63, "9" * 18 + "TiB", "1.B"],
)
def test_other_things_are_no_size(value: object) -> None:
    with pytest.raises(ValidationError, match="expected a size such as 8GiB or 512MiB, found"):
        TypeAdapter(Bytes).validate_python(value)
