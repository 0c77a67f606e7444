"""What goes wrong on real machines, and what is said about it: disks, images, processors, GPUs."""

import contextlib
import hashlib
import io
import json
import os
import secrets
import subprocess
import tarfile
import threading
import time
from pathlib import Path

import docker
import pytest
from engines_here import IMAGE, answering, image_of, job_in, left_by, owners

from lussac import sorters
from lussac.engines import choose
from lussac.engines.base import OUT, WORK, Engine, Limits, Outcome
from lussac.engines.daemon import listed
from lussac.engines.docker import DockerEngine
from lussac.errors import EngineError, FolderError, SorterError
from lussac.params import SorterParams
from lussac.sorters import images

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk")


def ignore(_line: str) -> None:
    pass


@contextlib.contextmanager
def disk(folder: Path, size: str):
    """Mount a small disk."""
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], check=False).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@needs_root
def test_a_full_disk_is_named(container, recording_folder, tmp_path):
    base = tmp_path / "small disk"
    with disk(base, "1m"):
        (base / "filler").write_bytes(bytes((1 << 20) - (48 << 10)))
        run = SorterParams(sorter_name="simple", sorter_params={})
        job = sorters.prepare("run", run, recording_folder, "r", engine=container.name, base=base, pull=False)
        with pytest.raises((SorterError, FolderError), match=r"disk full|disk of .* is full") as failed:
            sorters.sort(job, ignore, threading.Event())
        assert str(base) in str(failed.value)
        assert "Free some space" in str(failed.value)
        assert not (base / "analyses" / "run").exists()
        assert left_by(container, base) == []


