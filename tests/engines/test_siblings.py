"""The orchestrator in a container with the daemon's socket: its sorters are containers beside it, on the daemon's machine."""

import json
import os
import shlex
import sys
import time

import docker
import pytest
from engines_here import PODMAN, REPOSITORY, answering, containers_of, image_of, left_by, soon_nothing_left_by

from lussac.engines import hostpaths
from lussac.engines.base import identity
from lussac.engines.daemon import PARENT

pytestmark = pytest.mark.docker

PROGRAM = """
import json, os, sys, threading
from pathlib import Path
from lussac.engines.base import IN, OUT, WORK, Job, Limits, Mount
from lussac.engines.docker import DockerEngine
base, image, seconds = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
engine = DockerEngine()
engine.reap()
for name in ("in", "work", "out"):
    (base / name).mkdir(parents=True, exist_ok=True)
(base / "in" / "given").write_text("given")
(base / "my model, 2.json").write_text(" and a file of the params folder")
mounts = (Mount(base / "in", IN), Mount(base / "work", WORK, False), Mount(base / "out", OUT, False), Mount(base, str(base)))
command = (
    "python", "-c",
    "import sys, time; made = open('/lussac/in/given').read() + open(sys.argv[1]).read();"
    "open('/lussac/out/made', 'w').write(made); time.sleep(float(sys.argv[2]))",
    str(base / "my model, 2.json"), seconds,
)
found, label = engine.resolve(image, pull=False), f"sibling-{os.urandom(6).hex()}"
job = Job(image=found, argv=command, mounts=mounts, env={}, limits=Limits(), label=label)
end = engine.run(job, base / "log", lambda line: None, threading.Event())
made = base / "out" / "made"
print(json.dumps([end.outcome, end.message, made.read_text() if made.exists() else None]))
"""
MADE = "given and a file of the params folder"


BOTH = pytest.mark.parametrize("daemon", ["docker", PODMAN], indirect=True)


@pytest.fixture
def daemon(request):
    """Return the engine whose containers are orchestrator and sorters, and an image that it has."""
    engine = answering(getattr(request, "param", "docker"))
    return engine, image_of(engine).asked


@pytest.fixture
def client(daemon):
    made = docker.DockerClient(base_url=daemon[0].host)
    yield made
    made.close()


@pytest.fixture
def orchestrate(daemon, client, tmp_path):
    """Run the program in a container that has this checkout, this Python and the daemon's socket."""
    host = tmp_path / "a lab's disk 1"
    host.mkdir()
    engine, image = daemon
    socket = engine.host.removeprefix("unix://")

    def start(base: str, *, data: str | None = "/data", mounts=(), environment=(), seconds: float = 0, **options):
        same = {str(REPOSITORY), sys.prefix, sys.base_prefix}
        binds = [docker.types.Mount(path, path, type="bind", read_only=True) for path in sorted(same)]
        binds.append(docker.types.Mount("/var/run/docker.sock", socket, type="bind"))
        if data:
            binds.append(docker.types.Mount(data, str(host), type="bind"))
        return client.containers.run(
            image,
            ["-c", PROGRAM, base, image, str(seconds)],
            entrypoint=[sys.executable],
            mounts=[*binds, *mounts],
            environment={"PYTHONPATH": str(REPOSITORY), **dict(environment)},
            user="0:0",
            network_mode=options.pop("network_mode", "none"),
            detach=True,
            **options,
        )

    def orchestrate(base: str, **options):
        container = start(base, **options)
        try:
            container.wait(timeout=120)
            output = container.logs().decode()
        finally:
            container.remove(force=True)
        assert output.strip().endswith("]"), output
        return json.loads(output.strip().splitlines()[-1])

    orchestrate.start, orchestrate.host = start, host
    return orchestrate


@BOTH
def test_its_folders_are_found_by_default(orchestrate):
    assert orchestrate("/data/run") == ["ok", "", MADE]


@pytest.mark.parametrize(
    "options",
    [{"hostname": "recorder"}, {"network_mode": "host"}, {"hostname": "x", "network_mode": "none", "pid_mode": "host"}],
    ids=["hostname", "network", "pid"],
)
def test_its_folders_are_found(orchestrate, options):
    assert orchestrate("/data/run", **options) == ["ok", "", MADE]
    assert (orchestrate.host / "run" / "out" / "made").read_text() == MADE


