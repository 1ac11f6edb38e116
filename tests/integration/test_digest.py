"""The trace's digests in the real image: what must change them, and what must not."""

from __future__ import annotations

import pytest

from tests.integration.test_inside import Run, run

__all__ = ["run"]
pytestmark = pytest.mark.engine

PROGRAM = """
    import sys, torch
    from _executor.digest import samples, value
    torch.manual_seed(0)
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool):
        for size in (3, 1000, 5000, 1 << 16):
            x = (torch.randn(size) > 0) if dtype is torch.bool else (torch.randn(size) * 100).to(dtype)
            base, seen = value([x]), set()
            assert value([x.clone()]) == base
            assert value([torch.cat([x, x])[:size]]) == base, "a view of another storage is the same tensor"
            others = [x.flip(0), x.reshape(1, -1), x[:-1], torch.roll(x, 1)]
            if dtype is not torch.bool:
                others += [-x]
                flipped = x.clone(); flipped.view(torch.uint8)[size // 2] ^= 1; others.append(flipped)
                for a, b in ((0, 2), (0, size - 1)):
                    two = x.clone(); two[a] = -two[a]; two[b] = -two[b]; others.append(two)
                    swapped = x.clone(); swapped[a], swapped[b] = x[b].clone(), x[a].clone(); others.append(swapped)
            for number, other in enumerate(others):
                if not torch.equal(other.reshape(-1)[: size - 1], x[: size - 1]) or other.shape != x.shape:
                    assert value([other]) != base, (dtype, size, number)
    whole = torch.arange(1 << 14)
    assert value([whole]) != value([~whole]) and samples(whole) != samples(~whole)
    assert value([torch.zeros(8)]) != value([torch.zeros(8, dtype=torch.int32)]) != value([torch.zeros(2, 4)])
    assert value([torch.ones(4), None]) != value([None, torch.ones(4)])
    batch = torch.randn(16, 3, 5)
    assert samples(batch) == samples(batch[torch.randperm(16)])
    assert samples(batch) != samples(batch.flip(2)) and samples(batch) != samples(-batch)
    assert samples(torch.arange(9)) == samples(torch.arange(9).flip(0))
    torch.set_num_threads(2); two = value([torch.arange(1 << 20) / 7])
    torch.set_num_threads(1); assert value([torch.arange(1 << 20) / 7]) == two
    print("ok")
"""


def test_a_digest_changes_with_every_bit_and_with_nothing_else(run: Run) -> None:
    ran = run(PROGRAM)
    assert (ran.exit_code, ran.stdout) == (0, "ok\n"), ran.stderr