def load_image_for(client: docker.DockerClient, machine: str) -> str:
    """Load an image that is made for some processor; nothing is in it."""
    name = f"lussac-test/{secrets.token_hex(4)}:1"
    layer = io.BytesIO()
    tarfile.open(fileobj=layer, mode="w").close()
    digest = "sha256:" + hashlib.sha256(layer.getvalue()).hexdigest()
    labels = {"name": name}  # an image of its own, or removing it would remove that of another test
    config = {
        "architecture": machine,
        "os": "linux",
        "config": {"Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": [digest]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for file, content in (
            ("layer.tar", layer.getvalue()),
            ("config.json", json.dumps(config).encode()),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            member = tarfile.TarInfo(file)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    client.images.load(archive.getvalue())
    return name


@pytest.mark.docker
@pytest.mark.parametrize("name", ["docker", "podman"])
def test_an_image_for_another_processor_is_refused(name):
    engine = answering(name)
    client = docker.DockerClient(base_url=engine.host)
    image = load_image_for(client, "s390x")
    try:
        with pytest.raises(EngineError, match="is made for s390x, this machine is"):
            engine.resolve(image, pull=False)
    finally:
        client.images.remove(image)
        client.close()


@pytest.fixture
def image_file():
    engine = answering("singularity")
    return engine, Path(image_of(engine).start)


@pytest.mark.singularity
def test_an_image_file_for_another_processor_is_refused(image_file, tmp_path):
    engine, file = image_file
    head = bytearray(file.read_bytes()[:4096])
    head[45:47] = b"04"
    (tmp_path / "arm.sif").write_bytes(head)
    with pytest.raises(EngineError, match=r"arm.sif is made for arm64, this machine is"):
        engine.resolve(str(tmp_path / "arm.sif"), pull=False)


@pytest.mark.singularity
def test_what_is_no_image_file_is_refused(image_file, tmp_path):
    engine, _ = image_file
    (tmp_path / "page.sif").write_text("<html>404</html>")
    with pytest.raises(EngineError, match=r"page.sif is no image file.*copied whole"):
        engine.resolve(str(tmp_path / "page.sif"), pull=False)
    with pytest.raises(EngineError, match=r"none.sif doesn't exist"):
        engine.resolve(str(tmp_path / "none.sif"), pull=False)


@pytest.mark.singularity
def test_an_image_file_that_was_copied_in_part_is_a_fault_of_the_image(image_file, tmp_path):
    engine, file = image_file
    with file.open("rb") as stream:
        (tmp_path / "part.sif").write_bytes(stream.read(8 << 20))
    job = job_in(tmp_path, engine.resolve(str(tmp_path / "part.sif"), pull=False), "python", "-c", "print(1)")
    end = engine.run(job, tmp_path / "log", ignore, threading.Event())
    assert end.outcome is Outcome.IMAGE, (end, (tmp_path / "log").read_text())


@pytest.mark.singularity
def test_the_path_of_an_image_file_is_as_good_as_its_name(image_file, recording_folder, tmp_path):
    _, file = image_file
    run = SorterParams(sorter_name="simple", sorter_params={"singularity_image": str(file)})
    job = sorters.prepare("run", run, recording_folder, "r", base=tmp_path, pull=False)
    assert (job.engine.name, job.image.start) == ("singularity", str(file))


def test_another_digest_than_the_locked_one_is_refused(container, recording_folder, tmp_path):
    run = SorterParams(sorter_name="simple", sorter_params={})
    locked = images.lock({"run": images.Wanted("simple", container, IMAGE)})["images"]
    job = sorters.prepare("run", run, recording_folder, "r", engine=container.name, base=tmp_path, pull=False, locked=locked)
    assert job.image.rootfs == locked["run"]["rootfs"]
    other = {"run": {**locked["run"], "rootfs": "sha256:" + "0" * 64}}
    with pytest.raises(EngineError, match=r"The image of run here is sha256:.*Pull or build the pinned one"):
        sorters.prepare("run", run, recording_folder, "r", engine=container.name, base=tmp_path, pull=False, locked=other)


def test_a_gpu_that_is_required_is_refused_before_anything_runs(container, recording_folder, tmp_path):
    image = image_of(container)
    if container.has_gpu(image):
        pytest.skip("there is a GPU here")
    run = SorterParams(sorter_name="kilosort3", sorter_params={f"{container.name}_image": IMAGE})
    with pytest.raises(EngineError, match="the sorter needs an NVIDIA GPU"):
        sorters.prepare("run", run, recording_folder, "r", base=tmp_path, pull=False)
    assert list(tmp_path.iterdir()) == []
    choice = choose(container.name, {container.name: IMAGE}, "optional", pull=False)
    assert (choice.gpu, choice.why) == (False, f"runs with {container.name}, on the CPU since there is no GPU for it")
    seen = gpu_probes(container)
    deadline = time.monotonic() + 30
    while (seen := seen & gpu_probes(container)) and time.monotonic() < deadline:
        time.sleep(0.1)  # those of other tests on the same daemon come and go
    assert seen == set()


def gpu_probes(engine: Engine) -> set[str]:
    """Return the containers of a docker daemon that ask for its GPUs."""
    if not isinstance(engine, DockerEngine):
        return set()
    with contextlib.closing(docker.DockerClient(base_url=engine.host)) as client:
        containers = listed(client, stopped=True)
        return {container.id for container in containers if container.attrs["Path"] == "nvidia-smi"}


@needs_root
@pytest.mark.docker
def test_a_folder_that_a_container_may_not_write_to_is_told_before_the_sorter_starts(tmp_path):
    engine = answering("podman")
    job = job_in(tmp_path, image_of(engine), "python", "-c", "print(1)")
    for name, owner in (("in", 12345), ("work", 54321), ("out", 12345)):
        os.chown(tmp_path / name, owner, owner)
    end = engine.run(job, tmp_path / "log", ignore, threading.Event())
    assert end.outcome is Outcome.MOUNT
    assert "A container may not use" in end.message
    assert not (tmp_path / "log").exists()
    assert [list((tmp_path / name).iterdir()) for name in ("work", "out")] == [[], []]
    assert left_by(engine, tmp_path) == []


@needs_root
@pytest.mark.docker
@pytest.mark.parametrize("end", ["raise ValueError", "import time; time.sleep(600)"], ids=["error", "timeout"])
def test_what_an_image_writes_that_must_run_as_root_is_the_owners(tmp_path, end):
    engine = answering("docker")
    program = f"import os; assert os.getuid() == 0; os.makedirs('{OUT}/a/b'); os.mkdir('{WORK}/c', 0o700); {end}"
    relaxed = {"limits": Limits(seconds=5), "relaxed": frozenset({"root"})}
    job = job_in(tmp_path, image_of(engine), "python", "-c", program, **relaxed)
    for name in ("in", "work", "out"):
        os.chown(tmp_path / name, 12345, 54321)
    ended = engine.run(job, tmp_path / "log", ignore, threading.Event())
    assert ended.outcome in (Outcome.SORTER_ERROR, Outcome.TIMEOUT), ended
    for name in ("work", "out"):
        assert any((tmp_path / name).iterdir()), (tmp_path / "log").read_text()
        assert owners(tmp_path / name) == {12345}
    assert left_by(engine, tmp_path) == []
