"""Ctrl-C and SIGTERM: everything ends within seconds, nothing is left behind, and the next run goes on."""

import shutil
import signal
import time

import pytest
from engines_here import processes_of
from tiny import Command, lussac, write_params

from lussac.provenance import read_record
from lussac.store import files_below

SORT = {
    "one": {"sorter_name": "tridesclous2", "sorter_params": {"output_folder": "$PARAMS_FOLDER/one"}},
    "two": {"sorter_name": "spykingcircus2", "sorter_params": {"output_folder": "$PARAMS_FOLDER/two"}},
}


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_while_sorters_run(case, tmp_path, number):
    file = write_params(tmp_path, {**case.params({}, n_jobs=2), "analyses": {}, "spike_sorting": SORT})
    command = Command(file, folder=tmp_path)
    wait_until(lambda: len(list(processes_of(tmp_path))) >= 2)
    time.sleep(1)
    command.signal(number)
    asked = time.monotonic()
    code, _, err = command.wait(20)
    assert time.monotonic() - asked < 5
    assert code == 130
    assert "the same command goes on from there" in err
    assert list(processes_of(tmp_path)) == []
    assert not (tmp_path / "tmp").exists()
    assert read_record(tmp_path / "logs")["status"] == "interrupted"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_the_middle_of_a_step(case, tmp_path, number):
    pipeline = {"remove_duplicated_spikes": {"all": {}}, "align_units": {"all": {}}, "merge_sortings": {"all": {}}}
    file = write_params(tmp_path, case.params(pipeline, n_jobs=2))
    command = Command(file, folder=tmp_path)
    wait_until(lambda: any((tmp_path / "logs" / "drafts").glob("02-*")))
    command.signal(number)
    asked = time.monotonic()
    code, _, err = command.wait(20)
    assert time.monotonic() - asked < 5
    assert code == 130, err
    assert not (tmp_path / "tmp").exists()
    assert not (tmp_path / "logs" / "drafts").exists()
    assert not (tmp_path / "logs" / "failed").exists()
    code, out, err = lussac(file)
    assert (code, err) == (0, "")
    assert "01-remove_duplicated_spikes.all: reused" in out


@pytest.mark.parametrize("module", ["export_to_phy", "export_to_sigui"])
def test_an_interrupted_export_leaves_no_half_folder(case, tmp_path, module):
    file, export = tmp_path / "params.json", tmp_path / "export"
    write_params(tmp_path, case.params({module: {"all": {"path": "$PARAMS_FOLDER/export"}}}, analyses=["alpha"]))
    found = []
    for number in (signal.SIGKILL, signal.SIGINT, signal.SIGKILL):
        command = Command(file, folder=tmp_path)
        wait_until(lambda: any((tmp_path / "logs" / "drafts").glob("01-*")))
        time.sleep(0.1)
        command.signal(number)
        command.wait()
        found += [files_below(export)] if export.exists() else []  # on a busy machine the signal may come when all is written
        shutil.rmtree(export, ignore_errors=True)
    assert len(found) < 3
    assert lussac(file)[0] == 0
    assert files_below(export)
    assert all(files == files_below(export) for files in found)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"params.json", "logs", "export", "stdout.txt", "stderr.txt"}


def test_a_deleted_export_is_written_again(case, tmp_path):
    file = write_params(tmp_path, case.params({"export_to_phy": {"all": {"path": "$PARAMS_FOLDER/export"}}}, analyses=["alpha"]))
    assert lussac(file)[0] == 0
    files = files_below(tmp_path / "export")
    files[-1].unlink()
    _, out, _ = lussac(file)
    assert "01-export_to_phy.all: done" in out
    assert files_below(tmp_path / "export") == files
    assert "01-export_to_phy.all: reused" in lussac(file)[1]
