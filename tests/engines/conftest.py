"""A short recording with known neurons, and what the sorters are given of it."""

import json
import os
import pwd
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import spikeinterface.core as si
from engines_here import CONTAINERS, PODMAN, answering, image_of
from service import SIF, TESTBED_USER, run

from lussac.engines.base import Engine, ImageRef
from lussac.recording import write_binary


def make_recording(folder: Path, durations: list[float]) -> Path:
    recording, _ = si.generate_ground_truth_recording(
        durations=durations,
        sampling_frequency=30_000.0,
        num_channels=8,
        num_units=5,
        generate_sorting_kwargs={"firing_rates": 15.0, "refractory_period_ms": 4.0},
        noise_kwargs={"noise_levels": 5.0, "strategy": "tile_pregenerated"},
        seed=5,
    )
    recording = si.NumpyRecording(
        [recording.get_traces(segment_index=index).astype(np.int16) for index in range(len(durations))], 30_000.0
    )
    probe = si.generate_ground_truth_recording(durations=[0.1], num_channels=8, num_units=2, seed=5)[0].get_probe()
    recording = recording.set_probe(probe) or recording
    recording.set_channel_gains(1.0)
    recording.set_channel_offsets(0.0)
    write_binary(recording, folder, {"n_jobs": 1})
    return folder


@pytest.fixture(scope="session")
def recording_folder(tmp_path_factory) -> Path:
    """Return 12 s of 8 channels with 5 neurons, as a binary folder."""
    return make_recording(tmp_path_factory.mktemp("recording") / "one", [12.0])


@pytest.fixture(scope="session")
def segments_folder(tmp_path_factory) -> Path:
    """Return the same in two segments."""
    return make_recording(tmp_path_factory.mktemp("recording") / "two", [8.0, 5.0])


@pytest.fixture(scope="session", params=[*CONTAINERS, PODMAN, "local"])
def engine(request) -> Engine:
    """Return each engine that answers here."""
    return answering(request.param)


@pytest.fixture(scope="session")
def image(engine) -> ImageRef:
    """Return something with Python to run in."""
    return image_of(engine)


@pytest.fixture(scope="session", params=[*CONTAINERS, PODMAN])
def isolating(request) -> Engine:
    """Return each engine that keeps jobs apart from this machine and answers here."""
    return answering(request.param)


@pytest.fixture(scope="session")
def isolating_image(isolating) -> ImageRef:
    """Return something with Python to run in."""
    return image_of(isolating)


@pytest.fixture(scope="session", params=[*CONTAINERS, "local"])
def sorting_engine(request) -> Engine:
    """Return each engine that answers here and can run the sorter `simple`."""
    found = answering(request.param)
    image_of(found)
    return found


@pytest.fixture(scope="session", params=CONTAINERS)
def container(request) -> Engine:
    """Return each engine of containers that answers here and can run the sorter `simple`."""
    found = answering(request.param)
    image_of(found)
    return found


@pytest.fixture(scope="session")
def service_image():
    """Return what docker says about the service image."""
    answering("docker")
    done = run("docker", "image", "inspect", "lussac", check=None)
    if done.returncode:
        pytest.skip("docker has no image lussac; make image")
    return json.loads(done.stdout)[0]


@pytest.fixture(scope="session")
def service_sif() -> Path:
    """Return the service image as a file."""
    answering("singularity")
    if not SIF.is_file():
        pytest.skip(f"there is no {SIF}; make sif")
    return SIF


@pytest.fixture
def user_folder():
    """Give a folder of a user without root, who can reach it, and whose it is."""
    user = pwd.getpwnam(TESTBED_USER) if os.geteuid() == 0 else pwd.getpwuid(os.getuid())
    folder = Path(tempfile.mkdtemp(dir=user.pw_dir, prefix="lussac-test-"))
    os.chown(folder, user.pw_uid, user.pw_gid)
    yield folder, (user.pw_uid, user.pw_gid)
    shutil.rmtree(folder)
