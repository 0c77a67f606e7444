"""What happens to a daemon and its containers when it or a run is killed: on one of our own, which nobody else uses."""

import contextlib
import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from engines_here import IMAGE, REPOSITORY, answering, containers_of, image_of, job_in, left_by, owners
from service import OWNER, write_data

from lussac.engines.base import IN, OUT, WORK, Limits, Outcome
from lussac.engines.docker import DockerEngine
from lussac.sorters.run import run_job

pytestmark = [
    pytest.mark.docker,
    pytest.mark.xdist_group("own daemon"),
    # the SDK leaves sockets to a daemon that has gone to the garbage collector, which comes when it likes
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("dockerd") is None, reason="a daemon of our own takes root and dockerd"),
]
SCRIPTS = REPOSITORY / "containers" / "testbed"
PROGRAM = f"""
import os, time
attempts = len(os.listdir("{IN}"))
assert not os.listdir("{WORK}"), "the attempt before has left something"
open("{WORK}/begun", "w").close()
open("{OUT}/up", "w").close()
print("begun", flush=True)
if attempts == 1:
    time.sleep(600)
open("{OUT}/done", "w").close()
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

    def kill(self) -> None:
        """End it as the system does when memory runs out; what runs in its containers goes on."""
        pid = int((self.folder / "docker" / "dockerd.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        while is_running(pid):
            time.sleep(0.05)

    def purge(self) -> None:
        """Take away the daemon, its images, and what a daemon that was killed has lost sight of."""
        self._script("docker-down.sh", "--purge")
        for shim in {*self._shims()}:
            for pid in (*children_of(shim), shim):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _shims(self) -> Iterator[int]:
        """Yield the processes that hold the containers of this daemon: they outlive it."""
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = file.read_bytes().decode(errors="replace")
                if "containerd-shim" in words and f"{self.folder}/" in words:
                    yield int(file.parent.name)

    def _script(self, name: str, *words: str) -> None:
        environment = {**os.environ, "TESTBED": str(self.folder), "TESTBED_FORCE_PRIVATE": "1"}
        subprocess.run([SCRIPTS / name, *words], env=environment, check=True, capture_output=True)


def children_of(pid: int) -> list[int]:
    """Return the processes that another has started."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def is_running(pid: int) -> bool:
    """Tell whether a process has not ended: one that nobody collects has, too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


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
        own.image, own.source = name, source.host
        yield own
    finally:
        ours.close()
        theirs.close()
        own.purge()
        shutil.rmtree(folder, ignore_errors=True)


def begun(engine, image: str, program: str, folder: Path) -> tuple[threading.Thread, list]:
    """Start a program as a job that says when it runs; return the thread that waits for it, and where its end will be."""
    job = job_in(folder, engine.resolve(image, pull=False), "python", "-c", program, limits=Limits(seconds=300))
    (folder / "in" / "one").touch()
    ends = []
    runs = threading.Thread(target=lambda: ends.append(run_job(engine, job, folder, lambda _line: None, threading.Event())))
    runs.start()
    deadline = time.monotonic() + 60
    while not (folder / "out" / "up").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return runs, ends


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_the_sorter_is_started_once_more_from_empty_folders(daemon, tmp_path, end):
    engine = DockerEngine(host=daemon.host)
    runs, ends = begun(engine, daemon.image, PROGRAM, tmp_path)
    (tmp_path / "in" / "two").touch()
    first = os.open(tmp_path / "out", os.O_RDONLY)
    getattr(daemon, end)()
    daemon.start()
    runs.join(120)
    assert not os.path.samestat(os.fstat(first), (tmp_path / "out").stat())  # nothing of before can write to the result
    os.close(first)
    log = (tmp_path / "sorter.log").read_text()
    assert [end.outcome for end in ends] == [Outcome.OK], (ends, log)
    assert "the docker daemon went away" in log
    assert "the sorter is started once more" in log
    assert (tmp_path / "out" / "done").exists()
    assert containers_of(daemon.host, tmp_path) == []
    assert end == "kill" or left_by(engine, tmp_path) == []  # docker may lose sight of a process when it is killed itself
    assert owners(tmp_path) == {os.getuid()}


RUN = """
import os, sys, threading
from pathlib import Path
from engines_here import job_in
from lussac.engines import docker
from lussac.engines.base import Limits
from lussac.sorters.run import run_job
folder, image, seconds = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
docker.PATIENCE = seconds
engine = docker.DockerEngine()
os.chown(folder, 12345, 54321)
job = job_in(folder, engine.resolve(image, pull=False), "python", "-c", sys.argv[4])
for name in ("in", "work", "out"):
    os.chown(folder / name, 12345, 54321)
