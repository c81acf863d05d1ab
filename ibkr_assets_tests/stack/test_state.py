"""The data directory is held by one stack at a time, and says where its stack is."""

import fcntl
import json
import os
import stat
import subprocess
import sys
import threading
import time
from datetime import date
from pathlib import Path

import pytest

from ibkr_assets import settings
from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.stack.keeper import MARK_VARIABLE
from ibkr_assets.stack.state import DataDirectory, StackState, read_state

HOLD = """
import sys, time
from pathlib import Path
from ibkr_assets.stack.state import DataDirectory
with DataDirectory(Path(sys.argv[1])):
    sys.stdout.write("held\\n"); sys.stdout.flush()
    time.sleep(60)
"""


def state(**environment: str) -> StackState:
    return StackState("sim", "2012-10-01T00:00:00+00:00", environment, {"mlflow": 5001}, {"mlflow": "http://x"})


def test_a_second_stack_on_the_directory_is_told_which_process_holds_it(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ConfigurationError, match=rf"in use by the stack of process {holder.pid};"):
            DataDirectory(tmp_path).__enter__()
    finally:
        holder.kill()
        holder.wait()
        if holder.stdout:
            holder.stdout.close()
    with DataDirectory(tmp_path):
        pass  # a holder that was killed holds nothing


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=rf"data_dir: cannot write to {tmp_path}/file/data: Not a directory"):
        DataDirectory(tmp_path / "file" / "data").__enter__()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigurationError, match=f"data_dir: cannot write to {tmp_path}/data: Permission denied"):
        DataDirectory(tmp_path / "data").__enter__()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_what_an_earlier_stack_left_running_is_ended(tmp_path: Path) -> None:
    said: list[str] = []
    left = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"],
        env={**os.environ, MARK_VARIABLE: str(tmp_path.resolve())},
    )
    deadline = time.monotonic() + 5  # the marker is there from exec on, not from fork on
    while not said and time.monotonic() < deadline:
        with DataDirectory(tmp_path, say=said.append):
            pass
    assert left.wait(5) != 0
    assert said == [f"ending 1 processes that an earlier stack left on {tmp_path}"]


def test_settings_find_the_running_stack_by_its_file(tmp_path: Path) -> None:
    with DataDirectory(tmp_path):
        state(IBKR_ASSETS_MODE="sim", IBKR_ASSETS_GATEWAY_URL="http://127.0.0.1:5000/v1/api").write(tmp_path)
        found = settings.load({"IBKR_ASSETS_DATA_DIR": str(tmp_path)})
        assert found.mode == "sim"
        assert found.gateway.url == "http://127.0.0.1:5000/v1/api"
    assert not (tmp_path / settings.STACK_FILE).exists()


def test_the_file_is_for_its_owner_only_and_replaced_whole(tmp_path: Path) -> None:
    state().write(tmp_path)
    first = (tmp_path / settings.STACK_FILE).stat()
    state(IBKR_ASSETS_ACCOUNT="DU1000001").write(tmp_path)
    assert stat.S_IMODE((tmp_path / settings.STACK_FILE).stat().st_mode) == 0o600
    assert (tmp_path / settings.STACK_FILE).stat().st_ino != first.st_ino
    assert [path.name for path in tmp_path.iterdir()] == [settings.STACK_FILE]


def test_a_stack_that_is_gone_is_not_running_whatever_has_its_process_id_now(tmp_path: Path) -> None:
    with DataDirectory(tmp_path):
        state(IBKR_ASSETS_ACCOUNT="DU1000001").write(tmp_path)
        left = (tmp_path / settings.STACK_FILE).read_text()
        assert read_state(tmp_path) is not None
    (tmp_path / settings.STACK_FILE).write_text(left)  # as after a kill; the id in it is that of this live process
    assert json.loads(left)["pid"] == os.getpid()
    assert read_state(tmp_path) is None
    assert settings.load({"IBKR_ASSETS_DATA_DIR": str(tmp_path)}).account is None
    assert read_state(tmp_path / "nowhere") is None


def test_the_first_session_is_kept_for_the_next_start(tmp_path: Path) -> None:
    default, early, late = date(2012, 10, 1), date(2012, 9, 4), date(2012, 11, 1)
    with DataDirectory(tmp_path) as directory:
        assert directory.keep_first_session(None, default) == default
        assert directory.keep_first_session(late, default) == late
        assert directory.keep_first_session(None, late) == default
        assert directory.keep_first_session(early, default) == early
        assert directory.keep_first_session(None, default) == early


def test_somebody_who_only_looks_does_not_stand_in_the_way(tmp_path: Path) -> None:
    with DataDirectory(tmp_path):
        pass
    with (tmp_path / settings.STACK_LOCK).open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        threading.Timer(0.1, lock.close).start()
        with DataDirectory(tmp_path):
            pass
