"""A daemon that restarts while a sorter runs: on one of our own, so that nobody else's containers end with it."""

import gc
import os
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import docker
import pytest
from engines_here import REPOSITORY, answering, image_of, left_by, owners

from lussac.engines.base import IN, OUT, WORK, Job, Limits, Mount, Outcome
from lussac.engines.docker import DockerEngine
from lussac.sorters.run import run_job

pytestmark = [
    pytest.mark.docker,
    # the SDK leaves sockets to a daemon that has gone to the garbage collector, which comes when it likes
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("dockerd") is None, reason="a daemon of our own takes root and dockerd"),
]
SCRIPTS = REPOSITORY / "containers" / "testbed"
PROGRAM = """
import os, time
attempts = len(os.listdir("/lussac/in"))
assert not os.listdir("/lussac/work"), "the attempt before has left something"
open("/lussac/work/begun", "w").close()
open("/lussac/out/up", "w").close()
print("begun", flush=True)
if attempts == 1:
    time.sleep(600)
open("/lussac/out/done", "w").close()
"""
"""Sleeps until the test has put a second file into its input."""


class Daemon:
    """A docker daemon with its own data and socket, and the Python image of the test bed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = f"unix://{folder}/docker/docker.sock"

    def start(self) -> None:
        self._script("docker-up.sh")

    def stop(self) -> None:
        self._script("docker-down.sh")

    def purge(self) -> None:
        self._script("docker-down.sh", "--purge")

    def _script(self, name: str, *words: str) -> None:
        environment = {**os.environ, "TESTBED": str(self.folder), "TESTBED_FORCE_PRIVATE": "1"}
        subprocess.run([SCRIPTS / name, *words], env=environment, check=True, capture_output=True)


@pytest.fixture(autouse=True)
def collected():
    """Collect what is left of connections to a daemon that has gone before another test would be blamed for it."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def daemon():
    """Return a daemon of our own, with an image from the one that answers."""
    source = answering("docker")
    image_of(source)
    folder = Path(tempfile.mkdtemp(prefix="lussac-daemon-"))
    own = Daemon(folder)
    own.start()
    name = os.environ.get("BASE_IMAGE", image_of(source).asked)
    theirs, ours = docker.DockerClient(base_url=source.host), docker.DockerClient(base_url=own.host)
    try:
        ours.images.load(b"".join(theirs.images.get(name).save(named=True)))
        own.image = name
        yield own
    finally:
        ours.close()
        theirs.close()
        own.purge()
        shutil.rmtree(folder, ignore_errors=True)


def begun(engine, image: str, program: str, folder: Path) -> tuple[threading.Thread, list]:
    """Start a program as a job that says when it runs; return the thread that waits for it, and where its end will be."""
    for name in ("in", "work", "out"):
        (folder / name).mkdir()
    (folder / "in" / "one").touch()
    mounts = (
        Mount(folder / "in", IN),
        Mount(folder / "work", WORK, read_only=False),
        Mount(folder / "out", OUT, read_only=False),
    )
    found, limits = engine.resolve(image, pull=False), Limits(seconds=300)
    job = Job(image=found, argv=("python", "-c", program), mounts=mounts, env={}, limits=limits, label=folder.name)
    ends = []
    runs = threading.Thread(target=lambda: ends.append(run_job(engine, job, folder, lambda _line: None, threading.Event())))
    runs.start()
    deadline = time.monotonic() + 60
    while not (folder / "out" / "up").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return runs, ends


def test_the_sorter_is_started_once_more_from_empty_folders(daemon, tmp_path):
    engine = DockerEngine(host=daemon.host)
    runs, ends = begun(engine, daemon.image, PROGRAM, tmp_path)
    (tmp_path / "in" / "two").touch()
    daemon.stop()
    daemon.start()
    runs.join(120)
    log = (tmp_path / "sorter.log").read_text()
    assert [end.outcome for end in ends] == [Outcome.OK], (ends, log)
    assert "the sorter is started once more" in log
    assert (tmp_path / "out" / "done").exists()
    assert left_by(engine, tmp_path.name, tmp_path) == []
    assert owners(tmp_path) == {os.getuid()}


def test_a_daemon_that_stays_away_is_a_fault_of_the_engine(daemon, tmp_path, monkeypatch):
    monkeypatch.setattr("lussac.engines.docker.PATIENCE", 1.0)
    engine = DockerEngine(host=daemon.host)
    program = "import time; open('/lussac/out/up', 'w').close(); time.sleep(600)"
    runs, ends = begun(engine, daemon.image, program, tmp_path)
    daemon.stop()
    runs.join(120)
    (end,) = ends
    assert end.outcome is Outcome.INFRA
    assert "the docker daemon went away" in end.message
    assert engine.unavailable().startswith("no daemon answers at")
