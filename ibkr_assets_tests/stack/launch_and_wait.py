"""Launches one long run and waits to be killed: HOME NOTE."""

import sys
import time
from pathlib import Path

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.launcher.base import LaunchRunContext

if __name__ == "__main__":
    home, note = sys.argv[1:]
    job = ReconstructableJob.for_file(str(Path(__file__).with_name("launched_jobs.py")), "long")
    with dg.DagsterInstance.from_config(home) as instance:
        run = instance.create_run_for_job(
            job.get_definition(), job_code_origin=job.get_python_origin(), tags={"note": note}
        )
        instance.run_launcher.launch_run(LaunchRunContext(run, workspace=None))
        time.sleep(120)
