"""What a container keeps a sorter from, and what is said when an engine can't do what is asked."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from engines_here import job_in, soon_nothing_left_by

from lussac.engines.base import WORK, Limits, Mount, Outcome
from lussac.errors import EngineError

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def inside(isolating, isolating_image, tmp_path):
    """Return a function that runs a program in a container, and what it needs."""
    job = job_in(tmp_path, isolating_image, limits=Limits(seconds=60))
    (tmp_path / "in" / "given").write_text("given")
    (tmp_path / "secret").write_text("of the host")

    def inside(program: str, **changes):
        job_now = replace(job, argv=("python", "-c", program), **changes)
        return isolating.run(job_now, tmp_path / "log", lambda _line: None, threading.Event())

    inside.job = job
    return inside


FORBIDDEN = {
    "network": "import socket; socket.create_connection(('1.1.1.1', 53), 3)",
    "loopback": "import socket; socket.create_connection(('127.0.0.1', {port}), 3)",
    "name": "import socket; socket.getaddrinfo('localhost.localdomain', 80); socket.create_connection(('localhost', {port}), 3)",
    "write to the input": "open('/lussac/in/given', 'w').write('changed')",
    "delete the input": "import os; os.unlink('/lussac/in/given')",
    "add to the input": "open('/lussac/in/new', 'w')",
    "write to the params folder": "open('{params}/new', 'w')",
    "socket of docker": "import socket; socket.socket(socket.AF_UNIX).connect('{socket}')",
    "usual socket": "open('/var/run/docker.sock')",
    "write to the image": "open('/usr/new', 'w')",
    "secret of the host": "open('{secret}')",
    "other folder of the host": "import os; os.listdir('{repository}')",
    "mount": "import ctypes; assert ctypes.CDLL(None).mount(b'x', b'/mnt', b'tmpfs', 0, b'') == 0",
    "device": f"import os; os.mknod('{WORK}/device', 0o600 | 0o060000, os.makedev(8, 0))",
    "processes of the host": "import os; os.kill({pid}, 0); assert b'pytest' in open('/proc/{pid}/cmdline', 'rb').read()",
}
"""What must not work, each raising an error."""

TRY_ALL = """
import json, sys
for name, program in json.load(open("/lussac/in/programs.json")).items():
    try:
        exec(program, {})
    except (OSError, AssertionError) as error:
        print(name, "failed:", type(error).__name__, error)
    else:
        print(name, "WORKED")
"""


def test_fails_what_a_sorter_must_not_do(inside, tmp_path):
    (tmp_path / "params").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        words = {
            "port": server.getsockname()[1],
            "params": tmp_path / "params",
            "socket": os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://"),
            "secret": tmp_path / "secret",
            "repository": REPOSITORY,
            "pid": os.getpid(),
        }
        programs = {name: program.format(**words) for name, program in FORBIDDEN.items()}
        (tmp_path / "in" / "programs.json").write_text(json.dumps(programs))
        end = inside(TRY_ALL, mounts=(*inside.job.mounts, Mount(tmp_path / "params", str(tmp_path / "params"))))
    said = (tmp_path / "log").read_text()
    assert end.outcome is Outcome.OK, said
    assert "WORKED" not in said
    assert said.count("failed:") == len(FORBIDDEN)
    assert (tmp_path / "in" / "given").read_text() == "given"
    assert list((tmp_path / "params").iterdir()) == []


def test_has_no_rights(inside, tmp_path):
    inside("print(open('/proc/self/status').read())")
    status = dict(line.split(":", 1) for line in (tmp_path / "log").read_text().splitlines() if ":" in line)
    assert {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb")} == {0}
    assert status["NoNewPrivs"].strip() == "1"


def test_no_variable_of_the_user_gets_in(inside, tmp_path, monkeypatch):
    for name in ("SECRET", "APPTAINERENV_SECRET", "SINGULARITYENV_SECRET", "APPTAINER_BIND", "SINGULARITY_BIND"):
        monkeypatch.setenv(name, str(tmp_path))
    inside("import os, json; print(json.dumps(dict(os.environ)))")
    seen = json.loads((tmp_path / "log").read_text())
    assert "SECRET" not in seen
    assert seen["HOME"] == WORK


def test_a_user_of_the_system_libraries_finds_a_name_and_caches(inside):
    end = inside(
        "import getpass, os, tempfile; getpass.getuser(); tempfile.mkstemp(); open(os.path.expanduser('~/x'), 'w');"
        "os.makedirs(os.environ['NUMBA_CACHE_DIR'])"
    )
    assert end.outcome is Outcome.OK


def test_a_missing_folder_is_a_fault_of_the_mount_and_is_not_made(inside, tmp_path):
    mounts = (*inside.job.mounts, Mount(tmp_path / "gone", "/gone"))
    assert inside("", mounts=mounts).outcome is Outcome.MOUNT
    assert not (tmp_path / "gone").exists()


def test_a_program_that_the_image_lacks_is_a_fault_of_the_image(inside, isolating, tmp_path):
    job = replace(inside.job, argv=("no-such-program",))
    end = isolating.run(job, tmp_path / "log", lambda _line: None, threading.Event())
    assert end.outcome in (Outcome.IMAGE, Outcome.SORTER_ERROR)
    assert end.code != 0


def test_a_missing_image_is_told_offline(isolating):
    with pytest.raises(EngineError, match="build it"):
        isolating.resolve("lussac/no-such-sorter:1", pull=False)


def test_another_digest_is_refused(isolating):
    with pytest.raises(EngineError):
        isolating.resolve("lussac/simple@sha256:" + "0" * 64, pull=False)


KILLED = """
import os, sys, threading
from pathlib import Path
from lussac.engines import ENGINES
from lussac.engines.base import IN, OUT, WORK, Job, Limits, Mount
base, image = Path(sys.argv[1]), sys.argv[3]
engine = ENGINES[sys.argv[2]]()
mounts = (Mount(base / "in", IN), Mount(base / "work", WORK, False), Mount(base / "out", OUT, False))
command = ("python", "-c", "import time; open('/lussac/out/up', 'w'); time.sleep(120)")
job = Job(image=engine.resolve(image, pull=False), argv=command, mounts=mounts, env={}, limits=Limits(), label="killed")
engine.run(job, base / "log", lambda line: None, threading.Event())
"""


@pytest.mark.usefixtures("inside")
def test_after_kill_9_nothing_is_left_at_the_next_start(isolating, isolating_image, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path), isolating.name, isolating_image.asked],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "DOCKER_HOST": getattr(isolating, "host", "")},
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "out" / "up").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    isolating.reap()
    assert soon_nothing_left_by(isolating, tmp_path) == []
    assert {path.lstat().st_uid for path in tmp_path.rglob("*")} == {os.getuid()}


@pytest.mark.parametrize("isolating", [pytest.param("singularity", marks=pytest.mark.singularity)], indirect=True)
def test_a_damaged_image_file_is_not_run(isolating, isolating_image, tmp_path):
    damaged = replace(isolating, store=tmp_path)
    file = Path(isolating_image.start)
    (tmp_path / "copy.sif").write_bytes(b"something else")
    (tmp_path / "copy.json").write_text(file.with_suffix(".json").read_text())
    with pytest.raises(EngineError, match="is damaged"):
        damaged.resolve(isolating_image.asked, pull=False)
