"""Images for real: built by their recipes, pulled from a registry of this machine, pinned, and refused where they are others."""

import contextlib
import io
import json
import os
import re
import secrets
import shutil
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
from lussac.engines.docker import DockerEngine, rootfs_digest
from lussac.errors import EngineError, SorterError
from lussac.params import SorterParams
from lussac.sorters import images, recipes
from lussac.sorters.catalogue import catalogue
from tests.pages import ROOT

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
    folder = tmp_path_factory.mktemp("registry")
    server_settings = {"addr": "127.0.0.1:0"}  # a port that is free, which its log names
    settings = {"version": "0.1", "storage": {"filesystem": {"rootdirectory": str(folder / "data")}}, "http": server_settings}
    (folder / "config.yml").write_text(json.dumps(settings))
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen([program, "serve", folder / "config.yml"], stdout=log, stderr=log) as server,
    ):
        try:
            yield listening(server, folder / "log")
        finally:
            server.terminate()
            server.wait()
            shutil.rmtree(folder / "data", ignore_errors=True)  # pytest keeps folders of several sessions


def listening(server: subprocess.Popen, log: Path) -> str:
    """Return the address that a registry says it listens on."""
    deadline = time.monotonic() + 30
    while not (found := re.search(r"listening on (127\.0\.0\.1:\d+)", log.read_text())):
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
    return found[1]


def context_of(dockerfile: str, **files: Path | str) -> io.BytesIO:
    context = io.BytesIO()
    recipes.write_context({"Dockerfile": dockerfile, **files}, context)
    context.seek(0)
    return context


def ignore(*_words: str) -> None:
    pass


def published(daemon, repository: str, text: str) -> str:
    """Build a small image that no other test has, push it, remove it here; return its digest."""
    own = f"{text} {secrets.token_hex(6)}"
    builder.build(context_of("FROM scratch\nCOPY text /text\n", text=own), f"{repository}:1", {}, {}, ignore)
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


def params_file(folder: Path, **sorter_params: str) -> Path:
    """Write params with one sorter, whose recording nobody reads."""
    (folder / "recording.dat").write_bytes(bytes(64))
    given = {"file_paths": "$PARAMS_FOLDER/recording.dat", "num_channels": 4, "sampling_frequency": 30_000.0, "dtype": "int16"}
    params = {
        "recording": {"recording_extractor": "binary", "extractor_params": given},
        "spike_sorting": {"s": {"sorter_name": "simple", "sorter_params": sorter_params}},
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
    tag = f"lussac-test/simple-{secrets.token_hex(4)}:0.105.3"
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
    ):  # no image of this name comes of it
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
    assert found.rootfs == DockerEngine().resolve(f"{repository}@{digest}", pull=False).rootfs
    as_digest(ABSENT)
    with pytest.raises(EngineError, match="can't be made into an image file"):
        images.pull("simple", engine)


def pushed(registry: str, *images: str) -> dict[str, str]:
    """Push by the command of the documentation; return the digest that it prints by the name of the image in the registry."""
    command = ["make", "--no-print-directory", "push", f"REGISTRY={registry}/lab", f"IMAGES={' '.join(images)}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.partition("@") for line in done.stdout.splitlines() if "@" in line]
    return {name: digest for name, _, digest in lines}


@pytest.mark.docker
def test_what_is_pushed_has_the_digest_that_is_printed_and_locked(daemon, registry, tmp_path):
    name = f"small-{secrets.token_hex(4)}"
    builder.build(context_of("FROM scratch\nCOPY text /text\n", text=name), f"lussac-test/{name}:2", {}, {}, ignore)
    target = f"{registry}/lab/{name}"
    try:
        digests = pushed(registry, f"lussac-test/{name}:2")
        for image in (f"{target}:2", f"lussac-test/{name}:2"):
            daemon.images.remove(image)
        file = params_file(tmp_path, docker_image=f"{target}:2")
        assert main(["images", "lock", str(file), "--engine", "docker"]) == 0
        assert digests == {target: images.read(tmp_path / "params.lock.json")["s"]["digest"]}
        assert DockerEngine().resolve(f"{target}@{digests[target]}", pull=False).source == "registry"
    finally:
        for image in (f"{target}:2", f"lussac-test/{name}:2"):
            removed(daemon, image)


@pytest.mark.slow
@pytest.mark.docker
def test_all_images_are_pushed_and_pulled_by_what_is_printed(daemon, registry, service_image):
    """The service image and a sorter's, as the documentation has it; the layers that come back are those that went."""
    digests = pushed(registry)
    engine = DockerEngine()
    assert digests.keys() >= {f"{registry}/lab/lussac", f"{registry}/lab/simple"}
    try:
        for target, digest in digests.items():
            before = daemon.images.get(next(tag for tag in tags_of(daemon, target)))
            for tag in tags_of(daemon, target):
                daemon.images.remove(tag)
            found = engine.resolve(f"{target}@{digest}", pull=True)
            assert found.rootfs == rootfs_digest(before.attrs["RootFS"]["Layers"])
    finally:
        for target, digest in digests.items():
            for name in (f"{target}@{digest}", *tags_of(daemon, target)):
                removed(daemon, name)


def tags_of(daemon, repository: str) -> list[str]:
    """Return the tags of a repository that the daemon has."""
    return [tag for image in daemon.images.list(repository) for tag in image.tags if tag.startswith(f"{repository}:")]


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
    own = secrets.token_hex(4)
    stand_in, tag = f"lussac-test/published-{sorter}-{own}", f"lussac-test/{sorter}-{own}"
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
