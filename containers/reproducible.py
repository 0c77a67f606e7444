"""The reproducibility gate, ``make reproducible``: the same image from two builds, the same bytes from every way to run it.

Needs docker, the images of the sorters below, and apptainer or singularity; as root it runs them as $TESTBED_USER, who is not.
Exit code 5 where something differs, with its name.
"""

# ruff: noqa: INP001, T201 - a script, not a package

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import probeinterface
from spikeinterface.generation import generate_ground_truth_recording

from lussac import jsonc, params_examples
from lussac.engines.docker import rootfs_digest
from lussac.errors import ReproducibilityError

HERE = Path(__file__).parent
EXAMPLE = Path(next(iter(params_examples.__path__))) / "params_best.json"
LUSSAC = Path(sys.executable).with_name("lussac")
IMAGE, AGAIN = "lussac", "lussac-again"
SORTERS: Mapping[str, Mapping[str, float]] = {"simple": {}, "stricter": {"detect_threshold": 7.0}}
"""The quickest sorter, twice; tests/engines/test_sorters.py holds every sorter to its promise, on every engine."""
RATE, SECONDS, CHANNELS, NEURONS, GAIN = 30_000.0, 12.0, 8, 6, 0.195


LEFTOVERS = """
import pathlib
for folder in ("/var/lib/apt/lists", "/var/cache/apt", "/root/.cache", "/tmp"):
    print(*(path for path in pathlib.Path(folder).rglob("*") if path.is_file()), sep="\\n", end="")
for path in pathlib.Path("/opt/lussac").rglob("*.pyc"):
    if path.read_bytes()[4:8] == bytes(4):
        print(path, "names the time of its source")
"""


OF_EVERY_CONTAINER = {".dockerenv", "etc", *(f"etc/{name}" for name in ("hostname", "hosts", "mtab", "resolv.conf"))}
OF_EVERY_CONTAINER |= {"dev", *(f"dev/{name}" for name in ("console", "pts", "shm"))}
"""What docker puts into a container when it makes one, and so is of no image."""


class Surroundings(NamedTuple):
    """What must play no role."""

    name: str
    variables: Mapping[str, str]
    jobs: int


class Way(NamedTuple):
    """How a run is started: a command in front of the words of `lussac`, the folder as that knows it, and whose it is."""

    name: str
    command: tuple[str, ...]
    folder: str
    engine: str
    owner: int


PLAIN = Surroundings("plain", {"PYTHONHASHSEED": "0", "TZ": "UTC", "LC_ALL": "C.UTF-8"}, 1)
STRANGE = Surroundings("strange", {"PYTHONHASHSEED": "4242", "TZ": "Asia/Kathmandu", "LC_ALL": "POSIX"}, 2)


def main() -> None:
    """Build twice, run six times, compare."""
    with timed("two builds without cache"):
        build(IMAGE)
        build(AGAIN)
        same_layers()
        no_leftovers()
    with tempfile.TemporaryDirectory(prefix="lussac-reproducible-") as scratch:
        folder = Path(scratch)
        folder.chmod(0o755)
        with timed("the image file for apptainer"):
            sif = make_sif(folder)
        runs = [run(way, around, folder) for around in (PLAIN, STRANGE) for way in ways(sif, around)]
        for other in runs[1:]:
            same_results(runs[0], other)
    print("reproducible: one image from two builds, one result from six runs")


@contextlib.contextmanager
def timed(what: str) -> Iterator[None]:
    """Say how long something took."""
    start = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - start:.0f} s", flush=True)


def call(*words: object, **variables: str) -> str:
    """Run a command with some variables of the environment set; what it says is shown only where it fails."""
    command = [str(word) for word in words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **variables})  # noqa: S603
    if done.returncode:
        print(f"{' '.join(command)}\n{done.stdout}{done.stderr}", file=sys.stderr)
        sys.exit(done.returncode)
    return done.stdout


def build(tag: str) -> None:
    """Build the service image from nothing but the base."""
    call(HERE / "build-service.sh", "--no-cache", TAG=tag)


def same_layers() -> None:
    """Compare the two images by their layers, and where these differ name the files that do."""
    layers = [call("docker", "image", "inspect", "--format", "{{json .RootFS.Layers}}", tag) for tag in (IMAGE, AGAIN)]
    if layers[0] != layers[1]:
        first, second = (files_of(tag) for tag in (IMAGE, AGAIN))
        names = sorted(name for name in {*first, *second} - OF_EVERY_CONTAINER if first.get(name) != second.get(name))
        listed = "\n".join(f"  {name}: {first.get(name)} and {second.get(name)}" for name in names[:20])
        raise ReproducibilityError(f"Two builds of the service image differ in {len(names)} files:\n{listed}")
    call("docker", "image", "rm", AGAIN)
    print(f"rootfs {rootfs_digest(json.loads(layers[0]))}")