end = run_job(engine, job, folder, lambda line: None, threading.Event())
print(f"{end.outcome}: {end.message}")
"""
"""A run of Lussac that ends before the daemon comes back."""
WORKS_ON = "import time; open('/lussac/out/up', 'w').close(); time.sleep(600)"


def started(daemon, folder: Path, seconds: float = 1.0) -> subprocess.Popen:
    """Start a run in a process of its own; return when its sorter works."""
    places = f"{REPOSITORY}:{REPOSITORY / 'tests'}"
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, folder, daemon.image, str(seconds), WORKS_ON],
        env={**os.environ, "DOCKER_HOST": daemon.host, "PYTHONPATH": places},
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (folder / "out" / "up").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    return process


def removed_at_the_next_start(daemon, folder: Path) -> None:
    engine = DockerEngine(host=daemon.host)
    (container,) = containers_of(daemon.host, folder)
    assert engine.reap() == (f"container {container.name} of a run that is gone",)
    assert containers_of(daemon.host, folder) == []
    assert owners(folder / "work") | owners(folder / "out") == {12345}
    assert engine.reap() == ()


def test_what_a_killed_run_has_left_is_removed_and_told(daemon, tmp_path):
    process = started(daemon, tmp_path)
    process.kill()
    process.communicate()
    removed_at_the_next_start(daemon, tmp_path)
    assert left_by(DockerEngine(host=daemon.host), tmp_path) == []


def test_nothing_is_left_of_a_run_whose_daemon_was_killed(daemon, tmp_path):
    """The daemon stays away until the run has given up; then both are started again."""
    process = started(daemon, tmp_path)
    daemon.kill()
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 0
    assert said.startswith("infra: the docker daemon went away (")
    assert "what it left of this sorter is removed when docker, and then Lussac, is started again" in said
    daemon.start()
    removed_at_the_next_start(daemon, tmp_path)


def test_a_daemon_that_stays_away_is_a_fault_of_the_engine(daemon, tmp_path, monkeypatch):
    monkeypatch.setattr("lussac.engines.docker.PATIENCE", 1.0)
    engine = DockerEngine(host=daemon.host)
    runs, ends = begun(engine, daemon.image, WORKS_ON, tmp_path)
    daemon.stop()
    runs.join(120)
    (end,) = ends
    assert end.outcome is Outcome.INFRA
    assert "the docker daemon went away" in end.message
    assert engine.unavailable().startswith("no daemon answers at")
    daemon.start()


@pytest.mark.slow
def test_a_whole_run_says_that_the_daemon_was_killed_and_the_next_goes_on(daemon, tmp_path):
    """The command itself, with the image of a sorter: stopped in the middle, told, and finished by the same command."""
    save = ["docker", "--host", daemon.source, "save", IMAGE]
    with subprocess.Popen(save, stdout=subprocess.PIPE) as pipe:
        subprocess.run(["docker", "--host", daemon.host, "load", "--quiet"], stdin=pipe.stdout, check=True, capture_output=True)
    folder = write_data(tmp_path / "data", {"one": {"sorter_name": "simple", "sorter_params": {"docker_image": True}}})
    command = [sys.executable, "-m", "lussac", folder / "params.json"]
    options = {"env": {**os.environ, "DOCKER_HOST": daemon.host}, "cwd": REPOSITORY, "text": True}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    deadline = time.monotonic() + 120
    while not (folder / "analyses" / ".one.lussac-draft" / "work" / "sorter").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    daemon.kill()
    err = " ".join(process.communicate(timeout=120)[1].split())
    assert process.returncode == 3, err
    assert "one (simple) failed (infra): the docker daemon went away" in err
    assert "what is finished is kept" in err
    assert not (folder / "analyses" / "one").exists()
    daemon.start()
    done = subprocess.run(command, capture_output=True, check=False, timeout=300, **options)
    assert done.returncode == 0, done.stderr
    assert "of a run that is gone" in (folder / "lussac" / "logs" / "lussac.log").read_text()
    assert containers_of(daemon.host, folder) == []
    assert owners(folder / "analyses") == {OWNER[0]}
