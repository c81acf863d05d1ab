"""Crash points by name, and the kill file."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ibkr_assets import execution
from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.execution import crashpoints
from ibkr_assets.execution.kill import killed_by_file, remove_kill_file, write_kill_file


@pytest.fixture(autouse=True)
def _disarmed():
    yield
    crashpoints.arm(None)


def test_there_are_enough_points_and_each_is_described():
    assert len(crashpoints.CRASH_POINTS) >= 22
    assert all(where.strip() for where in crashpoints.CRASH_POINTS.values())


def test_every_named_point_is_somewhere_in_the_code_and_no_other():
    folder = Path(execution.__file__).parent
    source = "\n".join(path.read_text() for path in folder.glob("*.py"))
    assert set(re.findall(r'reach\("([a-z_.]+)"\)', source)) == set(crashpoints.CRASH_POINTS)


@pytest.mark.parametrize("spec", ["nowhere", "send.begun:0", "send.begun:x", "send.begun:-1"])
def test_a_point_or_pass_that_does_not_exist_is_refused(spec):
    with pytest.raises(ConfigurationError, match="crash"):
        crashpoints.arm(spec)


def test_an_unknown_point_in_the_code_is_a_mistake():
    with pytest.raises(KeyError):
        crashpoints.reach("nowhere")


def test_the_process_dies_at_the_armed_pass_and_not_before():
    code = (
        "from ibkr_assets.execution import crashpoints as c\n"
        "c.arm('send.begun:3')\n"
        "for n in range(5):\n"
        "    c.reach('send.answered')\n"
        "    print(n, flush=True)\n"
        "    c.reach('send.begun')\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == -9
    assert ended.stdout.split() == ["0", "1", "2"]


def test_the_kill_file_says_who_and_why_until_it_is_removed(tmp_path):
    path = write_kill_file(tmp_path / "data", actor="somebody", reason="wrong prices")
    assert killed_by_file(path) == "kill file by somebody: wrong prices"
    assert remove_kill_file(tmp_path / "data")
    assert not remove_kill_file(tmp_path / "data")
    assert killed_by_file(path) is None


@pytest.mark.parametrize("text", ["", "not json", "[]", '{"actor": 1}'])
def test_a_kill_file_that_cannot_be_read_kills_all_the_same(tmp_path, text):
    path = tmp_path / "kill"
    path.write_text(text)
    assert killed_by_file(path) == f"kill file {path}"
    path.unlink()
    path.mkdir()
    assert "cannot be read" in str(killed_by_file(path))