def no_leftovers() -> None:
    """Make sure that the image holds no lists of packages and no compiled file that names a time."""
    found = call("docker", "run", "--rm", "--network=none", "--entrypoint", "python3", IMAGE, "-c", LEFTOVERS)
    if found:
        raise ReproducibilityError(f"The service image holds what its build has left:\n{found}")


def files_of(tag: str) -> dict[str, tuple[object, ...]]:
    """Return mode, owner, time and hash of each file of an image."""
    container = call("docker", "create", tag).strip()
    found: dict[str, tuple[object, ...]] = {}
    with (
        subprocess.Popen(["docker", "export", container], stdout=subprocess.PIPE) as process,  # noqa: S603, S607
        tarfile.open(fileobj=process.stdout, mode="r|") as archive,
    ):
        for entry in archive:
            stream = archive.extractfile(entry) if entry.isfile() else None
            digest = hashlib.sha256(stream.read()).hexdigest()[:16] if stream else entry.linkname
            found[entry.name] = (oct(entry.mode), entry.uid, entry.gid, entry.mtime, digest)
    call("docker", "rm", container)
    return found


def make_sif(folder: Path) -> Path:
    """Make the image file that singularity and apptainer run."""
    sif = folder / "lussac.sif"
    call("make", "--silent", "-C", HERE.parent, "sif", f"SIF={sif}")
    sif.chmod(0o644)
    return sif


def apptainer() -> str:
    """Return the command."""
    found = shutil.which("apptainer") or shutil.which("singularity")
    if found is None:
        raise SystemExit("There is neither apptainer nor singularity here: containers/testbed/up.sh brings one on Debian.")
    return found


def ways(sif: Path, around: Surroundings) -> Iterator[Way]:
    """Return how users run Lussac."""
    root = os.geteuid() == 0
    yield Way("local", (str(LUSSAC),), "{}", "local", os.geteuid())
    socket = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
    set_in_container = [word for name, value in around.variables.items() for word in ("--env", f"{name}={value}")]
    mounts = ("--volume", "{}:/data", "--volume", f"{socket}:/var/run/docker.sock")
    yield Way("docker", ("docker", "run", "--rm", *mounts, *set_in_container, IMAGE), "/data", "docker", 12345)
    user = os.environ.get("TESTBED_USER", "testbed")
    become = ("runuser", "-u", user, "--") if root else ()
    owner = int(call("id", "-u", user)) if root else os.geteuid()
    exec_in = (*become, apptainer(), "exec", *set_in_container, "--bind", "{}:/data", str(sif), "lussac")
    yield Way("apptainer", exec_in, "/data", "local", owner)


def run(way: Way, around: Surroundings, scratch: Path) -> Path:
    """Run the params in a folder of their own; verify the run there, and return its logs folder."""
    name = f"{way.name}, {around.name}"
    folder = scratch / name.replace(", ", "-")
    write_params(folder)
    for path in (folder, *folder.iterdir()):
        if os.geteuid() == 0:
            os.chown(path, way.owner, way.owner)
    command = [word.replace("{}", str(folder)) for word in way.command]
    params = f"{way.folder.replace('{}', str(folder))}/params.json"
    with timed(name):
        call(*command, params, "--engine", way.engine, "--jobs", around.jobs, **around.variables)
    call(LUSSAC, "verify", folder / "lussac" / "logs")
    return folder / "lussac" / "logs"


def write_params(folder: Path) -> None:
    """Write a recording with known neurons, its probe, and the params that users start from, with fewer sorters."""
    probe = probeinterface.generate_multi_columns_probe(num_columns=2, num_contact_per_column=CHANNELS // 2, xpitch=32)
    probe.set_device_channel_indices(np.arange(CHANNELS))
    recording, _ = generate_ground_truth_recording(
        durations=[SECONDS], sampling_frequency=RATE, probe=probe, num_units=NEURONS, seed=0
    )
    folder.mkdir()
    (recording.get_traces() / GAIN).round().astype(np.int16).tofile(folder / "recording.dat")
    probeinterface.write_probeinterface(folder / "probe.json", probe)
    content = jsonc.parse(EXAMPLE.read_text(encoding="utf-8"), EXAMPLE.name).data
    content["recording"]["extractor_params"] |= {"num_channels": CHANNELS, "sampling_frequency": RATE, "gain_to_uV": GAIN}
    content["spike_sorting"] = {name: {"sorter_name": "simple", "sorter_params": chosen} for name, chosen in SORTERS.items()}
    (folder / "params.json").write_text(json.dumps(content, indent=1))


def same_results(one: Path, other: Path) -> None:
    """Compare the bytes of the merged sortings, then all stages by `lussac verify`."""
    first, second = (merged(logs) for logs in (one, other))
    if first != second:
        raise ReproducibilityError(f"The merged sortings of {one} and {other} differ: {first} and {second}.")
    call(LUSSAC, "verify", one, other)


def merged(logs: Path) -> dict[str, str]:
    """Return the hashes of the files of the merged sorting."""
    (folder,) = logs.glob("steps/*merge_sortings*/sortings/merged_sorting")
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}


if __name__ == "__main__":
    try:
        main()
    except ReproducibilityError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
