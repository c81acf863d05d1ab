"""Jobs for the launcher's tests, in a module that a run process can import by its path."""

import os
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import psutil


@dg.op
def note(context: dg.OpExecutionContext) -> None:
    """Leave word that the run was here, when, and with which libraries loaded."""
    heavy = sorted({"pandas", "mlflow", "exchange_calendars"} & set(sys.modules))
    Path(context.run.tags["note"]).write_text(f"{time.time()} {os.getpid()} {' '.join(heavy)}")


@dg.op
def wait(context: dg.OpExecutionContext) -> None:
    """Wait for longer than any test."""
    Path(context.run.tags["note"]).write_text(str(os.getpid()))
    time.sleep(120)


@dg.op
def fail() -> None:
    """Fail."""
    raise ValueError("this op fails")


@dg.op
def own_child() -> None:
    """A run may start processes of its own."""
    subprocess.run([sys.executable, "-c", "pass"], check=True)


@dg.op
def speak(context: dg.OpExecutionContext) -> None:
    """Print, have a child print, and note which other processes this one has."""
    children = psutil.Process().children(recursive=True)
    Path(context.run.tags["note"]).write_text(" ".join([str(os.getpid()), *(child.name() for child in children)]))
    sys.stdout.write("said out loud\n")
    sys.stderr.write("said aside\n")
    subprocess.run([sys.executable, "-c", "print('said by a child')"], check=True)


@dg.job(executor_def=dg.in_process_executor)
def spoken():
    """One step that prints."""
    speak()


@dg.job(executor_def=dg.in_process_executor)
def quick():
    """One step."""
    note()


@dg.job(executor_def=dg.in_process_executor)
def long():
    """Waits until it is ended."""
    wait()


@dg.job(executor_def=dg.in_process_executor)
def failing():
    """Fails."""
    fail()


@dg.job(executor_def=dg.in_process_executor)
def with_child():
    """Starts a process."""
    own_child()
