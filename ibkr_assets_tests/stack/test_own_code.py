"""Modules that are kept in memory are believed only as long as their files have not changed."""

import importlib
import importlib.util
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from ibkr_assets.stack.own_code import MODULES, OwnCode

LONG_AGO_NS = time.time_ns() - 10**12


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package `warmed` with a strategy that imports its rule."""
    directory = tmp_path / "warmed"
    directory.mkdir()
    for name, text in (("__init__", ""), ("rule", "LEVEL = 1\n"), ("strategy", "from warmed.rule import LEVEL\n")):
        path = directory / f"{name}.py"
        path.write_text(text)
        os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield directory
    for name in [name for name in sys.modules if name.partition(".")[0] == "warmed"]:
        del sys.modules[name]


@pytest.fixture
def code(package: Path) -> OwnCode:
    loaded = OwnCode(("warmed.strategy",))
    loaded.load()
    return loaded


def strategy() -> ModuleType:
    return importlib.import_module("warmed.strategy")


def test_what_nobody_edited_is_kept(code: OwnCode) -> None:
    before = strategy()
    assert not code.forget_when_edited()
    assert strategy() is before


def test_an_edit_of_what_a_module_imports_counts(code: OwnCode, package: Path) -> None:
    (package / "rule.py").write_text("LEVEL = 2\n")
    assert code.forget_when_edited()
    assert strategy().LEVEL == 2


def test_a_file_that_was_put_back_from_a_copy_counts(code: OwnCode, package: Path) -> None:
    (package / "rule.py").write_text("LEVEL = 30\n")
    os.utime(package / "rule.py", ns=(LONG_AGO_NS, LONG_AGO_NS))
    assert code.forget_when_edited()
    assert strategy().LEVEL == 30


def test_a_file_that_has_gone_counts(code: OwnCode, package: Path) -> None:
    (package / "rule.py").unlink()
    assert code.forget_when_edited()
    with pytest.raises(ModuleNotFoundError):
        strategy()


def test_a_file_that_was_written_while_it_was_read_is_not_believed(package: Path) -> None:
    later_ns = time.time_ns() + 10**9
    os.utime(package / "rule.py", ns=(later_ns, later_ns))
    code = OwnCode(("warmed.strategy",))
    code.load()
    assert code.forget_when_edited()


def test_every_module_of_the_list_is_there() -> None:
    for name in MODULES:
        assert importlib.util.find_spec(name) is not None, name
