from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.inside.lineage import Lineage
from executor.inside.seed import Streams, derive, fold

SEEDS = st.integers(0, 2**64 - 1)


def test_derived_numbers_never_change() -> None:
    assert derive(64, 1, "0.1", "random", "global") == 14164184761015829511


@given(SEEDS, st.integers(1, 512))
def test_a_derived_number_has_as_many_bits_as_asked(seed: int, bits: int) -> None:
    assert 0 <= derive(bits, seed) < 2**bits


@given(SEEDS)
def test_folding_gives_32_bits_and_leaves_small_seeds_alone(seed: int) -> None:
    assert 0 <= fold(seed) < 2**32
    assert fold(seed % 2**32) == seed % 2**32


@pytest.mark.parametrize(("seed", "folded"), [(0, 0), (2**32, 1), (2**64 - 1, 0), (0x1234567890ABCDEF, 0x829F9B97)])
def test_folding_is_upper_half_xor_lower(seed: int, folded: int) -> None:
    assert fold(seed) == folded


def test_the_first_process_has_the_seed_itself_and_children_have_others() -> None:
    seeds = [
        Streams(5, Lineage(name)).global_seed(library)
        for name in ("0", "0.1", "0.2")
        for library in ("random", "numpy")
    ]
    assert seeds[:2] == [5, 5]
    assert len(set(seeds)) == 5


def test_entropy_follows_from_process_library_asker_and_count() -> None:
    streams = Streams(5, Lineage("0"))
    drawn = [streams.entropy("numpy", 128), streams.entropy("numpy", 128), streams.entropy("random", 128)]
    assert len(set(drawn)) == 3
    assert drawn[0] == Streams(5, Lineage("0")).entropy("numpy", 128)
    assert drawn[0] != Streams(5, Lineage("0.1")).entropy("numpy", 128)


def test_another_module_that_asks_disturbs_nobody() -> None:
    undisturbed, disturbed = Streams(5, Lineage("0")), Streams(5, Lineage("0"))
    exec("streams.entropy('random', 64)", {"__name__": "a_library", "streams": disturbed})
    assert disturbed.entropy("random", 64) == undisturbed.entropy("random", 64)
