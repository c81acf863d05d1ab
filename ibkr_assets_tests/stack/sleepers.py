"""A stack of sleepers with children of their own, run as a script by the supervisor's tests.

python sleepers.py DIRECTORY            prints `up` when all are ready, then sleeps until it is signalled
python sleepers.py --sleep KIND         one of the processes: `plain`, `stubborn`, `parent`, `daemonizer`
"""

import signal
import subprocess
import sys
import time
from pathlib import Path

from ibkr_assets.stack.child import Service
from ibkr_assets.stack.probes import SaysLine
from ibkr_assets.stack.signals import Interruptible
from ibkr_assets.stack.supervisor import Supervisor


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def sleeper(name: str, directory: Path, kind: str, *after: str) -> Service:
    log = directory / f"{name}.log"
    ready = SaysLine(log, "^asleep$")
    command = (sys.executable, __file__, "--sleep", kind)
    return Service(name, command, log, ready, prepare=ready.mark, after=after, ready_timeout_s=20)


def sleep(kind: str) -> None:
    if kind == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if kind == "parent":
        subprocess.Popen([sys.executable, __file__, "--sleep", "plain"])
    if kind == "daemonizer":
        subprocess.Popen([sys.executable, __file__, "--sleep", "plain"], start_new_session=True)
    say("asleep")
    time.sleep(120)


def main(directory: Path) -> None:
    services = [
        sleeper("ground", directory, "plain"),
        sleeper("family", directory, "parent", "ground"),
        sleeper("stray", directory, "daemonizer", "ground"),
        sleeper("deaf", directory, "stubborn", "family"),
    ]
    interruptible = Interruptible()
    with interruptible:
        try:
            with Supervisor(services, marker=str(directory), say=say, grace_s=1.0) as supervisor:
                interruptible.on_repeat = supervisor.hurry
                say("up")
                time.sleep(120)
        except KeyboardInterrupt:
            say("stopped")


if __name__ == "__main__":
    if sys.argv[1] == "--sleep":
        sleep(sys.argv[2])
    else:
        main(Path(sys.argv[1]))
