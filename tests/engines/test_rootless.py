"""Podman and docker started by a user without root: the root of their containers is that user. The service image on them."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest
from engines_here import IMAGE, answering, image_of, job_in, left_by, owners
from service import TESTBED_USER, client_of, run, socket_of, text_of, write_data

from lussac.engines.base import OUT, WORK, Outcome
from lussac.engines.docker import DockerEngine
from lussac.provenance import read_record

pytestmark = [
    pytest.mark.docker,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start an engine for somebody else"),
]
PROGRAMS = {"podman": ["podman", "newuidmap"], "docker": ["dockerd", "rootlesskit", "newuidmap"]}
# its own network needs /dev/net/tun, which a machine for tests may keep to itself
SETTINGS = """
[containers]
default_ulimits = []
netns = "host"
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


@pytest.fixture(scope="module", params=PROGRAMS)
def engine(request, account):
    """Return an engine as the user starts it, with storage of its own and the Python image of the test bed."""
    name, image = request.param, os.environ.get("BASE_IMAGE")
    if image is None:
        pytest.skip("there is no BASE_IMAGE to run")
    if missing := [program for program in PROGRAMS[name] if shutil.which(program) is None]:
        pytest.skip(f"there is no {' and no '.join(missing)} here")
    source = answering("docker")
    folder = Path(tempfile.mkdtemp(prefix="lussac-rootless-"))
    (folder / "containers.conf").write_text(SETTINGS)
    for path in (folder, folder / "containers.conf"):
        os.chown(path, account.pw_uid, account.pw_gid)
    own = {"HOME": account.pw_dir, "XDG_RUNTIME_DIR": str(folder), "CONTAINERS_CONF": str(folder / "containers.conf")}
    rights = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    as_user = {**rights, "env": os.environ | own, "cwd": folder}
    found = DockerEngine(host=f"unix://{folder}/engine.sock")
    serve = podman(folder, "system", "service", "--time=0", found.host) if name == "podman" else dockerd(folder, found.host)
    with (folder / "log").open("w") as log:
        service = subprocess.Popen(serve, stdout=log, stderr=log, start_new_session=True, **as_user)
        try:
            deadline = time.monotonic() + 30
            while found.unavailable():
                if service.poll() is not None or time.monotonic() > deadline:
                    pytest.skip(f"{name} doesn't start without root here: {(folder / 'log').read_text()}")
                time.sleep(0.1)
            bring(image, source, found)
            yield found
        finally:
            if name == "podman" and service.poll() is None:
                os.killpg(service.pid, signal.SIGTERM)  # it starts itself once more, as root of a namespace
            service.terminate()  # rootlesskit passes it on, and ends after the daemon, which a third signal would kill
            service.wait()
            if name == "podman":
                subprocess.run(podman(folder, "system", "migrate"), check=True, **as_user)  # lets go of its mounts
            shutil.rmtree(folder)


def podman(folder: Path, *words: str) -> list[str]:
    """Return a command of podman, with its storage in a folder."""
    return ["podman", f"--root={folder}/storage", f"--runroot={folder}/run", "--storage-driver=overlay", *words]


def dockerd(folder: Path, host: str) -> list[str]:
    """Return the command that docker's dockerd-rootless.sh comes to, but for a network of its own: jobs have none."""
    namespaces = [f"--state-dir={folder}/namespaces", "--net=host", "--copy-up=/etc", "--copy-up=/run", "--propagation=rslave"]
    fresh = ["sh", "-c", 'rm -f /run/docker /run/containerd /run/xtables.lock; exec "$@"', "sh"]  # the system's daemon's
    places = [f"--data-root={folder}/storage", f"--exec-root={folder}/run", f"--pidfile={folder}/pid", f"--host={host}"]
    network = ["--iptables=false", "--ip6tables=false", "--bridge=none"]
    return ["rootlesskit", *namespaces, *fresh, "dockerd", "--rootless", *places, *network]


def bring(image: str, source: DockerEngine, target: DockerEngine) -> None:
    """Give an engine the image of another."""
    with subprocess.Popen(["docker", f"--host={source.host}", "save", image], stdout=subprocess.PIPE) as pipe:
        subprocess.run(["docker", f"--host={target.host}", "load", "--quiet"], stdin=pipe.stdout, check=True, capture_output=True)


@pytest.fixture(scope="module")
def serving(engine, service_image):
    """Return the engine with the service image and that of a sorter."""
    source = answering("docker")
    image_of(source)
    for image in ("lussac:latest", IMAGE):
        bring(image, source, engine)
    return engine


def service(engine: DockerEngine, *words: object) -> str:
    """Run the service image as its user does, and return all that it says."""
    return text_of(run(*client_of(engine, "run", "--rm", *words)))


@pytest.fixture
def place(account):
    """Return a folder of the user; those of pytest are closed to others."""
    with tempfile.TemporaryDirectory(prefix="lussac-rootless-") as folder:
        os.chown(folder, account.pw_uid, account.pw_gid)
        yield Path(folder)


@pytest.mark.parametrize("end", ["", "; raise ValueError"], ids=["success", "error"])
def test_files_belong_to_the_user(engine, account, place, end):
    assert engine.describe()["rootless"] == "True"
    program = f"import os; assert os.getuid() == 0; os.makedirs('{OUT}/a/b'); open('{WORK}/c', 'w'){end}"
    job = job_in(place, engine.resolve(os.environ["BASE_IMAGE"], pull=False), "python", "-c", program)
    for name in ("in", "work", "out"):
        os.chown(place / name, account.pw_uid, account.pw_gid)
    ended = engine.run(job, place / "log", lambda _line: None, threading.Event())
    assert ended.outcome is (Outcome.SORTER_ERROR if end else Outcome.OK), ended
    assert owners(place / "work") | owners(place / "out") == {account.pw_uid}
    assert (place / "out" / "a" / "b").is_dir()
    assert left_by(engine, place) == []


@pytest.mark.parametrize("beside", [True, False], ids=["socket", "no socket"])
def test_a_run_of_the_service_image(serving, account, place, beside):
    folder = write_data(place / "session 1", owner=(account.pw_uid, account.pw_gid))
    socket = socket_of(serving) if beside else ()
    said = service(serving, "-v", f"{folder}:/data", *socket, "lussac", "/data/params.json")
    record = read_record(folder / "lussac" / "logs")
    (sorter,) = record["sorters"]
    assert sorter["engine"]["name"] == ("docker" if beside else "local"), said
    if beside:
        assert sorter["image"]["rootfs"] == serving.resolve(IMAGE, pull=False).rootfs
        assert record["software"]["image"]["rootfs"] == serving.resolve("lussac:latest", pull=False).rootfs
    assert owners(folder) == {account.pw_uid}
    assert left_by(serving, folder) == []


def test_the_doctor_in_the_service_image(serving, place):
    said = service(serving, "-v", f"{place}:/data", *socket_of(serving), "lussac", "doctor", "/data")
    assert f"/data is {place} for the docker daemon" in said
    assert "root of their container, who is you outside" in said
