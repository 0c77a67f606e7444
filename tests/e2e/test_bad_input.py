"""Whatever is wrong with what is given: a message of its own, exit code 2, and nothing written."""

import json
import os
import pickle
import shutil
import socket
import subprocess
import time

import numpy as np
import pytest
from spikeinterface.core import NumpySorting
from tiny import RATE, Command, imitate, make_probe, write_analysis, write_params

from lussac.cli import main
from lussac.store import Store, files_below

DUPLICATES = {"remove_duplicated_spikes": {"all": {}}}


class Evil:
    """What a pickle from elsewhere could hold."""

    def __reduce__(self):
        return os.system, ("touch run_by_pickle",)


@pytest.fixture
def refused(tmp_path, capsys, monkeypatch):
    """Run the command on params; return its message after checking that nothing else happened."""
    monkeypatch.chdir(tmp_path)

    def run(content):
        file = tmp_path / "params.json"
        if not file.exists():
            file.write_text(content if isinstance(content, str) else json.dumps(content, indent=1))
        before = {path: path.stat().st_mtime_ns for path in files_below(tmp_path)}
        assert main([str(file)]) == 2
        assert {path: path.stat().st_mtime_ns for path in files_below(tmp_path)} == before
        out, err = capsys.readouterr()
        assert out == ""
        assert "Traceback" not in err
        assert "exit code 2" in err
        return " ".join(err.split())

    return run


def test_no_file(refused, tmp_path, capsys):
    assert main([str(tmp_path / "nothing.json")]) == 2
    assert "nothing.json: No such file" in capsys.readouterr().err


def test_a_folder_instead_of_a_file(tmp_path, capsys):
    assert main(["run", str(tmp_path)]) == 2
    assert "Is a directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ":1:1: the file is empty"),
        ('{"recording": {},}', ":1:17: extra comma before '}'"),
        ('{"recording": {}\n "analyses": {}}', ':1:17: missing comma before "analyses" on line 2'),
        ('{"recording": {}', ":1:1: '{' is never closed"),
        ('{"recording": {} /* a', ":1:18: the comment is never closed"),
        ('{"analyses": {"a": "x", "a": "y"}}', 'the key "a" is already on line 1'),
        ('{"recording": [}', ":1:16: a value is expected"),
        ("{'recording': {}}", "texts stand in double quotes"),
        ('{"recording": True}', "write true"),
    ],
)
def test_faults_of_json(refused, text, message):
    assert message in refused(text)


def change(content, path, value):
    """Return params with the value at a path replaced."""
    key, *rest = path
    return {**content, key: change(content.get(key, {}), rest, value) if rest else value}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("recording", "recording_extractor"), "binari", "recording.recording_extractor: 'binari' is no recording extractor"),
        (("recording", "extractor_params", "sampling_rate"), 1, "recording.extractor_params.sampling_rate: unknown parameter"),
        (("recording", "extractor_params", "file_paths"), "gone.dat", "recording.extractor_params.file_paths: no such file"),
        (("recording", "probe_file"), "gone.json", "recording.probe_file: no such file"),
        (("recording", "preprocessing"), {"bandpass": {}}, "recording.preprocessing.bandpass"),
        (("lussac", "pipeline"), {"merge_sorting": {"all": {}}}, "did you mean 'merge_sortings'?"),
        (("lussac", "pipeline"), {"align_units": {"CS": {}}}, "category 'CS'"),
        (("lussac", "pipeline"), {"align_units": {"all": {"treshold": 1}}}, "did you mean 'threshold'?"),
        (("lussac", "pipeline"), {"align_units": {}}, "names no category"),
        (("lussac", "threads"), 3, "lussac.threads: unknown key"),
        (("lussac", "logs_level"), 7, "lussac.logs_level"),
        (("spike_sorting",), {"x": {"sorter_name": "kilosort5"}}, "there is no sorter 'kilosort5'"),
        (
            ("spike_sorting",),
            {"x": {"sorter_name": "simple", "sorter_params": {"freq_mni": 1}}},
            "spike_sorting.x.sorter_params.freq_mni",
        ),
        (("spike_sorting",), {"alpha": {"sorter_name": "simple"}}, "has the name of analyses.alpha"),
        (("analyses", "alpha"), "gone", "analyses.alpha: There is no analysis at"),
        (("analyses",), {}, "there is no analysis"),
    ],
)
def test_wrong_values(refused, case, path, value, message):
    assert message in refused(change(case.params(DUPLICATES), path, value))


def test_all_problems_in_one_report(refused, case):
    content = change(case.params({"align_unit": {"all": {}}}), ("lussac", "logs_level"), "high")
    content = change(content, ("analyses", "alpha"), "gone")
    message = refused(content)
    for part in ("align_units", "lussac.logs_level", "analyses.alpha"):
        assert part in message


def test_no_probe(refused, case):
    content = case.params(DUPLICATES)
    del content["recording"]["probe_file"]
    assert "has no probe" in refused(content)


