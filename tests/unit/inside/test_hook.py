from __future__ import annotations

import sys
from importlib import import_module, reload, util
from pathlib import Path
from types import ModuleType

import pytest

from executor.inside.hook import Finder, after_import


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "hooked_module.py").write_text("value = 1\nready = True\n")
    (tmp_path / "broken_module.py").write_text("raise ImportError('broken')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    for name in ("hooked_module", "broken_module"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return "hooked_module"


def test_the_hook_runs_once_after_the_module_has_been_executed(module: str) -> None:
    seen: list[bool] = []
    after_import({module: lambda imported: seen.append(imported.ready)})
    imported = import_module(module)
    import_module(module)
    reload(imported)
    assert seen == [True]


def test_the_hook_of_an_imported_module_runs_at_once(module: str) -> None:
    imported = import_module(module)
    seen: list[ModuleType] = []
    after_import({module: seen.append})
    assert seen == [imported]


def test_looking_a_module_up_runs_nothing_and_loses_nothing(module: str) -> None:
    seen: list[ModuleType] = []
    after_import({module: seen.append})
    assert util.find_spec(module)
    assert seen == []
    imported = import_module(module)
    assert seen == [imported]


def test_the_loader_is_as_it_was_afterwards(module: str) -> None:
    after_import({module: lambda _: None})
    spec = import_module(module).__spec__
    assert spec is not None
    assert "exec_module" not in vars(spec.loader)


def test_a_module_that_fails_keeps_its_hook(module: str) -> None:
    finder = after_import({"broken_module": lambda _: None})
    with pytest.raises(ImportError, match="broken"):
        import_module("broken_module")
    assert "broken_module" in finder.hooks


def test_other_modules_and_missing_ones_are_left_to_the_others() -> None:
    assert Finder({}).find_spec("json") is None
    assert Finder({"no_such_module_at_all": lambda _: None}).find_spec("no_such_module_at_all") is None
