import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.evidence.content.found import Unreadable
from executor.evidence.content.wire import checksum, fields, records, starts_with_record
from tests.unit.evidence.content.samples import counted, record, varint


def test_the_check_sum_is_the_masked_crc_32c() -> None:
    crc = 0xE3069283  # of "123456789", the check value of CRC-32C
    assert checksum(b"123456789") == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    assert record(b"") == bytes(8) + b"\x29\x03\x98\x07" + b"\xd8\xea\x82\xa2"  # as TensorFlow writes it


@given(st.lists(st.binary(max_size=20)))
def test_records_are_read_as_they_are_written(contents: list[bytes]) -> None:
    assert list(records(b"".join(map(record, contents)))) == contents


@pytest.mark.parametrize("at", [0, 8, 12, -1])
def test_a_broken_record_is_unreadable(at: int) -> None:
    data = bytearray(record(b"abc"))
    data[at] ^= 1
    with pytest.raises(Unreadable):
        list(records(bytes(data)))
    with pytest.raises(Unreadable):
        list(records(record(b"abc")[:-1]))


def test_a_file_starts_with_a_record_or_not() -> None:
    assert starts_with_record(record(b"a"))
    assert not starts_with_record(b"")
    assert not starts_with_record(bytes(12))


def test_fields_of_each_kind() -> None:
    message = b"\x10" + varint(300) + b"\x09" + b"12345678" + counted(5, b"abc") + b"\x15" + b"1234"
    assert list(fields(message)) == [(2, 300), (1, b"12345678"), (5, b"abc"), (2, b"1234")]


@pytest.mark.parametrize("message", [b"\x0a\x05abc", b"\x09abc", b"\x0b", b"\x80", b"\xff" * 20, b"\x0a" + b"\xff" * 9])
def test_a_broken_message_is_unreadable(message: bytes) -> None:
    with pytest.raises(Unreadable):
        list(fields(message))
