"""The service image as its users start it: ``docker run --rm -v DATA:/data -v SOCKET lussac /data/params.json``."""

import json
import os
import secrets
import subprocess
import time
from pathlib import Path

import jsonschema
import pytest
from engines_here import containers_of, left_by
from service import OWNER, SIMPLE, SOCKET, SOCKET_MOUNT, docker, give, owners, run, text_of, write_data
from tiny import lussac

from lussac import __version__
from lussac.engines.docker import DockerEngine, rootfs_digest
from lussac.provenance import SCHEMA_FILE, read_record

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("service"), pytest.mark.usefixtures("service_image")]
GOAL = 900e6
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to somebody else")


def layers_of(image: str) -> str:
    """Return the hash of an image's layers, from what docker says about it."""
    return rootfs_digest(json.loads(run("docker", "image", "inspect", "--format", "{{json .RootFS.Layers}}", image).stdout))


def socket_group() -> int:
    return Path(SOCKET).stat().st_gid


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A folder of somebody whom neither this machine nor the image knows; only read."""
    return write_data(tmp_path_factory.mktemp("data") / "a lab's disk, 1")


@pytest.fixture(scope="module")
def sibling_run(tmp_path_factory):
    """The data after a run with the socket."""
    folder = write_data(tmp_path_factory.mktemp("sibling") / "session 1")
    return folder, docker("-v", f"{folder}:/data", *SOCKET_MOUNT, "lussac", "/data/params.json")


def test_its_size_entry_and_labels(service_image):
    assert service_image["Size"] < GOAL
    config = service_image["Config"]
    assert config["Entrypoint"] == ["lussac"]
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in config["Labels"].items()}
    assert labels["version"] == __version__
    assert len(labels["revision"].removesuffix("-dirty")) == 40
    assert labels["base.digest"].startswith("sha256:")
    assert labels["base.name"]


def test_version_and_help():
    assert docker("lussac", "--version").stdout == f"lussac {__version__}\n"
    assert "run the pipeline of a params.json" in docker("lussac").stdout


@root_only
def test_a_run_with_the_socket(sibling_run):
    folder, done = sibling_run
    record = read_record(folder / "lussac" / "logs")
    (sorter,) = record["sorters"]
    assert (sorter["engine"]["name"], sorter["outcome"]) == ("docker", "done")
    assert sorter["image"]["rootfs"].startswith("sha256:")
    assert owners(folder) == {OWNER}
    assert "inside Lussac's own image" not in text_of(done)


def test_its_record_says_which_image_it_was(sibling_run, service_image, tmp_path):
    folder, _ = sibling_run
    record = read_record(folder / "lussac" / "logs")
    jsonschema.validate(record, json.loads(SCHEMA_FILE.read_text()))
    image = record["software"]["image"]
    assert (image["config"], image["rootfs"]) == (service_image["Id"], layers_of("lussac"))
    alone = write_data(tmp_path / "alone")
    docker("-v", f"{alone}:/data", "lussac", "/data/params.json")
    known = read_record(alone / "lussac" / "logs")["software"]["image"]["labels"]
    assert known["org.opencontainers.image.revision"] == service_image["Config"]["Labels"]["org.opencontainers.image.revision"]
    assert known.items() <= image["labels"].items()
    assert "Lussac itself ran" not in lussac("verify", folder / "lussac" / "logs", alone / "lussac" / "logs")[1]


def test_a_run_of_another_image_of_lussac_is_told(sibling_run, tmp_path):
    folder, _ = sibling_run
    other = f"lussac-test/other-{secrets.token_hex(4)}"
    (tmp_path / "Dockerfile").write_text("FROM lussac\nCOPY Dockerfile /another\n")
    run("docker", "build", "--quiet", "--tag", other, tmp_path, env={**os.environ, "DOCKER_BUILDKIT": "0"})
    try:
        again = write_data(tmp_path / "again")
        docker("-v", f"{again}:/data", *SOCKET_MOUNT, other, "/data/params.json")
        code, out, err = lussac("verify", folder / "lussac" / "logs", again / "lussac" / "logs")
        told = f"Lussac itself ran in lussac ({layers_of('lussac')}) in A, in {other} ({layers_of(other)}) in B."
        assert (code, err, told in " ".join(out.split())) == (0, "", True), out
    finally:
        run("docker", "image", "rm", other)


@root_only
def test_a_run_without_the_socket_sorts_inside_and_says_so(sibling_run, tmp_path):
    beside, _ = sibling_run
    folder = write_data(tmp_path / "alone")
    done = docker("-v", f"{folder}:/data", "--read-only", "--tmpfs", "/tmp", "lussac", "/data/params.json")  # noqa: S108
    assert "simple will run inside Lussac's own image: docker's socket is not in this container" in text_of(done)
    assert "add -v /var/run/docker.sock:/var/run/docker.sock to docker run" in text_of(done)
    assert owners(folder) == {OWNER}
    results = [read_record(place / "lussac" / "logs")["results"] for place in (beside, folder)]
    assert results[0] == results[1]


@root_only
@pytest.mark.parametrize(
    ("options", "owner"),
    [
        ((), OWNER),
        (("--user", "777:888"), (777, 888)),
        (("--cap-drop", "ALL"), (0, 0)),
        (("--security-opt", "no-new-privileges", "--read-only", "--tmpfs", "/tmp"), OWNER),  # noqa: S108
        (("--group-add", "4242", *SOCKET_MOUNT), OWNER),
    ],
    ids=["plain", "user", "no capabilities", "read-only", "groups"],
)
def test_who_it_is(options, owner, tmp_path):
    """The process waits for its params, which are a pipe here, and is looked at meanwhile."""
    give(tmp_path, OWNER if owner == OWNER else owner)
    os.mkfifo(tmp_path / "params.json")
    (tmp_path / "params.json").chmod(0o666)
    name = f"lussac-test-{os.getpid()}"
    process = subprocess.Popen(
        ["docker", "run", "--rm", "--name", name, *options, "-v", f"{tmp_path}:/data", "lussac", "check", "/data/params.json"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with (tmp_path / "params.json").open("w") as pipe:  # opens when it is read
        pid = run("docker", "inspect", "--format", "{{.State.Pid}}", name).stdout.strip()
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        pipe.write("{}")
    process.communicate(timeout=60)
    assert process.returncode == 2  # params without an analysis
    assert (int(status["Uid"].split()[0]), int(status["Gid"].split()[0])) == owner
    assert int(status["CapEff"], 16) == 0
    assert int(status["CapPrm"], 16) == 0
    if owner == OWNER:
        assert int(status["CapBnd"], 16) == 0
        assert status["NoNewPrivs"] == "1"
        groups = set(map(int, status["Groups"].split()))
        assert OWNER[1] in groups
        assert groups >= ({4242, socket_group()} if "--group-add" in options else set())


@root_only
@pytest.mark.parametrize("options", [(), ("--read-only", "--tmpfs", "/tmp"), ("--user", "777:888")])  # noqa: S108
def test_files_belong_to_the_owner_of_the_folder(options, tmp_path):
    owner = (777, 888) if "--user" in options else OWNER
    give(tmp_path, owner)
    docker(*options, "-v", f"{tmp_path}:/data", "lussac", "init", "best")
    assert owners(tmp_path) == {owner}
    assert (tmp_path / "params.json").is_file()


def test_its_kernels_are_compiled_already(sibling_run, tmp_path):
    """A run compiles nothing that the image could have: its cache is looked at from outside."""
    folder, _ = sibling_run
    scratch = tmp_path / "scratch"
    scratch.mkdir(mode=0o777)
    scratch.chmod(0o777)
    (folder / "params.json").write_text((folder / "params.json").read_text().replace('"n_jobs": 2', '"n_jobs": 1'))
    content = json.loads((folder / "params.json").read_text())
    content["lussac"]["logs_folder"] = "$PARAMS_FOLDER/again"
    (folder / "again.json").write_text(json.dumps(content))
    docker("-v", f"{folder}:/data", "-v", f"{scratch}:/tmp", *SOCKET_MOUNT, "lussac", "/data/again.json")
    (cache,) = scratch.glob("lussac-*/kernels-*")
    used = {path.name for path in cache.rglob("*") if path.is_file()}
    listed = docker("--entrypoint", "find", "lussac", "/opt/lussac/kernels/numba", "-type", "f").stdout.split()
    shipped = {Path(path).name for path in listed}
    assert len(shipped) > 20
    assert used == shipped


def test_the_doctor():
    done = docker(*SOCKET_MOUNT, "lussac", "doctor")
    assert "simple, tridesclous2, spykingcircus2, lupin, mountainsort5 run inside this image" in text_of(done)
    assert "good docker:" in done.stdout
    done = docker("lussac", "doctor")
    assert "docker's socket is not in this container add -v /var/run/docker.sock:/var/run/docker.sock to docker run" in text_of(
        done
    )


COMMAND = 'docker run --rm -v "$PWD:/data" -v /var/run/docker.sock:/var/run/docker.sock lussac /data/params.json'


def test_no_folder_is_mounted():
    done = docker("lussac", "/data/params.json", check=2)
    assert f"This container sees nothing of your machine. In the folder of params.json, type: {COMMAND}" in text_of(done)


def test_the_name_before_the_colon_is_wrong(tmp_path):
    done = docker("-v", f"{tmp_path}/typo:/data", "lussac", "/data/params.json", check=2)
    assert "/data is empty. Docker makes the folder before `:/data` if there is none: is its name right?" in text_of(done)


def test_the_path_of_the_machine_instead_of_the_container(data):
    done = docker("-v", f"{data}:/data", "lussac", f"{data}/params.json", check=2)
    assert "In this container it is /data/params.json: give that path." in text_of(done)


def test_params_outside_the_mounted_folder(data):
    done = docker("-v", f"{data}:/data", "lussac", "/home/me/other.json", check=2)
    assert f"This container sees only /data of your machine. In the folder of params.json, type: {COMMAND}" in text_of(done)


def test_a_read_only_folder(data):
    done = docker("-v", f"{data}:/data:ro", "lussac", "/data/params.json", check=2)
    assert "/data is mounted read-only: leave out `:ro` behind /data, or mount another folder" in text_of(done)


def test_results_into_the_container_itself():
    done = docker("lussac", "demo", check=2)
    assert "is part of this container and would go with it: mount a folder of your machine, docker run" in text_of(done)


@root_only
def test_no_space(tmp_path):
    (tmp_path / "small").mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=10m", "none", tmp_path / "small")
    try:
        folder = write_data(tmp_path / "small" / "data")
        done = docker("-v", f"{folder}:/data", "lussac", "/data/params.json", check=None)
        assert done.returncode in (2, 3)
        assert "The disk of" in text_of(done)
        assert "is full" in text_of(done)
        assert "Free some space, or choose another folder, and run again" in text_of(done)
        assert "Traceback" not in done.stderr
    finally:
        run("umount", "-l", tmp_path / "small")


@root_only
def test_a_socket_without_permission(tmp_path):
    folder = write_data(tmp_path / "data", {"h": {"sorter_name": "herdingspikes"}}, owner=(777, 888))
    group = socket_group()
    done = docker("--user", "777:888", "-v", f"{folder}:/data", *SOCKET_MOUNT, "lussac", "/data/params.json", check=3)
    assert f"user 777 may not use docker's socket /var/run/docker.sock; add --group-add {group} to docker run" in text_of(done)
    done = docker("--user", "777:888", "--group-add", str(group), *SOCKET_MOUNT, "-v", f"{folder}:/data", "lussac", "doctor")
    assert "good docker:" in done.stdout


def test_a_sorter_that_does_not_ship_needs_the_socket(tmp_path):
    folder = write_data(tmp_path / "data", {"h": {"sorter_name": "herdingspikes"}}, owner=None)
    done = docker("-v", f"{folder}:/data", "lussac", "/data/params.json", check=3)
    assert "add -v /var/run/docker.sock:/var/run/docker.sock to docker run" in text_of(done)


def test_no_scratch():
    done = docker("--read-only", "lussac", "--version", check=2)
    assert "docker run --tmpfs /tmp" in done.stderr


@root_only
def test_docker_stop_ends_it_and_its_sorters(tmp_path):
    folder = write_data(tmp_path / "data", {"simple": SIMPLE})
    name = f"lussac-test-{os.getpid()}"
    process = subprocess.Popen(
        ["docker", "run", "--rm", "--name", name, "-v", f"{folder}:/data", *SOCKET_MOUNT, "lussac", "/data/params.json"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while len(containers_of(DockerEngine().host, folder)) < 2:  # Lussac, and its sorter
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.2)
    run("docker", "stop", "--time", "10", name)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130, errors
    assert "the same command goes on from there" in " ".join(errors.split())
    assert left_by(DockerEngine(), folder) == []
    assert owners(folder) == {OWNER}


@pytest.mark.slow
@root_only
def test_every_sorter_that_ships_runs_inside(tmp_path):
    names = ("simple", "tridesclous2", "spykingcircus2", "lupin", "mountainsort5")
    folder = write_data(tmp_path / "data", {name: {"sorter_name": name} for name in names})
    docker("-v", f"{folder}:/data", "lussac", "/data/params.json", "--engine", "local")
    record = read_record(folder / "lussac" / "logs")
    assert {sorter["name"]: sorter["outcome"] for sorter in record["sorters"]} == dict.fromkeys(names, "done")
    assert owners(folder) == {OWNER}
