"""Whole runs whose sorters are containers: nothing is left of them however the run ends, and the input is as it was."""

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from engines_here import CONTAINERS, answering, image_of, left_by, owners, soon_nothing_left_by
from spikeinterface.core import BinaryRecordingExtractor
from tiny import CHANNELS, RATE, Command, lussac, write_params

from lussac.provenance import read_record
from lussac.store import file_hash

HOSTILE = 'it\'s a, "lab": disk=1 é漢'


@pytest.fixture(params=CONTAINERS)
def container(request):
    found = answering(request.param)
    image_of(found)
    return found


NAME = "sorted"


@pytest.fixture
def params(case, container, tmp_path):
    """Return a params.json with one sorter, in a folder of somebody else where root runs the tests."""
    if os.geteuid() == 0:
        os.chown(tmp_path, 12345, 54321)
    sorter = {"sorter_name": "simple", "sorter_params": {f"{container.name}_image": True}}
    return write_params(tmp_path, {**case.params({}, n_jobs=1), "analyses": {}, "spike_sorting": {NAME: sorter}})


def wait_until(condition, command, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        assert command.process.is_alive(), command.err.read_text()
        time.sleep(0.02)


def start_and_signal(params, number, folder):
    """Send a signal in the middle of the sorter's work."""
    command = Command(params, folder=folder)
    draft = params.parent / "analyses" / f".{NAME}.lussac-draft"
    wait_until((draft / "work" / "sorter").exists, command)
    command.signal(number)
    return command


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_of_a_run_that_is_stopped(container, params, tmp_path, tmp_path_factory, number):
    code, _, err = start_and_signal(params, number, tmp_path_factory.mktemp("out")).wait(60)
    assert code == 130, err
    assert left_by(container, tmp_path) == []
    assert not (tmp_path / "tmp").exists()
    assert [path.name for path in (tmp_path / "analyses").iterdir()] == [f"{NAME}.failed"]
    assert owners(tmp_path / "analyses") == {tmp_path.stat().st_uid}


def test_nothing_is_left_after_kill_9_and_the_next_start(container, params, tmp_path, tmp_path_factory):
    command = start_and_signal(params, signal.SIGKILL, tmp_path_factory.mktemp("out"))
    command.process.join()
    assert owners(tmp_path / "analyses") <= {os.geteuid(), tmp_path.stat().st_uid}  # the caller, and whose the folder is
    code, _, err = lussac(params, "--time-limit", "0.0001")
    assert code == 3
    assert "was stopped after its time limit of 0.36 s. Raise the time limit" in err
    assert soon_nothing_left_by(container, tmp_path) == []
    assert [path.name for path in (tmp_path / "analyses").iterdir()] == [f"{NAME}.failed"]
    assert owners(tmp_path / "analyses") == {tmp_path.stat().st_uid}


@contextlib.contextmanager
def read_only(folder: Path):
    """Make a folder one that not even root can write to, where that can be done; else for all but root."""
    if os.geteuid() == 0 and subprocess.run(["mount", "--bind", folder, folder], check=False).returncode == 0:
        try:
            subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
            yield
        finally:
            subprocess.run(["umount", folder], check=True)
        return
    folder.chmod(0o555)
    yield
    folder.chmod(0o755)


def test_a_recording_over_two_files_on_a_disk_that_is_read_only(case, container, tmp_path):
    """Sorted from a folder with a name that has broken other programs; the files and the params are as they were."""
    data, base = tmp_path / "read only" / HOSTILE, tmp_path / HOSTILE
    data.mkdir(parents=True)
    traces = BinaryRecordingExtractor([case.folder / "recording.dat"], RATE, "int16", num_channels=CHANNELS).get_traces()
    half = len(traces) // 2
    for number, part in enumerate((traces[:half], traces[half:])):
        part.tofile(data / f"part {number}.dat")
    recording = {**case.recording, "extractor_params": {**case.recording["extractor_params"]}}
    recording["extractor_params"]["file_paths"] = [str(data / f"part {number}.dat") for number in range(2)]
    sorter = {"sorter_name": "simple", "sorter_params": {f"{container.name}_image": True}}
    content = {**case.params({}, n_jobs=1), "recording": recording, "analyses": {}, "spike_sorting": {NAME: sorter}}
    params = write_params(base, content)
    if os.geteuid() == 0:
        os.chown(base, 12345, 54321)
    before = {file.name: file_hash(file) for file in data.iterdir()}
    with read_only(data):
        code, out, err = lussac(params)
        assert (code, err) == (0, ""), out
        assert {file.name: file_hash(file) for file in data.iterdir()} == before
    (record,) = read_record(base / "logs")["sorters"]
    assert (record["outcome"], record["segments"], record["network"]) == ("done", 2, False)
    assert record["units"] >= 2
    assert record["image"]["rootfs"] in (base / "logs" / "lussac.log").read_text()
    assert json.loads((base / "analyses" / NAME / "result.json").read_text())["status"] == "ok"
    assert left_by(container, tmp_path) == []
    assert owners(base / "analyses") == {base.stat().st_uid}
    assert not list(base.glob("analyses/.*"))
