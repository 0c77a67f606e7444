"""The service image on podman, started as root: what docs/workstation.md says of it."""

import os
import shutil
import subprocess

import pytest
from engines_here import IMAGE, answering, left_by
from service import OWNER, client_of, owners, run, socket_of, text_of, write_data

from lussac.engines.docker import DockerEngine
from lussac.provenance import read_record

pytestmark = [
    pytest.mark.docker,
    pytest.mark.slow,
    pytest.mark.xdist_group("service on podman"),
    pytest.mark.usefixtures("service_image"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to somebody else"),
]


@pytest.fixture(scope="module")
def engine():
    """Return podman with the service image and that of a sorter, which are taken away again."""
    engine = answering("podman")
    if shutil.which("podman") is None:
        pytest.skip("there is no command podman here")
    brought = [image for image in ("lussac:latest", IMAGE) if not has_same(engine, image)]
    for image in brought:
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as pipe:
            subprocess.run(client_of(engine, "load", "--quiet"), stdin=pipe.stdout, check=True, capture_output=True)
    yield engine
    for image in brought:
        run(*client_of(engine, "image", "rm", "--force", image))


def has_same(engine: DockerEngine, image: str) -> bool:
    """Tell whether podman's image of a name is the one that docker has now."""
    now = answering("docker").resolve(image, pull=False)
    return engine.has_image(image) and engine.resolve(image, pull=False).rootfs == now.rootfs


def service(engine: DockerEngine, *words: object, **options) -> subprocess.CompletedProcess[str]:
    """Run the service image as its page says, with podman for docker."""
    return run(*client_of(engine, "run", "--rm", *words), **options)


def test_a_run_without_the_socket(engine, tmp_path):
    folder = write_data(tmp_path / "session 1")
    done = service(engine, "-v", f"{folder}:/data", "lussac", "/data/params.json")
    assert "simple will run inside Lussac's own image: docker's socket is not in this container" in text_of(done)
    assert read_record(folder / "lussac" / "logs")["sorters"][0]["outcome"] == "done"
    assert owners(folder) == {OWNER}
    assert left_by(engine, folder) == []


@pytest.mark.parametrize("options", [(), ("--read-only", "--tmpfs", "/tmp")], ids=["plain", "read-only"])  # noqa: S108
def test_a_run_with_the_socket(engine, tmp_path, options):
    folder = write_data(tmp_path / "session 1")
    done = service(engine, *options, "-v", f"{folder}:/data", *socket_of(engine), "lussac", "/data/params.json")
    record = read_record(folder / "lussac" / "logs")
    (sorter,) = record["sorters"]
    assert (sorter["engine"]["name"], sorter["engine"]["flavour"]) == ("docker", "podman"), text_of(done)
    assert sorter["image"]["rootfs"] == engine.resolve(IMAGE, pull=False).rootfs
    assert record["software"]["image"]["rootfs"] == engine.resolve("lussac:latest", pull=False).rootfs
    assert owners(folder) == {OWNER}
    assert left_by(engine, folder) == []


def test_the_doctor(engine, tmp_path):
    done = service(engine, "-v", f"{tmp_path}:/data", *socket_of(engine), "lussac", "doctor", "/data")
    assert "flavour podman" in text_of(done)
    assert f"/data is {tmp_path} for the docker daemon" in text_of(done)
