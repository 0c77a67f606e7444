"""A data folder as a lab has it, and the service image as its users start it."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import spikeinterface.core as si
from tiny import CHANNELS, GAIN, RATE, write_recording

from lussac.engines.docker import DockerEngine
from tests.pages import ROOT

SOCKET = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
SOCKET_MOUNT = ("-v", f"{SOCKET}:/var/run/docker.sock")
OWNER = (12345, 54321)
SIF = Path(os.environ.get("LUSSAC_SERVICE_SIF", ROOT / "lussac.sif"))
TESTBED_USER = "testbed"
SIMPLE = {"sorter_name": "simple", "sorter_params": {}}
PIPELINE = {"remove_duplicated_spikes": {"all": {}}, "merge_sortings": {"all": {}}}


def write_data(folder: Path, sorters: dict | None = None, *, owner: tuple[int, int] | None = OWNER, **lussac) -> Path:
    """Write a recording of 12 s and its params.json, as somebody's."""
    recording, _ = si.generate_ground_truth_recording(
        durations=[12.0],
        sampling_frequency=RATE,
        num_channels=CHANNELS,
        num_units=5,
        generate_sorting_kwargs={"firing_rates": 15.0, "refractory_period_ms": 4.0},
        noise_kwargs={"noise_levels": 5.0, "strategy": "tile_pregenerated"},
        seed=5,
    )
    write_recording(np.asarray(recording.get_traces()), folder)
    content = {
        "recording": {
            "recording_extractor": "binary",
            "extractor_params": {
                "file_paths": "$PARAMS_FOLDER/recording.dat",
                "num_channels": CHANNELS,
                "sampling_frequency": RATE,
                "dtype": "int16",
                "gain_to_uV": GAIN,
                "offset_to_uV": 0.0,
            },
            "probe_file": "$PARAMS_FOLDER/probe.json",
        },
        "spike_sorting": {"simple": SIMPLE} if sorters is None else sorters,
        "lussac": {"si_global_job_kwargs": {"n_jobs": 2}, "pipeline": PIPELINE, **lussac},
    }
    (folder / "params.json").write_text(json.dumps(content))
    if owner is not None:
        give(folder, owner)
    return folder


def give(folder: Path, owner: tuple[int, int]) -> None:
    """Give a folder and all in it to somebody."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, *owner, follow_symlinks=False)


def owners(folder: Path) -> set[tuple[int, int]]:
    """Return whose a folder and all in it is."""
    return {(path.lstat().st_uid, path.lstat().st_gid) for path in (folder, *folder.rglob("*"))}


def run(*command, check: int | None = 0, user: str | None = None, **options) -> subprocess.CompletedProcess[str]:
    """Run a command, as somebody else if wanted; fail with all that it said on another exit code."""
    words = [str(word) for word in command]
    if user:
        words = ["runuser", "-u", user, "--", *words]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False, stdin=subprocess.DEVNULL, **options)
    assert check is None or done.returncode == check, f"{words}\n{done.stdout}\n{done.stderr}"
    return done


def docker(*words, **options) -> subprocess.CompletedProcess[str]:
    """Run ``docker run --rm ...``."""
    return run("docker", "run", "--rm", *words, **options)


def text_of(done: subprocess.CompletedProcess[str]) -> str:
    """Return all that a command said, as one line."""
    return " ".join((done.stdout + done.stderr).split())


def client_of(engine: DockerEngine, *words: object) -> list[str]:
    """Return a command of docker's or podman's own client for the daemon of an engine."""
    client = ["podman", "--remote", "--url"] if engine.describe()["flavour"] == "podman" else ["docker", "--host"]
    return [*client, engine.host, *map(str, words)]


def socket_of(engine: DockerEngine) -> tuple[str, str]:
    """Return the words that mount the socket of an engine where Lussac looks for docker's."""
    return "-v", f"{engine.host.removeprefix('unix://')}:/var/run/docker.sock"
