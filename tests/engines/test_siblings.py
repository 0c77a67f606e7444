"""The orchestrator in a container with the daemon's socket: its sorters are containers beside it, on the daemon's machine."""

import json
import os
import sys
from pathlib import Path

import docker
import pytest

from lussac.engines import ENGINES
from lussac.errors import EngineError

pytestmark = pytest.mark.docker

PROGRAM = """
import json, sys, threading
from pathlib import Path
from lussac.engines.base import IN, OUT, WORK, Job, Limits, Mount
from lussac.engines.docker import DockerEngine
base = Path(sys.argv[1])
for name in ("in", "work", "out"):
    (base / name).mkdir(parents=True, exist_ok=True)
(base / "in" / "given").write_text("given")
engine = DockerEngine()
mounts = (Mount(base / "in", IN), Mount(base / "work", WORK, False), Mount(base / "out", OUT, False))
command = ("python", "-c", "open('/lussac/out/made', 'w').write(open('/lussac/in/given').read())")
job = Job(image=engine.resolve(sys.argv[2], pull=False), argv=command, mounts=mounts, env={}, limits=Limits(), label="sibling")
end = engine.run(job, base / "log", lambda line: None, threading.Event())
made = base / "out" / "made"
print(json.dumps([end.outcome, end.message, made.read_text() if made.exists() else None]))
"""
IMAGE = "lussac/simple:0.105.3"
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def client():
    engine = ENGINES["docker"]()
    if reason := engine.unavailable():
        pytest.skip(reason)
    try:
        engine.resolve(IMAGE, pull=False)
    except EngineError as error:
        pytest.skip(str(error))
    made = docker.from_env()
    yield made
    made.close()


@pytest.fixture
def orchestrate(client, tmp_path):
    """Run the program in a container that has this checkout, this Python and the daemon's socket."""
    host = tmp_path / "a lab's disk, 1"
    host.mkdir()
    socket = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")

    def orchestrate(base: str, *, data: str | None = "/data", mounts=(), environment=(), **options):
        same = {str(REPOSITORY), sys.prefix, sys.base_prefix}
        binds = [docker.types.Mount(path, path, type="bind", read_only=True) for path in sorted(same)]
        binds.append(docker.types.Mount("/var/run/docker.sock", socket, type="bind"))
        if data:
            binds.append(docker.types.Mount(data, str(host), type="bind"))
        output = client.containers.run(
            IMAGE,
            ["-c", PROGRAM, base, IMAGE],
            entrypoint=[sys.executable],
            mounts=[*binds, *mounts],
            environment={"PYTHONPATH": str(REPOSITORY), **dict(environment)},
            user="0:0",
            network_mode=options.pop("network_mode", "none"),
            remove=True,
            **options,
        )
        return json.loads(output.decode().strip().splitlines()[-1])

    orchestrate.host = host
    return orchestrate


@pytest.mark.parametrize(
    "options",
    [{}, {"hostname": "recorder"}, {"network_mode": "host"}, {"hostname": "x", "network_mode": "none", "pid_mode": "host"}],
    ids=["plain", "hostname", "network", "pid"],
)
def test_its_folders_are_found(orchestrate, options):
    assert orchestrate("/data/run", **options) == ["ok", "", "given"]
    assert (orchestrate.host / "run" / "out" / "made").read_text() == "given"


def test_a_mount_inside_a_mount(orchestrate, tmp_path):
    (tmp_path / "other disk").mkdir()
    inner = docker.types.Mount("/data/run", str(tmp_path / "other disk"), type="bind")
    assert orchestrate("/data/run", mounts=[inner]) == ["ok", "", "given"]
    assert (tmp_path / "other disk" / "out" / "made").exists()


def test_the_map_of_the_user_goes_first(orchestrate):
    wrong = {"LUSSAC_HOST_PATH_MAP": "/data=/nowhere"}
    outcome, message, _ = orchestrate("/data/run", environment=wrong.items())
    assert outcome == "mount"
    assert "/nowhere" in message
    right = {"LUSSAC_HOST_PATH_MAP": f"/data={orchestrate.host}"}
    assert orchestrate("/data/run", environment=right.items()) == ["ok", "", "given"]


def test_a_folder_that_is_not_mounted_is_refused(orchestrate):
    outcome, message, made = orchestrate("/run-here", data=None)
    assert (outcome, made) == ("mount", None)
    assert "docker run --rm -v /your/folder:/run-here" in message


def test_a_named_volume(orchestrate, client):
    volume = client.volumes.create()
    try:
        outcome, message, made = orchestrate("/v/run", mounts=[docker.types.Mount("/v", volume.name, type="volume")])
        if outcome == "mount":
            assert "can't mount a folder of a volume" in message
        else:
            assert (outcome, made) == ("ok", "given")
    finally:
        volume.remove(force=True)
