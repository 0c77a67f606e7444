"""Podman started by a user without root: the root of its containers is that user."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import docker
import pytest
from engines_here import answering, job_in, left_by, owners
from service import TESTBED_USER

from lussac.engines.base import Outcome
from lussac.engines.docker import DockerEngine

pytestmark = [
    pytest.mark.docker,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start podman for somebody else"),
]
SETTINGS = """
[containers]
default_ulimits = []
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
"""


@pytest.fixture(scope="module")
def account():
    try:
        return pwd.getpwnam(TESTBED_USER)
    except KeyError:
        pytest.skip(f"there is no user {TESTBED_USER}; containers/testbed/apptainer-up.sh makes one")


@pytest.fixture(scope="module")
def engine(account):
    """Return podman as the user starts it, with storage of its own and the Python image of the test bed."""
    podman, image = shutil.which("podman"), os.environ.get("BASE_IMAGE")
    if podman is None or image is None:
        pytest.skip("there is no podman here, or no BASE_IMAGE to run in it")
    source = answering("docker")
    folder = Path(tempfile.mkdtemp(prefix="lussac-rootless-"))
    (folder / "containers.conf").write_text(SETTINGS)
    for path in (folder, folder / "containers.conf"):
        os.chown(path, account.pw_uid, account.pw_gid)
    environment = {"HOME": account.pw_dir, "XDG_RUNTIME_DIR": folder, "CONTAINERS_CONF": folder / "containers.conf"}
    as_user = ["runuser", "-u", account.pw_name, "--", "env", *(f"{name}={value}" for name, value in environment.items())]
    storage = ["--root", folder / "storage", "--runroot", folder / "run", "--storage-driver", "overlay"]
    found = DockerEngine(host=f"unix://{folder}/podman.sock")
    with (folder / "log").open("w") as log:
        serve = [*as_user, podman, *storage, "system", "service", "--time=0", found.host]
        service = subprocess.Popen(serve, cwd=folder, stdout=log, stderr=log, start_new_session=True)
        try:
            deadline = time.monotonic() + 30
            while found.unavailable():
                if service.poll() is not None or time.monotonic() > deadline:
                    pytest.skip(f"podman doesn't start without root here: {(folder / 'log').read_text()}")
                time.sleep(0.1)
            clients = [contextlib.closing(docker.DockerClient(base_url=host)) for host in (source.host, found.host)]
            with clients[0] as theirs, clients[1] as ours:
                ours.images.load(b"".join(theirs.images.get(image).save(named=True)))
            yield found
        finally:
            os.killpg(service.pid, signal.SIGTERM)  # podman starts itself once more, as root of a namespace
            service.wait()
            subprocess.run([*as_user, podman, *storage, "system", "migrate"], check=True, cwd=folder)  # lets go of its mounts
            shutil.rmtree(folder)


@pytest.mark.parametrize("end", ["", "; raise ValueError"], ids=["success", "error"])
def test_files_belong_to_the_user(engine, account, tmp_path, end):
    assert engine.describe()["rootless"] == "True"
    program = f"import os; assert os.getuid() == 0; os.makedirs('/lussac/out/a/b'); open('/lussac/work/c', 'w'){end}"
    job = job_in(tmp_path, engine.resolve(os.environ["BASE_IMAGE"], pull=False), "python", "-c", program)
    for name in ("in", "work", "out"):
        os.chown(tmp_path / name, account.pw_uid, account.pw_gid)
    for parent in tmp_path.parents[:3]:  # those that pytest keeps to itself
        parent.chmod(0o755)
    tmp_path.chmod(0o755)
    ended = engine.run(job, tmp_path / "log", lambda _line: None, threading.Event())
    assert ended.outcome is (Outcome.SORTER_ERROR if end else Outcome.OK), ended
    assert owners(tmp_path / "work") | owners(tmp_path / "out") == {account.pw_uid}
    assert (tmp_path / "out" / "a" / "b").is_dir()
    assert left_by(engine, tmp_path) == []