def test_a_mount_inside_a_mount(orchestrate, tmp_path):
    (tmp_path / "other disk").mkdir()
    inner = docker.types.Mount("/data/run", str(tmp_path / "other disk"), type="bind")
    assert orchestrate("/data/run", mounts=[inner]) == ["ok", "", MADE]
    assert (tmp_path / "other disk" / "out" / "made").exists()


@BOTH
def test_the_map_of_the_user_goes_first(orchestrate, daemon, tmp_path):
    nowhere = tmp_path / "nowhere"
    outcome, message, _ = orchestrate("/data/run", environment={"LUSSAC_HOST_PATH_MAP": f"/data={nowhere}"})
    assert outcome == "mount"
    assert str(nowhere) in message
    assert not nowhere.exists()
    assert left_by(daemon[0], tmp_path) == []
    right = {"LUSSAC_HOST_PATH_MAP": f"/data={orchestrate.host}"}
    assert orchestrate("/data/run", environment=right) == ["ok", "", MADE]


@BOTH
def test_a_map_to_other_folders_is_refused_before_anything_is_written(orchestrate, daemon, tmp_path):
    for name in ("in", "work", "out"):
        (tmp_path / "others" / "run" / name).mkdir(parents=True)
    outcome, message, _ = orchestrate("/data/run", environment={"LUSSAC_HOST_PATH_MAP": f"/data={tmp_path / 'others'}"})
    assert outcome == "mount"
    assert "A container doesn't see what lies in /data/run/out" in message
    assert "Say what it is on the host with LUSSAC_HOST_PATH_MAP" in message
    assert [path for path in (tmp_path / "others").rglob("*") if path.is_file()] == []
    assert left_by(daemon[0], tmp_path) == []


def test_a_folder_that_is_not_mounted_is_refused(orchestrate):
    outcome, message, made = orchestrate("/run-here", data=None)
    assert (outcome, made) == ("mount", None)
    assert "docker run --rm -v /your/folder:/run-here" in message


def test_the_command_to_use_is_that_of_this_container(orchestrate):
    """It was started with /data, and results go to a folder that is not mounted."""
    outcome, message, _ = orchestrate("/results")
    assert outcome == "mount"
    assert "docker run --rm -v /your/folder:/results" in message
    assert f"-v {shlex.quote(f'{orchestrate.host}:/data')}" in message
    assert ":/var/run/docker.sock" in message


def test_the_sorter_of_another_run_is_not_this_process(daemon, client, tmp_path, monkeypatch):
    """It has the params folder at the very path that it has here."""
    monkeypatch.setattr(hostpaths, "may_be_container", lambda: True)
    monkeypatch.setattr(hostpaths, "own_ids", lambda: iter(()))
    same = docker.types.Mount(str(tmp_path), str(tmp_path), type="bind", read_only=True)
    options = {"mounts": [same], "network_mode": "none", "detach": True}
    for labels, found in (({PARENT: identity(os.getpid())}, False), ({}, True)):
        other = client.containers.run(daemon[1], ["python", "-c", "import time; time.sleep(60)"], labels=labels, **options)
        try:
            assert (hostpaths.find(client, tmp_path) is not None) == found
        finally:
            other.remove(force=True)


@BOTH
def test_sorters_of_an_orchestrator_that_was_killed_are_removed_by_the_next(orchestrate, daemon, tmp_path):
    orchestrator = orchestrate.start("/data/killed", seconds=600)
    try:
        deadline = time.monotonic() + 90
        while not (orchestrate.host / "killed" / "out" / "made").exists():
            assert time.monotonic() < deadline, orchestrator.logs()
            time.sleep(0.05)
        assert len(containers_of(daemon[0].host, tmp_path)) == 2
    finally:
        orchestrator.remove(force=True)
    assert orchestrate("/data/next") == ["ok", "", MADE]
    assert soon_nothing_left_by(daemon[0], tmp_path) == []
    owners_made = {path.lstat().st_uid for path in (orchestrate.host / "next").rglob("*")}
    assert owners_made == {orchestrate.host.stat().st_uid}


def test_a_named_volume(orchestrate, client):
    volume = client.volumes.create()
    try:
        outcome, message, made = orchestrate("/v/run", mounts=[docker.types.Mount("/v", volume.name, type="volume")])
        if outcome == "mount":
            assert "can't mount a folder of a volume" in message
        else:
            assert (outcome, made) == ("ok", MADE)
    finally:
        volume.remove(force=True)
