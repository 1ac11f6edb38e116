import csv
import io

import pytest

from executor.evidence.content.explain import explain
from executor.evidence.content.found import Explanation


def table(*rows: list[object], separator: str = ",") -> bytes:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=separator).writerows(rows)
    return file.getvalue().encode()


HEAD: list[object] = ["epoch", "val_loss", "time"]


def of(*rows: list[object]) -> Explanation:
    return explain("m.csv", table(HEAD, [1, 0.1, 5], [2, 0.2, 9]), table(*rows))


@pytest.mark.parametrize(("name", "separator"), [("m.csv", ","), ("m.csv", ";"), ("m.tsv", "\t")])
def test_a_cell_is_told_by_row_and_column(name: str, separator: str) -> None:
    old, new = (table(HEAD, [1, 0.1, "a"], [2, loss, "b"], separator=separator) for loss in (0.1, 0.2))
    found = explain(name, old, new)
    assert (found.format, found.same_values) == ("csv", False)
    assert found.lines == ("row 3, column val_loss: 0.1 → 0.2",)


def test_a_column_of_times_leaks() -> None:
    assert of(HEAD, [1, 0.1, 6], [2, 0.2, 8]).leaks == ("time",)


def test_rows_may_be_missing() -> None:
    assert of(HEAD, [1, 0.1, 5]).lines == ("number of rows: 3 → 2",)


def test_columns_are_matched_by_name() -> None:
    found = of(["epoch", "time", "f1"], [1, 5, 0], [2, 10, 0])
    assert found.lines == ("columns: epoch, val_loss, time → epoch, time, f1", "row 3, column time: 9 → 10")


def test_without_a_header_columns_are_numbers() -> None:
    found = explain("m.csv", b"1,2\n3,4\n", b"1,2\n3,5\n")
    assert found.lines == ("row 2, column 2: 4 → 5",)
    assert explain("m.csv", b"1,2\n", b"1,3\n").lines == ("row 1, column 2: 2 → 3",)


def test_rows_of_another_length_are_told() -> None:
    assert of(HEAD, [1, 0.1, 5, "x"], [2, 0.2]).lines == ("row 2: 3 → 4 cells", "row 3, column time: 9 → missing")


def test_quotes_and_line_ends_do_not_matter() -> None:
    found = explain("m.csv", b"a,b\nx,2\n", b'"a","b"\r\n"x","2"\r\n')
    assert (found.format, found.same_values) == ("csv", True)


def test_a_number_that_is_written_longer_differs() -> None:
    assert explain("m.csv", b"a\n1\n", b"a\n1.0\n").lines == ("row 2, column a: 1 → 1.0",)
    assert explain("m.csv", b"a\nx\n", b"a\ny z\n").lines == ('row 2, column a: "x" → "y z"',)


def test_a_broken_table_is_text() -> None:
    assert explain("m.csv", b'a\n"x\n', b'a\n"y\n').format == "text"
    assert explain("m.csv", b"a\n" + b"x" * 200_000, b"a\n" + b"y" * 200_000).format == "text"
