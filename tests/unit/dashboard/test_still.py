from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import executor
from executor.dashboard.still import SCRIPTS, still
from executor.evidence.record import Hints
from executor.evidence.versus import versus
from tests.unit.dashboard.conftest import HOSTILE, World

VEGA = Path(executor.__file__).parent / "dashboard" / "static" / "vega"


def page(world: World) -> str:
    hints = Hints(name=HOSTILE, image="i")
    made = [world.ran(seed=seed, hints=hints, metrics={"</script><b>": float(seed)}) for seed in (1, 2)]
    return still(world.store, versus(made), 0)


def test_every_script_and_style_is_named_by_its_digest_and_nothing_else_may_run(world: World) -> None:
    text = page(world)
    (policy,) = re.findall(r'content-security-policy" content="([^"]*)"', text)
    policy = policy.replace("&#39;", "'")
    scripts = re.findall(r"<script(?: type=\"module\")?>(.*?)</script>", text, re.DOTALL)
    styles = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert (len(scripts), len(styles)) == (len(SCRIPTS), 1)
    for piece in (*scripts, *styles):
        assert f"'sha256-{base64.b64encode(hashlib.sha256(piece.encode()).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy


def test_it_names_nothing_that_would_be_loaded(world: World) -> None:
    text = page(world)
    own = re.sub(r"<(script|style)[^>]*>.*?</\1>", "", text, flags=re.DOTALL)
    assert not re.findall(r"(?:src|href|url)\s*=\s*\"[^\"]+\"", own)


def test_what_a_run_wrote_stays_text(world: World) -> None:
    text = page(world)
    assert "<img" not in text
    assert "\x1b" not in text
    (series,) = re.findall(r'id="series">(.*?)</script>', text, re.DOTALL)
    assert list(json.loads(series)["metrics"]) == ["</script><b>"]


def test_vega_is_as_it_was_published_and_small_enough_to_keep() -> None:
    told = dict(re.findall(r"`([\w.-]+\.js)` \|.*`([0-9a-f]{64})` \|", (VEGA / "README.md").read_text()))
    files = {path.name: path.read_bytes() for path in VEGA.glob("*.js")}
    assert {name: hashlib.sha256(data).hexdigest() for name, data in files.items()} == told
    assert max(map(len, files.values())) < 1 << 20
    assert (VEGA / "LICENSE").read_text().startswith("Copyright")
