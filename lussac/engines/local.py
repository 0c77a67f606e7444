"""The environment of this process as an engine: a sorter in a process of its own, with the job that a container would get."""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from lussac.engines.base import WORK, Exit, ImageRef, Job, Progress, judge, on_host
from lussac.engines.gpus import allotted
from lussac.engines.guard import OVER_MEMORY
from lussac.engines.process import run_guarded
from lussac.errors import EngineError

NUMERIC = ("hdbscan", "numba", "numpy", "scikit-learn", "scipy", "spikeinterface")
"""Distributions that the result of any sorter of this environment depends on."""


@dataclass(frozen=True, slots=True)
class LocalEngine:
    """Runs jobs as processes of this machine. Mounts become plain paths; nothing is isolated."""

    name: str = "local"
    runs_as_owner: bool = False

    def unavailable(self) -> str | None:
        """Return None: this process runs, so it can start others; Linux is all that is supported."""
        return None if sys.platform == "linux" else "runs on Linux only; use docker"

    def describe(self) -> Mapping[str, str]:
        """Return the version of Python."""
        return {"name": self.name, "version": platform.python_version()}

    def resolve(self, image: str, *, pull: bool) -> ImageRef:  # noqa: ARG002 - nothing is installed behind the user's back
        """Identify this environment.

        Parameters
        ----------
        image
            The distributions that the sorter needs, separated by spaces.
        pull
            Without meaning here.

        Raises
        ------
        EngineError
            If a distribution is missing.
        """
        needed = image.split()
        versions = {name: version for name in sorted({*needed, *NUMERIC}) if (version := _version(name))}
        if missing := [name for name in needed if name not in versions]:
            raise EngineError(f"{' and '.join(missing)} not installed in this environment; pip install {' '.join(missing)}.")
        versions["python"] = ".".join(platform.python_version_tuple()[:2])
        text = "\n".join(f"{name}=={version}" for name, version in sorted(versions.items()))
        rootfs = "environment:" + hashlib.sha256(text.encode()).hexdigest()
        return ImageRef(asked=image, start="", digest="", rootfs=rootfs, source="none", details=versions)

    def has_image(self, image: str) -> bool:
        """Tell whether the distributions are installed."""
        return all(_version(name) for name in image.split())

    def has_gpu(self, image: ImageRef) -> bool:  # noqa: ARG002 - one environment, one answer
        """Tell whether the driver's own tool sees a GPU."""
        return self.offers_gpu()

    def offers_gpu(self) -> bool:
        """Tell whether the driver's own tool sees a GPU."""
        tool = shutil.which("nvidia-smi")
        if tool is None or not allotted(os.environ):
            return False
        return "GPU" in subprocess.run([tool, "-L"], capture_output=True, text=True, check=False, timeout=30).stdout  # noqa: S603

    def run(self, job: Job, log: Path, progress: Progress, stop: threading.Event) -> Exit:
        """Run a job below a guard that ends all of it when this process dies, however it dies."""
        command = tuple(on_host(word, job.mounts) for word in job.argv)
        if command[0] == "python":
            command = (sys.executable, *command[1:])
        env = {**os.environ, **{name: on_host(value, job.mounts) for name, value in job.env.items()}}
        start = time.monotonic()
        ended, code = run_guarded(command, env, job.source(WORK), job.limits, log, progress, stop)
        outcome, message = judge(ended, code, job.limits, out_of_memory=code == OVER_MEMORY)
        return Exit(
            outcome=outcome,
            code=code,
            message=message,
            seconds=time.monotonic() - start,
            command=command,
            enforced=("memory", "seconds"),
        )

    def reap(self) -> tuple[str, ...]:
        """Return nothing: the guard ends a job together with the process that started it."""
        return ()


def _version(distribution: str) -> str | None:
    """Return the version of an installed distribution."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
