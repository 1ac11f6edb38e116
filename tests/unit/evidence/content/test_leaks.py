import pytest

from executor.evidence.content.leaks import in_text, leaked

UUIDS = ("3f2504e0-4f89-41d3-9a0c-0305e82c3301", "9b2fd1c2-11aa-4f6e-8e1d-5b0a2f1c7788")


@pytest.mark.parametrize(
    ("name", "old", "new", "kinds"),
    [
        ("time", 1.0, 2.0, {"time"}),
        ("history[3].elapsed_s", 1.0, 2.0, {"time"}),
        ("trainRuntime", 1.0, 2.0, {"time"}),
        ("train_samples_per_second", 1.0, 2.0, {"time"}),
        ("tokensPerSec", 1.0, 2.0, {"time"}),
        ("it_s", 1.0, 2.0, {"time"}),
        ("it/s", 1.0, 2.0, {"time"}),
        ("throughput", 1.0, 2.0, {"time"}),
        ("created_at", "a", "b", {"time"}),
        ("x", 1767225600.5, 1767312000, {"time"}),
        ("x", 1767225600123, 1767312000456, {"time"}),
        ("x", "2026-01-01T00:00:00Z", "2026-01-02T10:00:00Z", {"time"}),
        ("x", "run_20260101", "run_20260102", set()),
        ("x", "at 12:30:01", "at 12:31:55", {"time"}),
        ("x", *UUIDS, {"random"}),
        ("run", "run-1a2b3c4d", "run-9f8e7d6c", {"random"}),
        ("x", "<object at 0x7f1e2d3c4b5a>", "<object at 0x7f1e2d3c0000>", {"random"}),
        ("pid", 17, 18, {"random"}),
        ("hostname", "a", "b", {"host"}),
        ("x", "10.0.0.1", "10.0.0.2", {"host"}),
        ("cache", "/tmp/xyz/a", "/tmp/abc/a", {"path"}),
        ("cache", "/tmp/xyz", "/tmp/abc", {"path"}),
        ("x", "tmpab12cd_3", "tmpzz99yy_1", {"path"}),
    ],
)
def test_what_leaks(name: str, old: object, new: object, kinds: set[str]) -> None:
    assert leaked(name, old, new) == kinds


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("loss", 0.25, 0.25000003),
        ("loss", 1.23456789e-05, 1.2345678e-05),
        ("time_step", 1, 2),
        ("timesteps", 1, 2),
        ("candidate", 1, 2),
        ("parameters", 1767225600, 17),
        ("samples", 1300000000, 2000000000),
        ("config.sha256", "1a2b3c4d" * 8, "9f8e7d6c" * 8),
        ("digest", "1a2b3c4d5e", "9f8e7d6c5b"),
        ("url", "https://a.b/c/d", "https://a.b/c/e"),
        ("x", None, 3),
        ("x", [1], {"a": 2}),
        ("x", 10**3000, 10**3001),
    ],
)
def test_what_does_not(name: str, old: object, new: object) -> None:
    assert leaked(name, old, new) == set()


@pytest.mark.parametrize(
    ("old", "new", "kinds"),
    [
        ("epoch 1 took 12.5s", "epoch 1 took 12.9s", {"time"}),
        ("elapsed: 3", "elapsed: 4", {"time"}),
        ("duration=3 loss=2", "duration=4 loss=2", {"time"}),
        ("duration 3 epoch 1 loss 2", "duration 3 epoch 1 loss 4", set()),
        ("10%| 3/30 [00:01<00:10, 2.5it/s]", "10%| 3/30 [00:02<00:11, 2.1it/s]", {"time"}),
        ("running on host alpha", "running on host beta", {"host"}),
        ("loss 0.1", "loss 0.2", set()),
    ],
)
def test_lines_are_judged_by_the_words_that_differ(old: str, new: str, kinds: set[str]) -> None:
    assert in_text(old, new) == kinds