def test_a_probe_of_another_recording(refused, case, tmp_path):
    import probeinterface

    probeinterface.write_probeinterface(tmp_path / "probe.json", make_probe(4))
    assert "has 4 contacts" in refused(change(case.params(DUPLICATES), ("recording", "probe_file"), str(tmp_path / "probe.json")))


def test_a_probe_file_that_is_none(refused, case, tmp_path):
    (tmp_path / "probe.json").write_text("[]")
    assert "The probe file" in refused(change(case.params(DUPLICATES), ("recording", "probe_file"), str(tmp_path / "probe.json")))


def test_sampling_rates_that_differ(refused, case, tmp_path):
    write_analysis(NumpySorting.from_unit_dict([{0: np.array([100])}], RATE / 2), tmp_path / "slow.npz")
    content = change(case.params(DUPLICATES), ("analyses",), {"slow": str(tmp_path / "slow.npz.json")})
    assert "'slow' has a sampling frequency of 15000 Hz, the recording of 30000 Hz" in refused(content)


def test_a_file_that_is_no_sorting(refused, case, tmp_path):
    (tmp_path / "thesis.txt").write_text("once upon a time")
    content = change(case.params(DUPLICATES), ("analyses", "alpha"), str(tmp_path / "thesis.txt"))
    assert "analyses.alpha" in refused(content)


def test_a_folder_that_is_no_sorting(refused, case, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "analyses.alpha" in refused(change(case.params(DUPLICATES), ("analyses", "alpha"), str(tmp_path / "empty")))


def test_a_pickle_that_would_run_code(refused, case, tmp_path):
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Evil()))
    refused(change(case.params(DUPLICATES), ("analyses", "alpha"), str(tmp_path / "evil.pkl")))
    assert not (tmp_path / "run_by_pickle").exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_logs_folder_that_is_not_ours(refused, case, tmp_path, overwrite):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "thesis.txt").write_text("x")
    refused(case.params(DUPLICATES, overwrite_logs=overwrite))
    assert (tmp_path / "logs" / "thesis.txt").read_text() == "x"


def test_a_logs_folder_in_use(case, tmp_path, capsys):
    file = write_params(tmp_path, case.params(DUPLICATES))
    with Store(tmp_path / "logs"):
        before = files_below(tmp_path)
        assert main([str(file)]) == 2
        assert files_below(tmp_path) == before
    assert f"process {os.getpid()} on host {socket.gethostname()}" in capsys.readouterr().err


def test_two_runs_at_once(case, tmp_path):
    file = write_params(tmp_path, case.params({"align_units": {"all": {}}, "merge_sortings": {"all": {}}}))
    (tmp_path / "first").mkdir()
    first = Command(file, folder=tmp_path / "first")
    while not (tmp_path / "logs" / "provenance.json").exists():
        time.sleep(0.005)
    second = Command(file, folder=tmp_path)
    code, _, err = second.wait()
    assert (code, f"process {first.pid}" in err) == (2, True)
    assert first.wait()[0] == 0


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"needs the right to mount a tmpfs: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("where", ["logs_folder", "tmp_folder"])
def test_a_full_disk(case, tmp_path, small_disk, capsys, where):
    pipeline = {"align_units": {"all": {}}, "merge_sortings": {"all": {}}}
    content = case.params(pipeline, **{where: str(small_disk / "x")})
    content["recording"]["preprocessing"] = {"highpass_filter": {"freq_min": 100.0}}
    with (small_disk / "filling").open("wb") as stream:
        stream.write(bytes(shutil.disk_usage(small_disk).free - 60_000))
    file = write_params(tmp_path, content)
    code = main([str(file)])
    err = capsys.readouterr().err
    assert code == 2, err
    assert "is full" in err
    assert "Traceback" not in err
    assert not list((small_disk / "x").rglob("*.npy"))
    (small_disk / "filling").unlink()
    if where == "logs_folder":
        assert main([str(file)]) == 0


def test_a_logs_folder_that_cannot_be_written(refused, case, tmp_path):
    (tmp_path / "file").write_text("x")
    assert "can't be written" in refused(case.params(DUPLICATES, logs_folder=str(tmp_path / "file" / "logs")))


@pytest.mark.parametrize(
    "words", [["--jobs", "0", "params.json"], ["check"], ["run", "--engine", "steam", "params.json"], ["demo", "--surprise"]]
)
def test_a_wrong_command_line(words, capsys):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert "usage: lussac" in capsys.readouterr().err


def test_imitations_are_not_all_alike(case):
    """The cases above rest on analyses that differ."""
    truth = NumpySorting.from_unit_dict([{unit: np.arange(100, 3000, 100 + unit) for unit in range(6)}], RATE)
    assert len(imitate(truth, 0).to_spike_vector()) != len(imitate(truth, 1).to_spike_vector())
