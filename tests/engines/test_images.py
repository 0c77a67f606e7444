"""Images for real: built by their recipes, pulled from a registry of this machine, pinned, and refused where they are others."""

import contextlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from lussac import sorters
from lussac.cli import main
from lussac.engines import ENGINES, builder
from lussac.engines.docker import DockerEngine
from lussac.errors import EngineError, SorterError
from lussac.params import SorterParams
from lussac.sorters import images, recipes
from lussac.sorters.catalogue import catalogue

SIMPLE = "lussac/simple:0.105.3"
PYENV = Path.home() / ".pyenv" / "versions"
ABSENT = "sha256:" + "0" * 64


@pytest.fixture(scope="module")
def daemon():
    if reason := DockerEngine().unavailable():
        pytest.skip(f"docker: {reason}")
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """Start a registry on the loopback; return its address."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("there is no docker-registry here (Debian's package of this name)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    folder = tmp_path_factory.mktemp("registry")
    settings = {"version": "0.1", "storage": {"filesystem": {"rootdirectory": str(folder / "data")}}, "http": {"addr": address}}
    (folder / "config.yml").write_text(json.dumps(settings))
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen([program, "serve", folder / "config.yml"], stdout=log, stderr=log) as server,
    ):
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), 1):
                break
            time.sleep(0.1)
        yield address
        server.terminate()


def context_of(dockerfile: str, **files: Path | str) -> io.BytesIO:
    context = io.BytesIO()
    recipes.write_context({"Dockerfile": dockerfile, **files}, context)
    context.seek(0)
    return context


def ignore(*_words: str) -> None:
    pass


def published(daemon, repository: str, text: str) -> str:
    """Build a small image, push it, remove it here; return its digest."""
    builder.build(context_of("FROM scratch\nCOPY text /text\n", text=text), f"{repository}:1", {}, {}, ignore)
    daemon.images.push(repository, tag="1")
    digest = DockerEngine().resolve(f"{repository}:1", pull=False).digest
    daemon.images.remove(f"{repository}:1")
    return digest


@pytest.fixture
def in_registry(daemon, registry, monkeypatch):
    """Say that `simple` is an image of the registry; return what sets its digest in the catalogue."""
    repository = f"{registry}/lab/simple"

    def as_digest(digest: str) -> None:
        row = catalogue()["simple"].model_copy(update={"image": f"{repository}:1", "digest": digest})
        monkeypatch.setattr(images, "catalogue", lambda: {"simple": row})
        monkeypatch.setattr(sorters.job, "catalogue", lambda: {"simple": row})

    yield repository, as_digest
    for image in daemon.images.list(repository):
        daemon.images.remove(image.id, force=True)


def params_file(folder: Path) -> Path:
    """Write params with one sorter, whose recording nobody reads."""
    (folder / "recording.dat").write_bytes(bytes(64))
    given = {"file_paths": "$PARAMS_FOLDER/recording.dat", "num_channels": 4, "sampling_frequency": 30_000.0, "dtype": "int16"}
    params = {
        "recording": {"recording_extractor": "binary", "extractor_params": given},
        "spike_sorting": {"s": {"sorter_name": "simple"}},
        "lussac": {"logs_folder": "$PARAMS_FOLDER/logs", "pipeline": {"align_units": {"all": {}}}},
    }
    file = folder / "params.json"
    file.write_text(json.dumps(params))
    return file


@pytest.mark.docker
def test_an_image_is_built_labelled_and_listed(daemon, capsys):
    if not any(SIMPLE in image.tags for image in daemon.images.list("lussac/simple")):
        pytest.skip(f"there is no {SIMPLE} here, so that there may be nothing to build it on")
    base = recipes.tag(recipes.BASE)
    tag = "lussac-test/simple:0.105.3"
    build = recipes.plan("simple", DockerEngine().resolve(base, pull=False), recipes.Sources())
    context = io.BytesIO()
    recipes.write_context(build.files, context)
    context.seek(0)
    steps: list[str] = []
    assert builder.build(context, tag, build.arguments, build.labels, steps.append) > 1e8
    assert steps[0].startswith("Step 1/")
    made = daemon.images.get(tag)
    assert made.attrs["Config"]["User"] == "10001:10001"
    assert made.labels.items() >= build.labels.items()
    assert made.labels["org.opencontainers.image.base.name"] == base
    daemon.images.remove(tag)
    assert main(["images", "list", "--engine", "docker"]) == 0
    assert "lussac/simple" in capsys.readouterr().out


@pytest.mark.docker
def test_a_build_that_fails_shows_its_last_lines(daemon):
    base = recipes.tag(recipes.BASE)
    if not DockerEngine().has_image(base):
        pytest.skip(f"there is no {base} here")
    with pytest.raises(
        EngineError, match=r"lussac-test/bad can't be built:\n(.*\n)*no such thing\nThe step returned a non-zero code: 7"
    ):
        builder.build(context_of(f"FROM {base}\nRUN echo no such thing; exit 7\n"), "lussac-test/bad", {}, {}, ignore)


@pytest.mark.docker
def test_an_image_is_pulled_by_its_digest_and_no_other(daemon, in_registry):
    repository, as_digest = in_registry
    first = published(daemon, repository, "first")
    second = published(daemon, repository, "second")  # the tag has moved
    assert first != second
    engine = DockerEngine()
    as_digest(first)
    with pytest.raises(EngineError, match="not in docker's store"):  # offline
        engine.resolve(f"{repository}@{first}", pull=False)
    found = images.pull("simple", engine)
    assert (found.digest, found.source) == (first, "registry")
    assert engine.resolve(f"{repository}@{first}", pull=False) == found
    as_digest(ABSENT)
    with pytest.raises(EngineError, match="can't be pulled"):
        images.pull("simple", engine)


@pytest.mark.docker
def test_a_lock_of_pulled_images_holds_and_refuses(daemon, in_registry, tmp_path, capsys):
    repository, as_digest = in_registry
    first, second = published(daemon, repository, "one"), published(daemon, repository, "two")
    file = params_file(tmp_path)
    as_digest(first)
    command = [str(file), "--engine", "docker"]
    assert main(["images", "verify", *command]) == 2
    assert "lussac images lock" in capsys.readouterr().err
    assert main(["images", "lock", *command]) == 0
    pinned = images.read(tmp_path / "params.lock.json")["s"]
    here = DockerEngine().resolve(f"{repository}@{first}", pull=False)
    assert (pinned["digest"], pinned["rootfs"], pinned["platform"]) == (first, here.rootfs, "linux/amd64")
    assert main(["images", "verify", *command]) == 0
    run = SorterParams(sorter_name="simple")
    given = {"engine": "docker", "base": tmp_path, "pull": False, "locked": {"s": pinned}}
    assert sorters.prepare("s", run, tmp_path, "r", **given).image.digest == first
    as_digest(second)
    images.pull("simple", DockerEngine())
    with pytest.raises(EngineError, match="the lock file has"):
        sorters.prepare("s", run, tmp_path, "r", **given)
    daemon.images.remove(f"{repository}@{first}", force=True)
    assert main(["images", "verify", *command]) == 5
    assert "not in docker's store" in capsys.readouterr().err


@pytest.mark.singularity
def test_apptainer_pulls_the_same_digest_and_a_lock_of_docker_holds_for_it(daemon, in_registry, tmp_path, monkeypatch):
    repository, as_digest = in_registry
    digest = published(daemon, repository, "for apptainer")
    monkeypatch.setenv("APPTAINER_NOHTTPS", "1")
    monkeypatch.setenv("LUSSAC_SIF_DIR", str(tmp_path / "sif"))
    engine = ENGINES["singularity"]()
    if reason := engine.unavailable():
        pytest.skip(f"singularity: {reason}")
    as_digest(digest)
    with pytest.raises(EngineError, match="neither in"):
        engine.resolve(f"{repository}@{digest}", pull=False)
    found = images.pull("simple", engine)
    assert found.digest == digest
    assert Path(found.start).parent == tmp_path / "sif"
    file = params_file(tmp_path)
    assert main(["images", "lock", str(file), "--engine", "docker"]) == 0
    assert main(["images", "verify", str(file), "--engine", "singularity"]) == 0
    as_digest(ABSENT)
    with pytest.raises(EngineError, match="can't be made into an image file"):
        images.pull("simple", engine)


def removed(daemon, name: str) -> None:
    with contextlib.suppress(docker.errors.ImageNotFound):
        daemon.images.remove(name, force=True)


def pythons(folder: Path, *versions: str) -> dict[str, Path | str]:
    """Return Pythons of this machine as the files of a context: an archive that lays them where miniconda is."""
    missing = [version for version in versions if not list(PYENV.glob(f"{version}.*"))]
    if missing:
        pytest.skip(f"there is no Python {missing[0]} in {PYENV} to stand for that of the published image")
    files: dict[str, Path | str] = {}
    for version in versions:
        source = max(PYENV.glob(f"{version}.*"))
        target = folder / f"python-{version}.tar"
        with tarfile.open(target, "w") as tar:
            tar.add(
                source,
                "miniconda3" if version == versions[0] else version,
                filter=lambda entry: None if "/test" in entry.name or "/__pycache__" in entry.name else entry,
            )
        files[target.name] = target
    return files


@pytest.mark.slow
@pytest.mark.docker
@pytest.mark.parametrize(
    ("sorter", "versions", "program", "said"),
    [
        ("kilosort2_5", ("3.9",), "ks2_5_compiled", "ks2_5_compiled /lussac/work"),
        ("waveclus", ("3.8",), "waveclus_compiled", "waveclus_compiled /lussac/work"),
        ("yass", ("3.7", "3.8"), "yass", "yass train"),
    ],
)
def test_spikeinterface_is_laid_over_an_image_with_the_layout_of_the_published_one(
    daemon, sorter, versions, program, said, tmp_path, recording_folder
):
    python = os.environ.get("BASE_IMAGE", recipes.python_image())
    if not DockerEngine().has_image(python):
        pytest.skip(f"there is no {python} here")
    files = {**pythons(tmp_path, *versions), program: f"#!/bin/sh\necho {program} $*\nexit 9\n"}
    stand_in, tag = f"lussac-test/published-{sorter}", f"lussac-test/{sorter}"
    lines = [
        f"FROM {python}",
        "USER 0",
        *(f"ADD python-{version}.tar /home/" for version in versions),
        "RUN printf '/home/%s/lib\\n' $(ls /home) > /etc/ld.so.conf.d/pythons.conf && ldconfig",
        *(f"RUN ln -s /home/{other}/bin/python{other} /usr/local/bin/" for other in versions[1:]),
        "RUN mkdir -p /usr/bin/mlrtapp /yass/src/yass && echo '__version__ = \"2.0\"' > /yass/src/yass/__init__.py",
        f"COPY {program} /usr/bin/mlrtapp/",
        f"RUN chmod 755 /usr/bin/mlrtapp/{program}",
        "ENV PATH=/home/miniconda3/bin:/usr/bin/mlrtapp:$PATH PIP_CERT=/etc/ssl/certs/ca-certificates.crt",
        f'ENTRYPOINT ["/usr/bin/mlrtapp/{program}"]',
    ]
    with contextlib.ExitStack() as undo:
        for name in (tag, stand_in):
            undo.callback(removed, daemon, name)
        builder.build(context_of("\n".join(lines), **files), stand_in, {}, {}, ignore)
        build = recipes.plan(sorter, DockerEngine().resolve(stand_in, pull=False), recipes.Sources(base=stand_in))
        context = io.BytesIO()
        recipes.write_context(build.files, context)
        context.seek(0)
        builder.build(context, tag, build.arguments, build.labels, ignore)
        image = DockerEngine().resolve(tag, pull=False)
        assert daemon.images.get(tag).attrs["Config"]["User"] == "10001:10001"
        job = sorters.prepare("run", SorterParams(sorter_name="simple"), recording_folder, "r", engine="local", base=tmp_path)
        job = replace(job, engine=DockerEngine(), image=image, sorter=sorter, parameters={}, row=catalogue()[sorter])
        with pytest.raises(SorterError) as error:
            sorters.sort(job, ignore, threading.Event())
        log = (tmp_path / "analyses" / "run.failed" / "sorter.log").read_text()
        assert said in log, log
        assert error.value.record["versions"]["python"].startswith(versions[-1])
        assert error.value.record["image"]["labels"]["io.lussac.sorter"] == sorter


@pytest.mark.docker
@pytest.mark.skipif(sys.platform != "linux", reason="images are Linux's")
def test_a_published_image_that_is_missing_is_asked_for(capsys, monkeypatch):
    monkeypatch.delenv("BASE_IMAGE", raising=False)
    assert main(["images", "build", "kilosort2"]) == 2
    assert "BASE_IMAGE=spikeinterface/kilosort2-compiled-base@sha256:" in capsys.readouterr().err
